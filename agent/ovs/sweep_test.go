package ovs

import (
	"testing"
	"time"
)

// TestOrphanage: ripe is what two full observations found, far enough apart, with
// no doubt between them.
func TestOrphanage(t *testing.T) {
	const grace = 10 * time.Second
	tap, again := sighting{"tap", "row-1", "vm-1"}, sighting{"tap", "row-2", "vm-1"}
	type look struct {
		after time.Duration
		full  bool
		sees  []sighting
	}
	for _, c := range []struct {
		name  string
		looks []look
		ripe  bool // at the last look
	}{
		{"once", []look{{0, true, []sighting{tap}}}, false},
		{"twice", []look{{0, true, []sighting{tap}}, {grace, true, []sighting{tap}}}, true},
		{"twice at once", []look{{0, true, []sighting{tap}}, {time.Second, true, []sighting{tap}}}, false},
		{"events between", []look{{0, true, []sighting{tap}}, {time.Second, false, []sighting{tap}}, {grace, true, []sighting{tap}}}, true},
		{"first by an event", []look{{0, false, []sighting{tap}}, {grace, true, []sighting{tap}}}, false},
		{"back between", []look{{0, true, []sighting{tap}}, {time.Second, false, nil}, {grace, true, []sighting{tap}}}, false},
		{"another row", []look{{0, true, []sighting{tap}}, {grace, true, []sighting{again}}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, got := orphanage{}, map[string]string{}
			for _, l := range c.looks {
				at := time.Unix(1000, 0).Add(l.after)
				now := map[sighting]bool{}
				for _, s := range l.sees {
					now[s] = true
				}
				got = o.ripe(now, at, grace)
				o.note(now, l.full, at)
			}
			if (got["tap"] != "") != c.ripe {
				t.Errorf("ripe: %v, want %v", got, c.ripe)
			}
		})
	}
}
