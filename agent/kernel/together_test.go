package kernel

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/greave-sdn/greave/agent/kernel/rows"
	"github.com/greave-sdn/greave/agent/plan"
)

func makeOps(verb plan.Verb, list ...rows.Row) (ops []plan.Op) {
	for i := range list {
		ops = append(ops, plan.Op{Verb: verb, Stage: plan.StageAdd, Row: &list[i]})
	}
	return ops
}

func TestTogether(t *testing.T) {
	many := make([]rows.Row, togetherMax+1)
	for i := range many {
		many[i] = linkRow(fmt.Sprint("v", i), "vxlan")
	}
	elsewhere := linkRow("v1", "vxlan")
	elsewhere.Netns = "blue"
	for _, c := range []struct {
		what string
		ops  []plan.Op
		want int
	}{
		{"one", makeOps(plan.Create, many[0]), 1},
		{"as many as there may be", makeOps(plan.Create, many...), togetherMax},
		{"a bridge and its port", makeOps(plan.Create, linkRow("br0", "bridge"), many[0], linkRow("p0", "vxlan", "master=br0")), 2},
		{"a device and one above it", makeOps(plan.Create, many[0], linkRow("v0.7", "vlan", "dev=v0")), 1},
		{"ports of a bridge that is there", makeOps(plan.Create, linkRow("p0", "vxlan", "master=br0"), linkRow("p1", "vxlan", "master=br0")), 2},
		{"a device and its address", makeOps(plan.Create, many[0], row(rows.Address, "v0", "10.0.0.1/24")), 1},
		{"another namespace", makeOps(plan.Create, many[0], elsewhere), 1},
		{"another verb", append(makeOps(plan.Create, many[0]), makeOps(plan.Update, many[1])...), 1},
	} {
		if got := together(c.ops); got != c.want {
			t.Errorf("%s: %d, want %d", c.what, got, c.want)
		}
	}
}

// TestDoTogether: what one operation of many is refused for costs no other anything, and what others
// made is left as it was.
func TestDoTogether(t *testing.T) {
	l := newLab(t)
	foreign := l.dummy(l.Handle, "v7")
	var list []rows.Row
	for i := range 40 {
		list = append(list, linkRow(fmt.Sprint("v", i), "vxlan", fmt.Sprint("id=", 100+i), fmt.Sprint("dstport=", 5000+i)))
	}
	list[9].Fields["id"] = "none"
	errs := l.host.Do(t.Context(), makeOps(plan.Create, list...))
	var addresses []rows.Row
	got := l.read(l.scope())
	for i, r := range list {
		switch i {
		case 7:
			if !IsExists(errs[i]) || l.index("v7") != foreign.Attrs().Index || got[r.Key].Fields[rows.FieldAlias] != "" || got[r.Key].Owned {
				t.Errorf("a name that is taken: %v; the device is %s", errs[i], got[r.Key].Text())
			}
		case 9:
			if _, there := got[r.Key]; errs[i] == nil || there {
				t.Errorf("no number: %v, there %v", errs[i], there)
			}
		default:
			check(t, errs[i])
			l.compare(r, got[r.Key])
			addresses = append(addresses, row(rows.Address, r.Link, fmt.Sprintf("10.9.%d.1/24", i)))
		}
	}
	for _, s := range l.host.spaces { // as after a making, of which no reading followed
		clear(s.index)
	}
	addresses = append(addresses, row(rows.Address, "nowhere", "10.9.99.1/24"))
	errs = l.host.Do(t.Context(), makeOps(plan.Create, addresses...))
	got = l.read(l.scope())
	for i, a := range addresses {
		if a.Link == "nowhere" {
			if !IsGone(errs[i]) {
				t.Errorf("an address of no device: %v", errs[i])
			}
			continue
		}
		check(t, errs[i])
		if _, there := got[a.Key]; !there {
			t.Errorf("%s is not there", a.Key)
		}
	}
	ended, end := context.WithCancel(t.Context())
	end()
	for i, err := range l.host.Do(ended, makeOps(plan.Delete, list[0], list[1])) {
		if !errors.Is(err, context.Canceled) || l.index(list[i].Link) == 0 {
			t.Errorf("after the end: %v", err)
		}
	}
	for _, err := range l.host.Do(t.Context(), makeOps(plan.Delete, list[:7]...)) {
		check(t, err)
	}
	if l.index("v0") != 0 || l.index("v6") != 0 || l.index("v8") == 0 {
		t.Error("others are deleted than those that shall be")
	}
}

// TestChangesUnanswered: a change that is not sent is not made, and none waits for its answer.
func TestChangesUnanswered(t *testing.T) {
	s, err := openSocket(unix.NETLINK_ROUTE)
	check(t, err)
	s.close()
	list := []*change{{typ: unix.RTM_DELLINK}, {typ: unix.RTM_DELLINK}}
	s.changes(t.Context(), list)
	for _, c := range list {
		if !errors.Is(c.err, unix.EBADF) {
			t.Errorf("got %v", c.err)
		}
	}
}
