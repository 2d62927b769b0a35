package plan_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/greave-sdn/greave/agent/kernel/rows"
	"github.com/greave-sdn/greave/model"
)

// layer3 is a tunnel that is a device of its own.
func layer3() model.HostState {
	return model.HostState{Tunnels: []model.Tunnel{{
		Name: "gre1", Layer: model.LayerL3, Encap: model.EncapGRE, Local: addr("192.0.2.1"), Remote: addr("192.0.2.7"),
		KeyIn: model.Some[uint64](7), KeyOut: model.Some[uint64](8), Checksum: true,
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.9.0.1/30")},
		Routes:    []model.Route{{Destination: netip.MustParsePrefix("10.20.0.0/16")}, {Destination: netip.MustParsePrefix("fd20::/64")}},
	}}}
}

// kernelSegment is a segment with a GRE peer and a VXLAN peer.
func kernelSegment() model.HostState {
	s := overlay()
	s.Ports = s.Ports[:1]
	s.Ports[0].MACs = []model.MAC{{2, 0, 0, 0, 0, 1}}
	s.Segments[0].Suppression.Enabled = true
	s.Fdb[0].IPs = []netip.Addr{addr("10.0.0.2")}
	s.Peers = append(s.Peers, model.Peer{Name: "host-c", Encap: model.EncapVXLAN, Paths: []model.Path{{Remote: addr("192.0.2.3")}}, Segments: []string{"red"}})
	s.Fdb = append(s.Fdb, model.FdbEntry{Segment: "red", MAC: model.MAC{2, 0, 0, 0, 0, 3}, Peer: "host-c"})
	return s
}

type kernelScene struct {
	name string
	was  model.HostState
	hand func(*kernelHost)
	want func(*model.HostState)
}

func change(f func(*model.HostState)) func(*model.HostState) { return f }

var kernelScenes = []kernelScene{
	{name: "a layer 3 tunnel", want: change(func(s *model.HostState) { *s = layer3() })},
	{name: "another ttl, in place", was: layer3(), want: tunnel(func(t *model.Tunnel) { t.TTL.Fixed = model.Some[uint32](9) })},
	{name: "another remote, in place", was: layer3(), want: tunnel(func(t *model.Tunnel) { t.Remote = addr("192.0.2.8") })},
	{name: "any remote, made anew", was: layer3(), want: tunnel(func(t *model.Tunnel) {
		t.Remote, t.Far, t.Checksum = netip.Addr{}, model.FarAny, false
		t.Neighbours = []model.Neighbour{{Overlay: addr("10.9.0.2"), Underlay: addr("192.0.2.7")}, {Overlay: addr("10.9.0.3"), Underlay: addr("192.0.2.8")}}
	})},
	{name: "a route and an address less", was: layer3(), want: tunnel(func(t *model.Tunnel) { t.Addresses, t.Routes = nil, t.Routes[:1] })},
	{name: "device deleted by hand", was: layer3(), hand: func(h *kernelHost) { h.remove(h.rows[linkKey("gre1")]) }},
	{name: "a foreign device has the name", hand: func(h *kernelHost) { h.device("gre1", "dummy", nil) }, want: change(func(s *model.HostState) { *s = layer3() })},
	{name: "no longer wanted", was: layer3(), want: change(func(s *model.HostState) { *s = model.HostState{} })},
	{name: "one device for all peers", want: change(func(s *model.HostState) {
		*s = layer3()
		t := &s.Tunnels[0]
		t.Remote, t.Local, t.Far, t.Checksum, t.KeyIn, t.Routes = netip.Addr{}, netip.Addr{}, model.FarFlow, false, model.Opt[uint64]{}, nil
		t.Neighbours = []model.Neighbour{{Overlay: addr("10.9.0.2"), Underlay: addr("192.0.2.7")}, {Overlay: addr("fd09::3"), Underlay: addr("192.0.2.8")}}
	})},
	{name: "a segment", want: change(func(s *model.HostState) { *s = kernelSegment() })},
	{name: "a peer less", was: kernelSegment(), want: change(func(s *model.HostState) { s.Peers, s.Fdb = s.Peers[:1], s.Fdb[:1] })},
	{name: "bridge of a segment deleted by hand", was: kernelSegment(), hand: func(h *kernelHost) { h.remove(h.rows[linkKey(rows.Derived("segment", "red"))]) }},
	{name: "half made", hand: func(h *kernelHost) {
		h.device("gre1", "gre", nil)
		r := h.rows[linkKey("gre1")]
		r.Owned = true
		h.rows[r.Key] = r
	}},
	{name: "a VLAN on a bridge", was: tunnels(), want: tunnel(func(t *model.Tunnel) { t.VLAN.Tag = 10 })},
	{name: "a foreign port keeps a bridge", was: tunnels(), hand: func(h *kernelHost) { h.device("tap9", "tun", map[string]string{rows.FieldMaster: "br0"}) },
		want: change(func(s *model.HostState) { *s = model.HostState{} })},
}

func TestKernelPlans(t *testing.T) {
	file := filepath.Join("testdata", "kernel.txtar")
	old, err := txtar.ParseFile(file)
	if err != nil && !*update {
		t.Fatal(err)
	}
	if old == nil {
		old = &txtar.Archive{}
	}
	old.Files = nil
	for _, sc := range kernelScenes {
		h := newKernelHost()
		if err := h.apply(h.diff(sc.was, nil).Ops); err != nil {
			t.Fatalf("%s: %v", sc.name, err)
		}
		if sc.hand != nil {
			sc.hand(h)
		}
		s := sc.was
		if sc.want != nil {
			s = clone(s)
			sc.want(&s)
		}
		d := h.diff(s, nil)
		text := d.Text()
		for _, ref := range sortedRefs(d.Notices) {
			text += fmt.Sprintf("%s: %s: %s\n", ref, d.Notices[ref].Reason, d.Notices[ref].Message)
		}
		old.Files = append(old.Files, txtar.File{Name: sc.name, Data: []byte(text)})
		if err := h.apply(d.Ops); err != nil {
			t.Errorf("%s: %v", sc.name, err)
		}
		if again := h.diff(s, nil); !again.Empty() {
			t.Errorf("%s: second plan:\n%s", sc.name, again.Text())
		}
	}
	now := txtar.Format(old)
	if *update {
		if err := os.WriteFile(file, now, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	was, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(was, now) {
		t.Errorf("plans differ from %s (rewrite with -update):\n%s", file, gocmp.Diff(string(was), string(now)))
	}
}
