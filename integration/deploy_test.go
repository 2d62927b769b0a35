package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/schema"
	"go.yaml.in/yaml/v3"
	"golang.org/x/sys/unix"

	"github.com/greave-sdn/greave/agent"
	"github.com/greave-sdn/greave/integration/lab"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/proto/convert"
)

// TestDeployedExamplesAreValid checks every document of deploy/examples as
// greaved would.
func TestDeployedExamplesAreValid(t *testing.T) {
	files, err := filepath.Glob("../deploy/examples/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		wire, _, err := convert.Parse(filepath.Base(f), text)
		if err != nil {
			t.Error(err)
			continue
		}
		state, fields := convert.FromWire(wire)
		if len(fields) > 0 {
			t.Errorf("%s: %v", f, fields)
			continue
		}
		if err := model.Validate(model.Normalize(state, model.HostState{}), nil, "hv1", model.Capabilities{}); err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
}

// TestDeployedConfigurationIsTheDefault holds deploy/greaved.yaml to what
// greaved does without it.
func TestDeployedConfigurationIsTheDefault(t *testing.T) {
	text, err := os.ReadFile("../deploy/greaved.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var stated agent.Config
	if err := yaml.Unmarshal(text, &stated); err != nil {
		t.Fatal(err)
	}
	defaults, err := agent.Config{OVSDB: stated.OVSDB}.Defaults()
	if err != nil {
		t.Fatal(err)
	}
	filled, err := stated.Defaults()
	if err != nil {
		t.Fatal(err)
	}
	if filled != defaults {
		t.Errorf("stated %+v, defaults %+v", filled, defaults)
	}
}

// rights are what a compose file grants greaved.
type rights struct {
	Build       struct{ Context, Dockerfile string }
	NetworkMode string   `yaml:"network_mode"`
	User        string   `yaml:"user"`
	CapAdd      []string `yaml:"cap_add"`
	CapDrop     []string `yaml:"cap_drop"`
	SecurityOpt []string `yaml:"security_opt"`
	ReadOnly    bool     `yaml:"read_only"`
	Volumes     []string `yaml:"volumes"`
}

// TestComposeFiles holds every compose file to the schema of the Compose
// Specification, and to the rights that it promises: the kernel's has one
// capability, the sidecar none, nor root.
func TestComposeFiles(t *testing.T) {
	promised := map[string]rights{
		"kernel":  {CapAdd: []string{"NET_ADMIN"}, Volumes: []string{"greave-state:/var/lib/greave", "/run/greave:/run/greave", "/etc/greave:/etc/greave:ro"}},
		"sidecar": {User: "65532:65532", Volumes: []string{"greave-state:/var/lib/greave", "greave-run:/run/greave", "/run/openvswitch:/run/openvswitch", "/etc/greave:/etc/greave:ro"}},
	}
	files, err := filepath.Glob("../deploy/*/compose.yaml")
	if err != nil || len(files) != len(promised) {
		t.Fatalf("compose files: %v, %v", files, err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var doc map[string]any
		if err := yaml.Unmarshal(text, &doc); err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(doc); err != nil {
			t.Errorf("%s: %v", f, err)
		}
		var file struct{ Services map[string]rights }
		if err := yaml.Unmarshal(text, &file); err != nil {
			t.Fatal(err)
		}
		got := file.Services["greaved"]
		if _, err := os.Stat(filepath.Join(filepath.Dir(f), got.Build.Context, got.Build.Dockerfile)); err != nil {
			t.Error(err)
		}
		want := promised[filepath.Base(filepath.Dir(f))]
		want.Build, want.NetworkMode, want.CapDrop, want.ReadOnly = got.Build, "host", []string{"ALL"}, true
		want.SecurityOpt = []string{"no-new-privileges:true"}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s grants\n%+v, want\n%+v", f, got, want)
		}
	}
}

// kernelRights runs its arguments with what deploy/kernel/compose.yaml grants:
// CAP_NET_ADMIN, and no place to write but its directory.
const kernelRights = `#!/bin/sh
exec unshare --mount --propagation private sh -c '
	mount --bind "$0" "$0" && mount -o remount,ro,bind / &&
	exec setpriv --no-new-privs --bounding-set=-all,+net_admin --inh-caps=-all "$@"
' DIR GREAVED "$@"
`

// TestKernelRights: greaved with the rights of deploy/kernel/compose.yaml and no
// other builds a segment on a host without Open vSwitch, which a host with it is
// on too.
func TestKernelRights(t *testing.T) {
	greaved, _, err := lab.Binaries(t.Context())
	if err != nil {
		lab.Require(t)
		t.Fatal(err)
	}
	wrapper := filepath.Join(t.TempDir(), "greaved")
	l := lab.ForTest(t, lab.Options{Hosts: 1, Greaved: wrapper})
	switchHost := l.Hosts[0]
	kernelHost, err := l.AddKernelHost(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(kernelHost.StateDir())
	script := strings.NewReplacer("DIR", filepath.Dir(dir), "GREAVED", greaved).Replace(kernelRights)
	if err := os.WriteFile(wrapper, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, h := range l.Hosts {
		if err := h.StartGreaved(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", kernelHost.GreavedPid()))
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("CapEff:\t%016x", 1<<unix.CAP_NET_ADMIN); !strings.Contains(string(status), want) {
		t.Fatalf("greaved runs with other capabilities than %s:\n%s", want, status)
	}
	var guests []*lab.Guest
	for i, h := range l.Hosts {
		g, err := h.AddGuest(t.Context(), fmt.Sprintf("vm%d", i), fmt.Sprintf("10.0.0.%d/24", i+1), fmt.Sprintf("02:00:00:00:00:0%d", i+1), 1400)
		if err != nil {
			t.Fatal(err)
		}
		guests = append(guests, g)
		apply(t, h, fmt.Sprintf(`
vteps: [{name: v, address: %s}]
segments: [{name: red, key: 100, encap: vxlan}]
peers: [{name: other, paths: [{remote: %s}], segments: [red]}]
ports: [{name: vm, device: %s, attachments: [{segment: red}]}]
`, h.VTEP, l.Hosts[1-i].VTEP, g.Dev))
	}
	_, _ = guests[0].Ping(t.Context(), guests[1].Addr.Addr(), 1, 100*time.Millisecond)
	if s, err := guests[0].Ping(t.Context(), guests[1].Addr.Addr(), 5, 50*time.Millisecond); err != nil || s.Received != 5 {
		t.Errorf("from %s to %s: %+v, %v", switchHost.Name, kernelHost.Name, s, err)
	}
}
