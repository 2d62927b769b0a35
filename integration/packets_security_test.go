package integration

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/greave-sdn/greave/integration/lab"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// guardedLab is host h1 with a guest behind guards, a free one and one more that
// hears, and host h2 with another that does.
type guardedLab struct {
	*lab.Lab
	guarded, free, near, far *lab.Raw
}

const (
	guardedLL = "fe80::ff:fe00:1" // of askerMAC
	freeMAC   = "02:00:00:00:00:0c"
)

func guardDoc(q guardedLab, h *lab.Host, ports string) string {
	return vtepOf(h) + "segments:\n- {name: red, key: 100}\npeers:\n" + peersOf(q.Hosts, h, ", segments: [red]") + "ports:\n" + ports
}

// guardPort is the port of the guarded guest with these guards.
func guardPort(guards string) string {
	return fmt.Sprintf(`- {name: g1, device: g1, attachments: [{segment: red}], macs: [%q], ips: [10.0.0.1, "fd00::1"], security: {%s}}
- {name: free, device: free, attachments: [{segment: red}]}
- {name: near, device: near, attachments: [{segment: red}]}
`, askerMAC, guards)
}

func startGuarded(t *testing.T) guardedLab {
	t.Helper()
	q := guardedLab{Lab: lab.ForTest(t, lab.Options{})}
	start(t, q.Lab)
	h1, h2 := q.Hosts[0], q.Hosts[1]
	q.guarded = raw(t, guest(t, h1, "g1", "", askerMAC, 0))
	q.free = raw(t, guest(t, h1, "free", "", freeMAC, 0))
	q.near = raw(t, guest(t, h1, "near", "", nearMAC, 0))
	q.far = raw(t, guest(t, h2, "g2", "", farMAC, 0))
	apply(t, h2, guardDoc(q, h2, "- {name: g2, device: g2, attachments: [{segment: red}]}\n"))
	apply(t, h1, guardDoc(q, h1, guardPort("mac: true, ip: true, arp: true, dhcp_guard: true, ra_guard: true")))
	crossing(t, q.guarded, q.far, askerMAC)
	return q
}

// put sends a frame from one guest, three times, and counts it at the others.
func (q guardedLab) put(t *testing.T, from *lab.Raw, frame []byte) (near, far int) {
	t.Helper()
	count(t, q.near, nil)
	count(t, q.far, nil)
	for range 3 {
		send(t, from, frame)
	}
	time.Sleep(delivery)
	return count(t, q.near, frame), count(t, q.far, frame)
}

// drops is what the status of the guarded port says its guards dropped.
func (q guardedLab) drops(t *testing.T) *greavev1.ObservedPortSecurity {
	t.Helper()
	r, err := dial(t, q.Hosts[0]).List(t.Context(), &greavev1.ListRequest{Kind: greavev1.ObjectKind_OBJECT_KIND_PORT, Name: "g1"})
	if err != nil || len(r.Objects) != 1 {
		t.Fatalf("port g1: %v: %v", r, err)
	}
	return r.Objects[0].GetPort().GetSecurity()
}

// spoof is a frame that a guard drops, and what the guard is called; "" passes.
type spoof struct {
	name, guard string
	frame       []byte
}

func spoofs() []spoof {
	own4, other4, own6, other6, all6 := addr("10.0.0.1"), addr("10.0.0.2"), addr("fd00::1"), addr("fd00::2"), addr("ff02::1")
	none4, none6, ll := addr("0.0.0.0"), addr("::"), addr(guardedLL)
	const toAll6 = "33:33:00:00:00:01"
	frame6 := func(p []byte) []byte { return ethernet(toAll6, askerMAC, 0x86dd, p) }
	frame4 := func(p []byte) []byte { return ethernet(everyone, askerMAC, 0x0800, p) }
	request := func(sha string, spa netip.Addr) []byte {
		return ethernet(everyone, askerMAC, 0x0806, arp(1, sha, spa, nobodyMAC, addr("10.0.0.9")))
	}
	all4 := addr("255.255.255.255")
	var reports = append(make([]byte, 4), make([]byte, 20)...) // of no group, as far as the switch looks
	return []spoof{
		{"own frame", "", ethernet(everyone, askerMAC, 0x88b5, make([]byte, 46))},
		{"another MAC", "mac", ethernet(everyone, farMAC, 0x88b5, make([]byte, 46))},
		{"another MAC with own IP", "mac", ethernet(everyone, farMAC, 0x0800, udp4(own4, all4, 7, 7))},
		{"own IPv4", "", frame4(udp4(own4, all4, 7, 7))},
		{"another IPv4", "ip", frame4(udp4(other4, all4, 7, 7))},
		{"another IPv4 in a VLAN", "ip", ethernet(everyone, askerMAC, 0x0800, udp4(other4, all4, 7, 7), 0x8100, 0)},
		{"another IPv4 in two VLANs", "tags", ethernet(everyone, askerMAC, 0x0800, udp4(other4, all4, 7, 7), 0x88a8, 5, 0x8100, 0)},
		{"DHCP from none", "", frame4(udp4(none4, all4, 68, 67))},
		{"IPv4 from none", "ip", frame4(udp4(none4, all4, 7, 7))},
		{"DHCP server", "dhcp_guard", frame4(udp4(own4, all4, 67, 68))},
		{"own IPv6", "", frame6(udp6(own6, all6, 7, 7))},
		{"own link-local", "", frame6(udp6(ll, all6, 7, 7))},
		{"another IPv6", "ip", frame6(udp6(other6, all6, 7, 7))},
		{"another link-local", "ip", frame6(udp6(addr("fe80::ff:fe00:2"), all6, 7, 7))},
		{"DHCPv6 client", "", frame6(udp6(ll, addr("ff02::1:2"), 546, 547))},
		{"DHCPv6 server", "dhcp_guard", frame6(udp6(ll, all6, 547, 546))},
		{"router solicitation from none", "", frame6(icmp6(133, none6, addr("ff02::2"), make([]byte, 4)))},
		{"listener report from none", "", frame6(icmp6(143, none6, addr("ff02::16"), reports))},
		{"router advertisement", "ra_guard", frame6(icmp6(134, ll, all6, make([]byte, 12)))},
		{"duplicate address detection", "", frame6(icmp6(135, none6, all6, nd(0, own6, 0, "")))},
		{"solicitation", "", frame6(icmp6(135, own6, all6, nd(0, other6, 1, askerMAC)))},
		{"solicitation with another MAC", "arp", frame6(icmp6(135, own6, all6, nd(0, other6, 1, farMAC)))},
		{"advertisement", "", frame6(icmp6(136, own6, all6, nd(0x20000000, own6, 2, askerMAC)))},
		{"advertisement for another", "arp", frame6(icmp6(136, own6, all6, nd(0x20000000, other6, 2, askerMAC)))},
		{"advertisement with another MAC", "arp", frame6(icmp6(136, own6, all6, nd(0x20000000, own6, 2, farMAC)))},
		{"two options", "arp", frame6(icmp6(135, own6, all6, append(nd(0, other6, 1, farMAC), nd(0, other6, 1, farMAC)[20:]...)))},
		{"ARP", "", request(askerMAC, own4)},
		{"ARP probe", "", request(askerMAC, none4)},
		{"gratuitous ARP", "", ethernet(everyone, askerMAC, 0x0806, arp(1, askerMAC, own4, nobodyMAC, own4))},
		{"ARP for another", "arp", request(askerMAC, other4)},
		{"ARP with another MAC", "arp", request(farMAC, own4)},
		{"ARP reply for another", "arp", ethernet(everyone, askerMAC, 0x0806, arp(2, askerMAC, other4, nearMAC, addr("10.0.0.9")))},
	}
}

