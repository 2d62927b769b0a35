package reconcile

import (
	"strings"
	"testing"

	"github.com/greave-sdn/greave/agent/plan"
	"github.com/greave-sdn/greave/model"
)

// TestWipeIsOneRepair: a bridge that had lost all flows is told of once, with the
// cause and what of its rows was mended, and not for each object with flows on it;
// without a wipe each object has its own.
func TestWipeIsOneRepair(t *testing.T) {
	bridge, red := model.Ref{Kind: model.KindBridge, Name: "br"}, model.Ref{Kind: model.KindSegment, Name: "red"}
	values := map[model.Ref]any{bridge: 1, red: 2}
	l := &Loop{realised: values}
	done := []plan.Op{
		{Verb: plan.Update, Object: bridge, Target: "bridge br", Changes: []plan.Change{{Field: "fail_mode", Old: "standalone", New: "secure"}}},
		{Verb: plan.Install, Object: bridge, Target: plan.FlowsOf("br")},
		{Verb: plan.Install, Object: red, Target: plan.FlowsOf("br")},
	}
	got := l.repairsIn(Outcome{Done: done, Wiped: map[model.Ref]string{bridge: "all gone"}}, values, model.Resolved{})
	if text := got[bridge].String(); len(got) != 1 || !strings.Contains(text, "all gone; put back") || !strings.Contains(text, "standalone→secure") || strings.Contains(text, "install") {
		t.Errorf("repairs: %v", got)
	}
	if got := l.repairsIn(Outcome{Done: done}, values, model.Resolved{}); len(got) != 2 || len(got[bridge].ops) != 2 {
		t.Errorf("without a wipe: %v", got)
	}
}
