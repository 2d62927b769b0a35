#!/bin/sh
# Generates the Go code of the API beside its .proto files, or below the
# directory given as the first argument. The committed descriptor set, against
# which lint.sh looks for breaking changes, is written when it is absent or
# when UPDATE_BASELINE=1. Needs go and npm; tools are kept in build/tools.
set -eu
proto=$(cd "$(dirname "$0")" && pwd)
tools=$(dirname "$proto")/build/tools
baseline=$proto/greave/v1/greave.v1.binpb

BUF=1.75.0
GEN_GO=v1.36.12
GEN_GRPC=v1.6.2

# Each tool lives in a directory named by its version, so that a new version
# here is installed and an old one is not taken for it.
[ -x "$tools/buf-$BUF/node_modules/.bin/buf" ] ||
  npm install --silent --no-save --no-audit --no-fund --prefix "$tools/buf-$BUF" "@bufbuild/buf@$BUF"
[ -x "$tools/protoc-gen-go-$GEN_GO/protoc-gen-go" ] ||
  GOBIN=$tools/protoc-gen-go-$GEN_GO go install "google.golang.org/protobuf/cmd/protoc-gen-go@$GEN_GO"
[ -x "$tools/protoc-gen-go-grpc-$GEN_GRPC/protoc-gen-go-grpc" ] ||
  GOBIN=$tools/protoc-gen-go-grpc-$GEN_GRPC go install "google.golang.org/grpc/cmd/protoc-gen-go-grpc@$GEN_GRPC"
PATH=$tools/buf-$BUF/node_modules/.bin:$tools/protoc-gen-go-$GEN_GO:$tools/protoc-gen-go-grpc-$GEN_GRPC:$PATH
ln -sfn "buf-$BUF/node_modules/.bin/buf" "$tools/buf"

cd "$proto"
if [ $# -gt 0 ]; then
  buf generate -o "$1"
  exit
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
buf generate -o "$tmp"
# Code of a .proto that is gone must go too.
rm -f greave/v1/*.pb.go
cp "$tmp"/greave/v1/*.pb.go greave/v1/
if [ ! -e "$baseline" ] || [ "${UPDATE_BASELINE:-}" = 1 ]; then
  buf build --exclude-source-info -o "$baseline"
fi
