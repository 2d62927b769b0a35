package kernel

import (
	"net"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/greave-sdn/greave/agent/kernel/rows"
	"github.com/greave-sdn/greave/agent/plan"
)

// TestExternLearned: what another control plane learned, as an EVPN daemon does, is its own: where
// greave wants an entry of the same address, that is refused and the entry stays as it is.
func TestExternLearned(t *testing.T) {
	l := newLab(t)
	l.must(plan.Create, linkRow("br0", "bridge"))
	l.must(plan.Create, linkRow("vx0", "vxlan", "id=7", "master=br0"))
	l.must(plan.Create, linkRow("vx1", "vxlan", "id=8", "master=br0"))
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 5}
	const learned = netlink.NTF_EXT_LEARNED
	for _, c := range []struct {
		what  string
		entry netlink.Neigh
		want  rows.Row
	}{
		{"of the bridge, on another port", netlink.Neigh{LinkIndex: l.index("vx1"), Family: unix.AF_BRIDGE, State: netlink.NUD_NOARP,
			Flags: learned | netlink.NTF_MASTER, HardwareAddr: mac}, row(rows.FDB, "vx0", "master "+mac.String())},
		{"of the VXLAN device", netlink.Neigh{LinkIndex: l.index("vx0"), Family: unix.AF_BRIDGE, State: netlink.NUD_NOARP | netlink.NUD_PERMANENT,
			Flags: learned | netlink.NTF_SELF, HardwareAddr: mac, IP: net.IPv4(192, 0, 2, 9)}, row(rows.FDB, "vx0", "self "+mac.String()+" 192.0.2.8")},
		{"a neighbour", netlink.Neigh{LinkIndex: l.index("br0"), Family: unix.AF_INET, State: netlink.NUD_REACHABLE,
			Flags: learned, HardwareAddr: mac, IP: net.IPv4(10, 0, 0, 9)}, row(rows.Neighbour, "br0", "10.0.0.9", "lladdr=02:00:00:00:00:06")},
	} {
		t.Run(c.what, func(t *testing.T) {
			l := &lab{l.Handle, t, l.ns, l.host}
			check(t, l.NeighAdd(&c.entry))
			before := l.learnedOf(c.entry)
			if err := l.do(plan.Create, c.want); !IsExists(err) {
				t.Errorf("greave's own: %v", err)
			}
			if after := l.learnedOf(c.entry); after != before || before == "" {
				t.Errorf("it was %s and is %s", before, after)
			}
			if got, there := l.read(l.scope())[c.want.Key]; there && got.Owned {
				t.Errorf("taken for greave's: %s", got.Text())
			}
		})
	}
}

// learnedOf spells what another control plane has on a device.
func (l *lab) learnedOf(e netlink.Neigh) (out string) {
	l.t.Helper()
	list, err := l.NeighList(e.LinkIndex, e.Family)
	check(l.t, err)
	for _, n := range list {
		if n.Flags&netlink.NTF_EXT_LEARNED != 0 {
			out += n.String() + "\n"
		}
	}
	return out
}
