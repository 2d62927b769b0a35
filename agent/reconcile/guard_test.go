package reconcile

import (
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/greave-sdn/greave/model"
)

func many(from, to int) model.HostState {
	var list []model.Tunnel
	for n := from; n < to; n++ {
		list = append(list, tunnel(fmt.Sprintf("m%d", n), byte(n)))
	}
	return doc(list...)
}

func (s *sim) size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.rows)
}

// TestMassRemoval: what takes away more than 20 objects that are more than 30 % of all waits for a
// yes, in any of the words there are for it, and says so; less does not.
func TestMassRemoval(t *testing.T) {
	yes := func(s model.HostState) model.HostState { s.AllowMassRemoval = true; return s }
	for _, c := range []struct {
		name         string
		before, next model.HostState
		held         bool
	}{
		{"20 of 21", many(0, 20), doc(), false},
		{"30 of 101", many(0, 100), many(30, 100), false},
		{"31 of 101", many(0, 100), many(31, 100), true},
		{"21 of 22", many(0, 21), doc(), true},
		{"all replaced by as many", many(0, 30), many(100, 130), true},
		{"agreed in the document", many(0, 100), yes(doc()), false},
		{"empty in so many words", many(0, 100), model.HostState{AllowEmpty: true}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *rig) {
				r.mustSubmit("operator", c.before)
				had := r.sim.size()
				n, err := r.submit("operator", c.next)
				must(t, err)
				realised, not, err := r.Wait(t.Context(), "operator", n)
				must(t, err)
				if realised == c.held {
					t.Fatalf("realised %t: %v", realised, not)
				}
				if !c.held {
					if left := r.sim.size(); left != len(c.next.Bridges)+len(c.next.Tunnels) {
						t.Errorf("%d rows are left", left)
					}
					return
				}
				if r.sim.size() != had || not[0].Ready().Reason != ReasonMassRemoval {
					t.Errorf("%d of %d rows are left; %+v", r.sim.size(), had, not[0])
				}
				r.restart() // it waits still, without a memory of what was
				if r.sim.size() != had {
					t.Errorf("%d of %d rows are left after a restart", r.sim.size(), had)
				}
				text, err := json.Marshal(c.next)
				must(t, err)
				if _, err := r.Submit(t.Context(), Submission{Source: "operator", Document: text, State: c.next, MassRemoval: true}); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if left := r.sim.size(); left == had && c.name != "all replaced by as many" {
					t.Errorf("%d rows are left after the yes", left)
				}
				if h := r.Status(); !h.Sources[0].Realised || len(h.Conditions) != 1 {
					t.Errorf("after the yes: %+v %+v", h.Sources, h.Conditions)
				}
			})
		})
	}
}

// TestMassRemovalOfAnother: the yes of one source is none to take away what another stated.
func TestMassRemovalOfAnother(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.mustSubmit("operator", model.HostState{Bridges: doc().Bridges, AllowMassRemoval: true})
		others := many(0, 40)
		others.Bridges = nil
		r.mustSubmit("controller", others)
		had := r.sim.size()
		r.mustSubmit("controller", model.HostState{Tunnels: others.Tunnels[:1]})
		if left := r.sim.size(); left != had {
			t.Errorf("%d of %d rows are left", left, had)
		}
	})
}
