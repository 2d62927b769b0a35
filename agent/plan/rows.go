package plan

import (
	"fmt"

	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
)

// WantBridge is a bridge row as greave wants it; only what is set is compared
// and written.
type WantBridge struct {
	model.Bridge
	Marks map[string]string
}

// WantPort is a port with its interface as greave wants it.
type WantPort struct {
	Object  model.Ref
	Name    string
	Bridge  string
	Type    string            // Interface.type; "" is system
	Options map[string]string // all options of the interface
	BFD     map[string]string // nil: not greave's to write
	VLAN    model.VLAN        // normal
	HWAddr  model.MAC         // of an internal port; zero: the switch picks one
	MTU     uint32            // of an internal port; 0: the switch's default
	Ofport  openflow.Port     // to ask for when greave creates it
	Bound   bool              // somebody else's row: only marks are written
	Adopt   bool
	Marks   map[string]string
}

// wantBridges turns resolved bridges into rows.
func wantBridges(r model.Resolved, owner model.Owner) []WantBridge {
	out := make([]WantBridge, 0, len(r.Bridges))
	for _, b := range r.Bridges {
		marks := marksOf(owner, b.Ref())
		if b.Forwarding == model.ForwardOverlay {
			marks[model.MarkGroups] = fmt.Sprintf("%#x-%#x", uint32(openflow.GroupMin), uint32(openflow.GroupMax))
		}
		out = append(out, WantBridge{b, marks})
	}
	return out
}

func marksOf(owner model.Owner, ref model.Ref) map[string]string {
	return map[string]string{model.MarkOwner: owner.Name, model.MarkObject: ref.Mark()}
}

// wantPorts turns resolved objects into port rows, one function a kind.
func wantPorts(r model.Resolved, b *openflow.Bindings, owner model.Owner) []WantPort {
	var out []WantPort
	out = append(out, sharedTunnelPorts(r)...)
	out = append(out, probePorts(r)...)
	out = append(out, mirrorPorts(r)...)
	for _, p := range r.Ports {
		out = append(out, attachmentPorts(p)...)
	}
	datapaths := map[string]model.Datapath{}
	for _, b := range r.Bridges {
		datapaths[b.Name] = b.Datapath
	}
	for _, t := range r.Tunnels {
		out = append(out, tunnelPort(t, datapaths[t.Bridge]))
	}
	for i := range out {
		p := &out[i]
		p.VLAN = p.VLAN.Normal()
		if !p.Bound {
			p.Ofport = openflow.Port(b.Pool(openflow.PoolPorts).Get(p.Name))
			p.Marks = marksOf(owner, p.Object)
		}
	}
	return out
}

// sharedTunnelPorts are the flow-based ports of the overlay bridge, one for
// each encapsulation in use.
func sharedTunnelPorts(r model.Resolved) []WantPort {
	var out []WantPort
	for _, b := range r.Bridges {
		if b.Forwarding != model.ForwardOverlay {
			continue
		}
		for _, c := range openflow.Carriers(r) {
			options := map[string]string{"local_ip": "flow", "remote_ip": "flow", "key": "flow"}
			setNum(options, "dst_port", c.Encap.UDPPort())
			out = append(out, WantPort{Object: b.Ref(), Name: c.Port(), Bridge: b.Name, Type: c.Type, Options: options})
		}
	}
	return out
}
