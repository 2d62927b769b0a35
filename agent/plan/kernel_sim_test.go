package plan_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/greave-sdn/greave/agent/kernel/rows"
	"github.com/greave-sdn/greave/agent/plan"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/model/modeltest"
)

// kernelHost simulates the kernel's tables: what a device takes with it when it
// goes, and what a mark tells.
type kernelHost struct {
	rows   map[rows.Key]rows.Row
	listed map[rows.Key]bool
	owner  model.Owner
}

func newKernelHost() *kernelHost {
	return &kernelHost{rows: map[rows.Key]rows.Row{}, listed: map[rows.Key]bool{}, owner: model.NewOwner("host-a")}
}

func linkKey(name string) rows.Key { return rows.Key{Table: rows.Link, Link: name} }

// device puts a foreign device there.
func (h *kernelHost) device(name, kind string, fields map[string]string) {
	all := map[string]string{rows.FieldKind: kind, rows.FieldUp: "true"}
	maps.Copy(all, fields)
	h.rows[linkKey(name)] = rows.Row{Key: linkKey(name), Fields: all}
}

func (h *kernelHost) resolve(s model.HostState) model.Resolved {
	choice := model.Choice{Auto: model.BackendKernel}
	union := model.Union(model.Normalize(s, model.HostState{}))
	f := model.Facts{Devices: modeltest.Devices(union), Choice: choice}
	for k := range h.rows {
		if _, known := f.Devices[k.Link]; k.Table == rows.Link && !known {
			f.Devices[k.Link] = model.Device{Name: k.Link, MTU: 1500}
		}
	}
	for _, t := range union.Tunnels {
		for name, kind := range map[string]string{t.VRF: "vrf", t.Device: "veth"} {
			if _, there := h.rows[linkKey(name)]; name != "" && !there {
				h.device(name, kind, nil)
			}
		}
	}
	for _, v := range union.Vteps {
		if _, there := h.rows[linkKey(v.VRF)]; v.VRF != "" && !there {
			h.device(v.VRF, "vrf", nil)
		}
	}
	for name := range f.Devices {
		if _, there := h.rows[linkKey(name)]; !there {
			h.device(name, "veth", nil)
		}
	}
	return model.Resolve(union, f)
}

func (h *kernelHost) diff(s model.HostState, failed map[model.Ref]model.Notice) plan.Plan {
	want := h.resolve(s)
	p := rows.Compile(want.For(model.BackendKernel), h.owner)
	maps.Copy(p.Notices, want.Blocked)
	return plan.DiffKernel(plan.KernelInput{Want: p.Rows, Have: h.rows, Notices: p.Notices, Failed: failed,
		Listed: func(k rows.Key) bool { return h.listed[k] }})
}

// apply carries out operations as the kernel would. It fails for what the
// kernel would refuse.
func (h *kernelHost) apply(ops []plan.Op) error {
	for _, o := range ops {
		k := o.Row.Key
		_, exists := h.rows[k]
		switch {
		case o.Verb == plan.Create && exists:
			return fmt.Errorf("%s: exists", o)
		case o.Verb != plan.Create && !exists:
			return fmt.Errorf("%s: no such row", o)
		}
		if m := o.Row.Fields[rows.FieldMaster]; m != "" && o.Verb != plan.Delete && k.Table == rows.Link {
			if _, there := h.rows[linkKey(m)]; !there && m != h.rows[k].Fields[rows.FieldMaster] {
				return fmt.Errorf("%s: no bridge %s", o, m)
			}
		}
		if k.Table != rows.Link && k.Link != "" {
			if _, there := h.rows[linkKey(k.Link)]; !there && k.Netns == "" {
				return fmt.Errorf("%s: no device", o)
			}
		}
		switch o.Verb {
		case plan.Delete:
			h.remove(*o.Row)
		case plan.Recreate:
			h.remove(*o.Row)
			h.put(*o.Row)
		default:
			h.put(*o.Row)
		}
	}
	return nil
}

func (h *kernelHost) put(w rows.Row) {
	have := h.rows[w.Key]
	fields := maps.Clone(have.Fields)
	if fields == nil {
		fields = map[string]string{}
	}
	maps.Copy(fields, w.Fields)
	have.Key, have.Fields = w.Key, fields
	if !w.Bound {
		have.Owned, have.Unmarked, have.Object = true, w.Unmarked, w.Object
	}
	if w.Unmarked || w.Bound {
		h.listed[w.Key] = true
	}
	if w.Unmarked {
		have.Object = model.Ref{}
	}
	h.rows[w.Key] = have
}

func (h *kernelHost) remove(w rows.Row) {
	if w.Bound {
		h.rows[w.Key] = h.released(h.rows[w.Key])
		return
	}
	delete(h.rows, w.Key)
	if w.Table != rows.Link {
		return
	}
	for k, r := range h.rows {
		switch {
		case k.Table != rows.Link && (k.Link == w.Link || r.Fields[rows.FieldDev] == w.Link) && k.Netns == w.Netns:
			delete(h.rows, k)
		case k.Table == rows.Link && r.Fields[rows.FieldMaster] == w.Link:
			h.rows[k] = h.released(r)
		}
	}
}

// released is a device that has lost its bridge, and what the bridge knew of it.
func (h *kernelHost) released(r rows.Row) rows.Row {
	r.Fields = maps.Clone(r.Fields)
	for f := range r.Fields {
		if f == rows.FieldMaster || f == rows.FieldVLANs || strings.HasPrefix(f, rows.PortPrefix) {
			delete(r.Fields, f)
		}
	}
	for k := range h.rows {
		if k.Table == rows.FDB && k.Link == r.Link && strings.HasPrefix(k.ID, "master ") {
			delete(h.rows, k)
		}
	}
	return r
}

// clone copies the lists that scenes write to.
func clone(s model.HostState) model.HostState {
	s.Tunnels, s.Segments, s.Peers, s.Ports, s.Fdb = slices.Clone(s.Tunnels), slices.Clone(s.Segments), slices.Clone(s.Peers), slices.Clone(s.Ports), slices.Clone(s.Fdb)
	return s
}

func sortedRefs(m map[model.Ref]model.Notice) []model.Ref {
	return slices.SortedFunc(maps.Keys(m), model.Ref.Compare)
}
