package integration

import (
	"os"
	"path/filepath"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/greave-sdn/greave/agent"
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
