package openflow_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/greave-sdn/greave/openflow/ofctl/ofctltest"
)

// FuzzFlowText: any flow that the encoder may emit is one line that reads back equal.
func FuzzFlowText(f *testing.F) {
	f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) {
		flow := ofctltest.Flow().Draw(t, "flow")
		if err := flow.Check(); err != nil {
			t.Fatal(err)
		}
		roundTrip(t, flow)
	}))
}
