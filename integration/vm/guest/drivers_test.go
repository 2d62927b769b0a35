package guest

import (
	"net"
	"testing"

	"github.com/vishvananda/netlink"
)

// TestDrivers proves that the kernel has every driver the product can use, so that no other test
// here needs a way round a missing one.
func TestDrivers(t *testing.T) {
	h := newHost(t)
	local4, remote4 := net.IPv4(192, 0, 2, 1), net.IPv4(192, 0, 2, 2)
	local6, remote6 := net.ParseIP("2001:db8::1"), net.ParseIP("2001:db8::2")
	for _, link := range []netlink.Link{
		&netlink.Gretun{Local: local4, Remote: remote4},
		&netlink.Gretun{Local: local6, Remote: remote6},
		&netlink.Gretap{Local: local4, Remote: remote4},
		&netlink.Gretap{Local: local6, Remote: remote6},
		&netlink.Vxlan{VxlanId: 7, Port: 4789},
		&netlink.Geneve{ID: 7, Remote: remote4},
		&netlink.Iptun{Local: local4, Remote: remote4},
		&netlink.Sittun{Local: local4, Remote: remote4},
		&netlink.Ip6tnl{Local: local6, Remote: remote6},
		&netlink.Bridge{},
		&netlink.Dummy{},
		&netlink.Ifb{},
		&netlink.Vrf{Table: 7},
		&netlink.Veth{PeerName: "peer"},
		&netlink.Wireguard{},
	} {
		t.Run(link.Type(), func(t *testing.T) {
			*link.Attrs() = netlink.NewLinkAttrs()
			link.Attrs().Name = "probe"
			check(t, h.LinkAdd(link))
			found, err := h.LinkByName("probe")
			check(t, err)
			if found.Type() != link.Type() {
				t.Errorf("kernel made %s", found.Type())
			}
			check(t, h.LinkDel(found))
		})
	}
	for _, family := range []string{"ovs_datapath", "ovs_vport", "fou", "macsec"} {
		t.Run(family, func(t *testing.T) {
			_, err := h.GenlFamilyGet(family)
			check(t, err)
		})
	}
}
