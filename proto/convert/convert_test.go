package convert

import (
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"

	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/model/modeltest"
)

var sameState = cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}, netip.AddrPort{})}

// doneAnyway are values that say what happens without them, and so leave no
// trace in the model.
var doneAnyway = []protoreflect.FullName{
	"greave.v1.BRIDGE_MODE_MANAGED", "greave.v1.PATH_ROLE_ACTIVE", "greave.v1.REPLICATION_MODE_HEAD_END",
	"greave.v1.ADMIN_STATE_UP", "greave.v1.ERSPAN_DIRECTION_INGRESS",
}

// samples are values of the right form for text that has one.
var samples = map[protoreflect.FullName][]string{
	"greave.v1.Vtep.address": {"192.0.2.77"}, "greave.v1.PeerPath.remote": {"192.0.2.77"},
	"greave.v1.TunnelLocal.address": {"192.0.2.77"}, "greave.v1.TunnelRemote.address": {"192.0.2.77"},
	"greave.v1.Bridge.hwaddr": {"02:00:00:00:00:77"}, "greave.v1.Bridge.datapath_id": {"0000020000000077"},
	"greave.v1.InternalPort.mac": {"02:00:00:00:00:77"},
	"greave.v1.Port.macs":        {"02:00:00:00:00:77"}, "greave.v1.FdbEntry.mac": {"02:00:00:00:00:77"},
	"greave.v1.Port.ips": {"2001:db8::77"}, "greave.v1.FdbEntry.ips": {"2001:db8::77"},
	"greave.v1.Bridge.addresses": {"192.0.2.77/24"}, "greave.v1.Tunnel.addresses": {"192.0.2.77/24"},
	"greave.v1.Suppression.excluded": {"192.0.2.64/26"}, "greave.v1.Route.destination": {"198.51.100.64/26"},
	"greave.v1.Route.via": {"192.0.2.77"}, "greave.v1.Route.preferred_source": {"192.0.2.77"},
	"greave.v1.Sampler.targets":   {"192.0.2.77:6343"},
	"greave.v1.Neighbour.overlay": {"192.0.2.77"}, "greave.v1.Neighbour.underlay": {"192.0.2.77"},
}

// TestNothingIgnored sets every field and enum value of the API, one at a time:
// it must change the model, or be refused, as the table of limits says.
func TestNothingIgnored(t *testing.T) {
	base := fullDocument(t)
	before, errs := FromWire(base)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	noted, reached := map[protoreflect.FullName]bool{}, map[protoreflect.FullName]bool{}
	try := func(at []step, set func(m protoreflect.Message)) (noticed bool, errs model.FieldErrors) {
		s := proto.Clone(base).(*greavev1.HostState)
		set(walkTo(s.ProtoReflect(), at))
		after, errs := FromWire(s)
		return len(errs) > 0 || !cmp.Equal(before, after, sameState), errs
	}
	visit(base.ProtoReflect(), nil, func(m protoreflect.Message, at []step) {
		reached[m.Descriptor().FullName()] = true
		for i := range m.Descriptor().Fields().Len() {
			fd := m.Descriptor().Fields().Get(i)
			if _, refused := limits[fd.FullName()]; fd.Message() != nil && !refused {
				continue // by its own fields
			}
			for _, v := range values(m, fd) {
				noticed, errs := try(at, v.set)
				for _, name := range []protoreflect.FullName{fd.FullName(), v.name} {
					if l, refused := limits[name]; refused {
						checkRefusal(t, name, l, errs)
					}
				}
				key := fd.FullName() + "=" + v.name
				noted[key] = noted[key] || noticed || slices.Contains(doneAnyway, v.name)
			}
		}
	})
	for _, md := range messages() {
		if !reached[md.FullName()] && !refusedMessages[string(md.FullName())] {
			t.Errorf("testdata/full.yaml has no %s", md.FullName())
		}
	}
	for name, ok := range noted {
		if !ok {
			t.Errorf("%s is ignored: convert it, or put it into limits", name)
		}
	}
}

func checkRefusal(t *testing.T, name protoreflect.FullName, l limit, errs model.FieldErrors) {
	t.Helper()
	want := l.refuse("", "")
	if !slices.ContainsFunc(errs, func(e model.FieldError) bool { return e.Reason == want.Reason && e.Message == want.Message }) {
		t.Errorf("%s is in limits, but setting it gives %v", name, errs)
	}
	if l.remedy == "" {
		t.Errorf("%s has no remedy", name)
	}
}