// TestL11PortSecurity: what a guest may not send goes nowhere and is counted by
// its guard in the port's status; what it may send arrives, and so does all of
// it from a port without guards.
func TestL11PortSecurity(t *testing.T) {
	t.Parallel()
	q := startGuarded(t)
	want := &greavev1.ObservedPortSecurity{}
	for _, s := range spoofs() {
		n := 3
		if s.guard != "" {
			n = 0
			field := want.ProtoReflect().Descriptor().Fields().ByTextName(s.guard)
			count := want.ProtoReflect().Get(field).Uint()
			want.ProtoReflect().Set(field, protoreflect.ValueOfUint64(count+3))
		}
		t.Run(s.name, func(t *testing.T) {
			if near, far := q.put(t, q.guarded, s.frame); near != n || far != n {
				t.Errorf("from the guarded port %d heard here and %d there, want %d", near, far, n)
			}
			if near, far := q.put(t, q.free, s.frame); near != 3 || far != 3 {
				t.Errorf("from the free port %d heard here and %d there, want 3", near, far)
			}
		})
	}
	eventually(t, 10*time.Second, fmt.Sprintf("the status counts %v", want), func() bool { return proto.Equal(q.drops(t), want) })
	r, err := dial(t, q.Hosts[0]).List(t.Context(), &greavev1.ListRequest{Kind: greavev1.ObjectKind_OBJECT_KIND_PORT, Name: "g1"})
	if err != nil {
		t.Fatal(err)
	}
	c := r.Objects[0].GetPort().GetCounters()
	total := fmt.Sprint(c.RxDropped + c.TxDropped + want.Mac + want.Ip + want.Arp + want.DhcpGuard + want.RaGuard + want.Tags)
	out, stderr, err := q.Hosts[0].Greave(t.Context(), "get", "port", "g1")
	if err != nil {
		t.Fatalf("%v: %s", err, stderr)
	}
	if fields := strings.Fields(out); fields[len(fields)-1] != total {
		t.Errorf("greave get port: %s\nwant %s drops", out, total)
	}
}

// TestL11GuardsTakenAway: a guard that is taken out of the document lets pass
// what it dropped, and each guard alone drops no more than its own.
func TestL11GuardsTakenAway(t *testing.T) {
	t.Parallel()
	q := startGuarded(t)
	h1 := q.Hosts[0]
	list := spoofs()
	for _, guard := range []string{"mac", "ip", "arp", "dhcp_guard", "ra_guard"} {
		t.Run(guard, func(t *testing.T) {
			apply(t, h1, guardDoc(q, h1, guardPort(guard+": true")))
			for _, s := range list {
				if s.guard == "mac" && guard != "mac" { // has an own IP: only its MAC is wrong
					continue
				}
				n := 3
				if s.guard == guard || s.guard == "tags" && guard != "mac" {
					n = 0
				}
				if near, far := q.put(t, q.guarded, s.frame); near != n || far != n {
					t.Errorf("%s: %d heard here and %d there, want %d", s.name, near, far, n)
				}
			}
		})
	}
	apply(t, h1, guardDoc(q, h1, strings.Replace(guardPort(""), ", security: {}", "", 1)))
	for _, s := range list {
		if near, far := q.put(t, q.guarded, s.frame); near != 3 || far != 3 {
			t.Errorf("without guards, %s: %d heard here and %d there, want 3", s.name, near, far)
		}
	}
	if d := q.drops(t); d != nil {
		t.Errorf("a port without guards counts %v", d)
	}
}
