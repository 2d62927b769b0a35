package convert

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"

	"github.com/greave-sdn/greave/model"
)

// Merge returns base with the objects of remove taken out and those of add put
// in, each in the place of the one with its kind and name. It also lists what
// was to be removed and is not in base. An object that add states twice comes
// out twice, for model.Validate to refuse. The result shares objects with base
// and add, which must not be changed afterwards.
//
// The result is for the host of add if that names one, and may be empty, or take
// much away at once, if either says so.
func Merge(base, add *greavev1.HostState, remove []model.Ref) (merged *greavev1.HostState, absent []model.Ref) {
	gone := make(map[model.Ref]bool, len(remove))
	for _, r := range remove {
		gone[canonical(r)] = false
	}
	merged = &greavev1.HostState{
		Host: add.GetHost(), AllowEmpty: base.GetAllowEmpty() || add.GetAllowEmpty(),
		AllowMassRemoval: base.GetAllowMassRemoval() || add.GetAllowMassRemoval(),
		Vteps:            mergeList(model.KindVtep, base.GetVteps(), add.GetVteps(), gone),
		Peers:            mergeList(model.KindPeer, base.GetPeers(), add.GetPeers(), gone),
		Segments:         mergeList(model.KindSegment, base.GetSegments(), add.GetSegments(), gone),
		Bridges:          mergeList(model.KindBridge, base.GetBridges(), add.GetBridges(), gone),
		Ports:            mergeList(model.KindPort, base.GetPorts(), add.GetPorts(), gone),
		Fdb:              mergeList(model.KindFdb, base.GetFdb(), add.GetFdb(), gone),
		Tunnels:          mergeList(model.KindTunnel, base.GetTunnels(), add.GetTunnels(), gone),
		Mirrors:          mergeList(model.KindMirror, base.GetMirrors(), add.GetMirrors(), gone),
		Samplers:         mergeList(model.KindSampler, base.GetSamplers(), add.GetSamplers(), gone),
	}
	if merged.Host == "" {
		merged.Host = base.GetHost()
	}
	// Fields of a later version stay, so that they are refused, not lost.
	merged.ProtoReflect().SetUnknown(slices.Concat(base.ProtoReflect().GetUnknown(), add.ProtoReflect().GetUnknown()))
	for _, r := range remove {
		if !gone[canonical(r)] {
			absent = append(absent, r)
		}
	}
	return merged, absent
}

// About lists the objects that a document states, and those of remove that name
// one.
func About(state *greavev1.HostState, remove []*greavev1.ObjectRef) []model.Ref {
	var out []model.Ref
	refs, _ := RefsFromWire("", remove) // what is wrong with them is said when they are removed
	for _, r := range refs {
		out = append(out, canonical(r))
	}
	return slices.Concat(out,
		refsOf(model.KindVtep, state.GetVteps()), refsOf(model.KindPeer, state.GetPeers()), refsOf(model.KindSegment, state.GetSegments()),
		refsOf(model.KindBridge, state.GetBridges()), refsOf(model.KindPort, state.GetPorts()), refsOf(model.KindFdb, state.GetFdb()),
		refsOf(model.KindTunnel, state.GetTunnels()))
}

func refsOf[T proto.Message](kind model.Kind, list []T) []model.Ref {
	out := make([]model.Ref, 0, len(list))
	for _, o := range list {
		out = append(out, refOf(kind, o))
	}
	return out
}

// mergeList notes in gone what it took out.
func mergeList[T proto.Message](kind model.Kind, base, add []T, gone map[model.Ref]bool) []T {
	at := make(map[model.Ref]int, len(base))
	var out []T
	for _, o := range base {
		ref := refOf(kind, o)
		if _, remove := gone[ref]; remove {
			gone[ref] = true
			continue
		}
		at[ref] = len(out)
		out = append(out, o)
	}
	for _, o := range add {
		ref := refOf(kind, o)
		if i, ok := at[ref]; ok {
			out[i] = o
			delete(at, ref)
			continue
		}
		out = append(out, o)
	}
	return out
}

// refOf is the key of an object within its list.
func refOf(kind model.Kind, o proto.Message) model.Ref {
	if e, ok := o.(*greavev1.FdbEntry); ok {
		return canonical(model.Ref{Kind: kind, Name: e.GetSegment() + "/" + e.GetMac()})
	}
	return model.Ref{Kind: kind, Name: o.(interface{ GetName() string }).GetName()}
}

// canonical spells the MAC in the name of an FDB entry as the model does.
func canonical(r model.Ref) model.Ref {
	if i := strings.LastIndexByte(r.Name, '/'); r.Kind == model.KindFdb && i >= 0 {
		if m, err := model.ParseMAC(r.Name[i+1:]); err == nil {
			r.Name = model.FdbName(r.Name[:i], m)
		}
	}
	return r
}

var listItem = regexp.MustCompile(`^(\w+)\[(\d+)\](.*)$`)

// PathIn turns the path of a field of merged, which Merge made of add, into its
// path in add: an error about tunnels[70] of the whole state is one about
// tunnels[0] of the document at hand. Not ok: the object is not from add. Paths
// outside the lists stay as they are.
func PathIn(add, merged *greavev1.HostState, path string) (in string, ok bool) {
	m := listItem.FindStringSubmatch(path)
	if m == nil {
		return path, true
	}
	fd := fieldByName(merged.ProtoReflect().Descriptor(), m[1])
	i, err := strconv.Atoi(m[2])
	if fd == nil || !fd.IsList() || err != nil {
		return "", false
	}
	from, to := merged.ProtoReflect().Get(fd).List(), add.ProtoReflect().Get(fd).List()
	if i >= from.Len() {
		return "", false
	}
	for j := range to.Len() { // the same message, not an equal one
		if to.Get(j).Message().Interface() == from.Get(i).Message().Interface() {
			return fmt.Sprintf("%s[%d]%s", m[1], j, m[3]), true
		}
	}
	return "", false
}
