package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
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

// TestComposeFiles holds every compose file to the schema of the Compose
// Specification, and the kernel's to the rights that it promises.
func TestComposeFiles(t *testing.T) {
	files, err := filepath.Glob("../deploy/*/compose.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no compose files: %v", err)
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
	}
	var kernel struct {
		Services map[string]struct {
			NetworkMode string   `yaml:"network_mode"`
			CapAdd      []string `yaml:"cap_add"`
			CapDrop     []string `yaml:"cap_drop"`
			SecurityOpt []string `yaml:"security_opt"`
			ReadOnly    bool     `yaml:"read_only"`
			Build       struct{ Context, Dockerfile string }
		}
	}
	text, err := os.ReadFile("../deploy/kernel/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &kernel); err != nil {
		t.Fatal(err)
	}
	s := kernel.Services["greaved"]
	if s.NetworkMode != "host" || !slices.Equal(s.CapAdd, []string{"NET_ADMIN"}) || !slices.Equal(s.CapDrop, []string{"ALL"}) ||
		!slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}) || !s.ReadOnly {
		t.Errorf("rights of deploy/kernel: %+v", s)
	}
	if _, err := os.Stat(filepath.Join("../deploy/kernel", s.Build.Context, s.Build.Dockerfile)); err != nil {
		t.Error(err)
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
