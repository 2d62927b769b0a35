# Tools that are built here, at exact versions, into build/tools.
GOLANGCI := build/tools/golangci-lint-v2.15.0

# Version control stamps fail a build by root in another user's clone.
export GOFLAGS := $(GOFLAGS) -buildvcs=false

# The race detector needs a C compiler.
RACE := $(shell command -v gcc >/dev/null 2>&1 && echo -race)
UNIT = $(shell go list ./... | grep -v /integration)
REPORT := build/testreport

# Each target for FUZZ_FOR; a crash leaves its input under the package's testdata/fuzz.
FUZZ_FOR ?= 20s
FUZZ = $(foreach f,FuzzParse:./proto/convert FuzzParseFlow:./openflow FuzzParseGroup:./openflow FuzzFlowText:./openflow FuzzReplies:./ovsdb FuzzReplay:./agent/store, \
	-- -run '^$$' -fuzz '^$(firstword $(subst :, ,$(f)))$$' -fuzztime $(FUZZ_FOR) -fuzzminimizetime 1s $(lastword $(subst :, ,$(f))))

.DEFAULT_GOAL := help
.PHONY: deps build test test-vm bench bench-vm chaos test-fast lint generate demo demo-vm fmt clean help

deps: ## install what tests and demo need and this machine lacks
	@integration/install-deps.sh

build: ## build greaved and greave into build/
	go build -trimpath -o build/ ./cmd/greaved ./cmd/greave

test: deps $(REPORT) ## everything: unit, golden, property, fuzz seeds, race; as root also Open vSwitch in namespaces
	@$(REPORT) $(RACE) -timeout 15m $(UNIT) -- -timeout 5m ./ovsdb -- $(RACE) -count=1 -p 1 -timeout 25m ./integration/... $(FUZZ)

test-vm: $(REPORT) ## tunnels and Open vSwitch's kernel datapath on a real kernel, in a virtual machine (part of test)
	@$(REPORT) -count=1 -timeout 15m ./integration/vm/...

bench: deps ## greave on Open vSwitch beside its rivals, in build/bench.json and docs/performance.md; BENCH=name for one
	go build -o build/bench ./integration/bench
	build/bench $(if $(BENCH),-run $(BENCH),-page docs/performance.md)

bench-vm: ## greave in the kernel beside ip and tunnels made by hand; writes build/bench-vm*.json
	@integration/vm/install-deps.sh
	@GREAVE_BENCH=full GREAVE_VM='guest=^TestBench' go test ./integration/vm -run TestGuest -count=1 -timeout 20m -v | grep -E 'bench.*_test.go|^(ok|FAIL|--- FAIL)'
	@cp build/vm/artifacts/guest/bench-vm*.json build/

CHAOS_FOR ?= 3m
CHAOS_SEED ?= 0
chaos: deps ## random faults under changing intent for CHAOS_FOR, and a kill at every point and many system calls
	go test ./integration -count=1 -v -timeout 0 -run '^TestC(haos|rash.*)$$' -chaos-for $(CHAOS_FOR) -chaos-seed $(CHAOS_SEED) -crash-points 0

test-fast: $(REPORT) ## what needs neither root nor Open vSwitch, under a minute
	@$(REPORT) -short -timeout 2m ./...

lint: $(GOLANGCI) ## formatting, vet, static analysis, the API's rules
	@bad=$$(gofmt -l $$(go list -f '{{.Dir}}' ./...)); [ -z "$$bad" ] || { echo "not gofmt'ed:" $$bad; exit 1; }
	go vet ./...
	$(GOLANGCI) run ./...
	proto/lint.sh

generate: ## generated Go: the API from .proto, the OVSDB models from the schema
	proto/generate.sh
	go generate ./ovsdb/vswitch

demo: deps ## three hosts in namespaces, two segments, pings, a repair, a kill (needs root)
	@go run ./integration/demo

demo-vm: ## the demo on a kernel with every driver, in a virtual machine: Open vSwitch's kernel datapath and mixed fabrics
	@integration/vm/install-deps.sh
	@go run ./integration/demo -vm

fmt: ## gofmt all
	gofmt -w $$(go list -f '{{.Dir}}' ./...)

clean: ## remove what was built
	rm -rf build

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Built, not run by go run, which would put words of its own behind the closing line.
$(REPORT): $(wildcard integration/testreport/*.go)
	@go build -o $@ ./integration/testreport

$(GOLANGCI):
	GOBIN=$(CURDIR)/build/tools go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
	@mv build/tools/golangci-lint $@