// TestLimitsAreOfTheAPI: each entry of the table names something, and the value
// that it accepts is accepted.
func TestLimitsAreOfTheAPI(t *testing.T) {
	known := map[protoreflect.FullName]bool{}
	for _, md := range messages() {
		for i := range md.Fields().Len() {
			fd := md.Fields().Get(i)
			known[fd.FullName()] = true
			if fd.Enum() != nil {
				for j := range fd.Enum().Values().Len() {
					known[fd.Enum().Values().Get(j).FullName()] = true
				}
			}
			if l := limits[fd.FullName()]; l.accept != "" && fd.Kind() != protoreflect.BoolKind {
				if _, err := strconv.ParseUint(l.accept, 10, 32); err != nil || fd.Kind() != protoreflect.Uint32Kind {
					t.Errorf("%s accepts %q", fd.FullName(), l.accept)
				}
			}
		}
	}
	for name := range limits {
		if !known[name] {
			t.Errorf("%s is in limits, but not in the API", name)
		}
	}
}

func TestUnknownNumbers(t *testing.T) {
	s := &greavev1.HostState{Tunnels: []*greavev1.Tunnel{{Encap: 99}, {}}}
	s.Tunnels[1].ProtoReflect().SetUnknown([]byte{0xf8, 0x0f, 0x01}) // field 255
	_, errs := FromWire(s)
	want := model.FieldErrors{
		{Path: "tunnels[0].encap", Value: "99", Reason: model.ReasonInvalid, Message: "is not known to this version", Remedy: "use gre, vxlan, geneve or erspan"},
		{Path: "tunnels[1]", Value: "255", Reason: model.ReasonUnimplemented, Message: "is the number of a field that this version does not know", Remedy: "update greaved, or leave the field out"},
	}
	if diff := cmp.Diff(want, errs); diff != "" {
		t.Error(diff)
	}
}

// TestRoundTrip: the model and the wire say the same.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(anyState(), modeltest.HostState(), modeltest.KernelState()).Draw(t, "state")
		got, errs := FromWire(ToWire(s))
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		if diff := cmp.Diff(s, got, sameState); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestKinds(t *testing.T) {
	for _, k := range model.Kinds() {
		if got, ok := KindFromWire(KindToWire(k)); got != k || !ok {
			t.Errorf("%s comes back as %s", k, got)
		}
		if short := shortEnum(greavev1.ObjectKind(0).Descriptor().Values().ByNumber(KindToWire(k).Number())); short != k.String() {
			t.Errorf("%s is called %s in the API", k, short)
		}
	}
	if n := greavev1.ObjectKind(0).Descriptor().Values().Len(); n != len(kinds)+1 {
		t.Errorf("%d kinds in the API, %d converted", n-1, len(kinds))
	}
	if _, ok := KindFromWire(0); ok {
		t.Error("the unspecified kind is one")
	}
	refs, errs := RefsFromWire("remove", []*greavev1.ObjectRef{{Kind: greavev1.ObjectKind_OBJECT_KIND_FDB, Name: "blue/0A:00:00:00:00:0B"}, {}})
	if len(errs) != 2 || errs[0].Path != "remove[1].kind" || errs[1].Path != "remove[1].name" || refs[0].Name != "blue/0a:00:00:00:00:0b" {
		t.Errorf("got %v, %v", refs, errs)
	}
}

func TestMerge(t *testing.T) {
	base := parse(t, `
host: a
peers: [{name: p}]
tunnels: [{name: t1, bridge: br0}, {name: t2}, {name: t3}]
fdb: [{segment: s, mac: "02:00:00:00:00:0a", peer: p}, {segment: s, mac: "02:00:00:00:00:0b", peer: p}]
`)
	add := parse(t, `
tunnels: [{name: t4}, {name: t1, encap: vxlan}, {name: t2}, {name: t2, encap: gre}]
fdb: [{segment: s, mac: "02:00:00:00:00:0A", peer: q}]
bridges: [{name: t3}]
allow_empty: true
`)
	got, absent := Merge(base, add, []model.Ref{
		{Kind: model.KindTunnel, Name: "t3"}, {Kind: model.KindTunnel, Name: "t9"}, {Kind: model.KindVtep, Name: "p"},
		{Kind: model.KindFdb, Name: "s/02:00:00:00:00:0B"}, {Kind: model.KindBridge, Name: "t3"}})
	want := parse(t, `
host: a
allow_empty: true
peers: [{name: p}]
tunnels: [{name: t1, encap: vxlan}, {name: t2}, {name: t4}, {name: t2, encap: gre}]
fdb: [{segment: s, mac: "02:00:00:00:00:0A", peer: q}]
bridges: [{name: t3}]
`)
	if diff := cmp.Diff(format(t, want), format(t, got)); diff != "" {
		t.Error(diff)
	}
	wantAbsent := []model.Ref{{Kind: model.KindTunnel, Name: "t9"}, {Kind: model.KindVtep, Name: "p"}, {Kind: model.KindBridge, Name: "t3"}}
	if diff := cmp.Diff(wantAbsent, absent); diff != "" {
		t.Error(diff)
	}
	for path, want := range map[string]string{
		"tunnels[0].encap": "tunnels[1].encap", "tunnels[2]": "tunnels[0]", "tunnels[3].key": "tunnels[3].key", "fdb[0].mac": "fdb[0].mac",
		"peers[0].name": "", "tunnels[9]": "", "nonsense[0]": "", "host": "host",
	} {
		if in, ok := PathIn(add, got, path); in != want || ok != (want != "") {
			t.Errorf("%s is %q of the addition, want %q", path, in, want)
		}
	}
	if got, absent := Merge(nil, add, nil); !proto.Equal(got, add) || absent != nil {
		t.Errorf("onto nothing: %v, %v", got, absent)
	}
	if got, _ := Merge(base, nil, nil); !proto.Equal(got, base) {
		t.Errorf("of nothing: %v", got)
	}
}

// TestMergeIsTheModels: on states without duplicates, merging the wire form is
// merging in the model.
func TestMergeIsTheModels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := distinct(anyState().Draw(t, "base")), distinct(anyState().Draw(t, "add"))
		w, _ := Merge(ToWire(a), ToWire(b), nil)
		got, errs := FromWire(w)
		want := a.Merge(b)
		want.Host, want.AllowEmpty = got.Host, got.AllowEmpty
		if diff := cmp.Diff(want, got, sameState, cmpopts.EquateEmpty()); diff != "" || len(errs) > 0 {
			t.Fatal(diff, errs)
		}
	})
}

func distinct(s model.HostState) model.HostState { return model.HostState{Host: s.Host}.Merge(s) }

func fullDocument(t *testing.T) *greavev1.HostState {
	t.Helper()
	doc, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(doc))
}

func parse(t *testing.T, doc string) *greavev1.HostState {
	t.Helper()
	s, _, err := Parse("x.yaml", []byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func format(t *testing.T, m proto.Message) string {
	t.Helper()
	b, err := Format(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// step is one step from a message into another; index is -1 for a single one.
type step struct {
	fd    protoreflect.FieldDescriptor
	index int
}

func visit(m protoreflect.Message, at []step, f func(protoreflect.Message, []step)) {
	f(m, at)
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsList() && fd.Message() != nil:
			for i := range v.List().Len() {
				visit(v.List().Get(i).Message(), append(slices.Clone(at), step{fd, i}), f)
			}
		case fd.Message() != nil:
			visit(v.Message(), append(slices.Clone(at), step{fd, -1}), f)
		}
		return true
	})
}

func walkTo(m protoreflect.Message, at []step) protoreflect.Message {
	for _, s := range at {
		if s.index < 0 {
			m = m.Mutable(s.fd).Message()
		} else {
			m = m.Mutable(s.fd).List().Get(s.index).Message()
		}
	}
	return m
}

// change sets a field to a value that it does not have.
type change struct {
	name protoreflect.FullName // of the enum value, where it is one
	set  func(protoreflect.Message)
}

func values(m protoreflect.Message, fd protoreflect.FieldDescriptor) []change {
	to := func(v any) func(protoreflect.Message) {
		return func(m protoreflect.Message) {
			if fd.IsList() {
				m.Mutable(fd).List().Append(protoreflect.ValueOf(v))
			} else {
				m.Set(fd, protoreflect.ValueOf(v))
			}
		}
	}
	switch {
	case fd.IsList() && fd.Message() != nil:
		return []change{{set: func(m protoreflect.Message) { m.Mutable(fd).List().AppendMutable() }}}
	case fd.Message() != nil:
		return []change{{set: func(m protoreflect.Message) { m.Mutable(fd) }}}
	case fd.Enum() != nil:
		var out []change
		for i := 1; i < fd.Enum().Values().Len(); i++ {
			v := fd.Enum().Values().Get(i)
			out = append(out, change{v.FullName(), to(v.Number())})
		}
		return out
	case fd.Kind() == protoreflect.BoolKind:
		other := !m.Get(fd).Bool()
		if l := limits[fd.FullName()]; l.accept != "" {
			other = l.accept == "false"
		}
		return []change{{set: to(other)}}
	case fd.Kind() == protoreflect.Uint32Kind && fd.IsList():
		return []change{{set: to(uint32(5))}}
	case fd.Kind() == protoreflect.Uint32Kind:
		return []change{{set: to(uint32(m.Get(fd).Uint()) + 2)}}
	}
	if s := samples[fd.FullName()]; s != nil {
		return []change{{set: to(s[0])}}
	}
	return []change{{set: to("other")}}
}
