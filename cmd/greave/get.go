package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

func (a *app) getCmd() *cobra.Command {
	req := &greavev1.ListRequest{}
	cmd := &cobra.Command{
		Use:   "get KIND [NAME]",
		Short: "List objects with what the host has of them",
		Long: `Lists objects of a kind with what the host has of them. KIND is one of
  ` + kindChoices + `
or its plural. RX, TX and DROPS count packets; -o json and -o yaml have bytes
and all else too. A tunnel or path is up when Open vSwitch has its port: whether
the far end answers is not looked at.`,
		Args:      cobra.RangeArgs(1, 2),
		ValidArgs: kindWords(),
		RunE: func(cmd *cobra.Command, args []string) error {
			kind, err := parseKind(args[0])
			if err != nil {
				return err
			}
			req.Kind = kind
			if len(args) == 2 {
				req.Name = args[1]
			}
			return a.get(cmd.Context(), req)
		},
	}
	cmd.Flags().StringVar(&req.Segment, "segment", "", "only what belongs to this segment")
	cmd.Flags().BoolVar(&req.Foreign, "foreign", false, "also what is on the host but not of greave's making")
	a.addFormat(cmd, "table, json or yaml")
	return cmd
}

func (a *app) get(ctx context.Context, req *greavev1.ListRequest) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	list, err := a.list(ctx, c, req)
	if err != nil {
		return err
	}
	if req.GetName() != "" && len(list.GetObjects()) == 0 {
		return fmt.Errorf("there is no %s %s", word(req.GetKind()), req.GetName())
	}
	if done, err := a.emit(list); done {
		return err
	}
	if len(list.GetObjects()) == 0 {
		a.printf("none\n")
		return nil
	}
	v := views[req.GetKind()]
	t := table{append(strings.Fields(v.head), counterHead...)}
	for _, o := range list.GetObjects() {
		t.row(append(v.row(o.GetStatus(), o), counterCells(v.counters(o))...)...)
	}
	a.printTable(t, "")
	return nil
}

// list asks for all objects, page by page.
func (a *app) list(ctx context.Context, c *connection, req *greavev1.ListRequest) (*greavev1.ListResponse, error) {
	all := &greavev1.ListResponse{}
	for {
		ctx, cancel := a.deadline(ctx, 0)
		page, err := c.state.List(ctx, req)
		cancel()
		if err != nil {
			return nil, err
		}
		all.Objects = append(all.Objects, page.GetObjects()...)
		if req.PageToken = page.GetNextPageToken(); req.PageToken == "" {
			return all, nil
		}
	}
}

var counterHead = []string{"RX", "TX", "DROPS"}

func counterCells(c *greavev1.Counters) []string {
	if c == nil {
		return []string{"", "", "-"}
	}
	return []string{fmt.Sprint(c.GetRxPackets()), fmt.Sprint(c.GetTxPackets()), fmt.Sprint(c.GetRxDropped() + c.GetTxDropped())}
}

// view is the table of a kind.
type view struct {
	head     string
	row      func(s *greavev1.ObjectStatus, o *greavev1.Object) []string
	counters func(o *greavev1.Object) *greavev1.Counters
}

var views = map[greavev1.ObjectKind]view{
	greavev1.ObjectKind_OBJECT_KIND_VTEP:    {"NAME STATE ADDRESSES DEVICE MTU", vtepRow, func(*greavev1.Object) *greavev1.Counters { return nil }},
	greavev1.ObjectKind_OBJECT_KIND_PEER:    {"NAME STATE REMOTE PATHS-UP MTU SEGMENTS", peerRow, func(o *greavev1.Object) *greavev1.Counters { return o.GetPeer().GetCounters() }},
	greavev1.ObjectKind_OBJECT_KIND_SEGMENT: {"NAME STATE ENCAP KEY BRIDGE MTU PEERS PORTS FDB", segmentRow, func(o *greavev1.Object) *greavev1.Counters { return o.GetSegment().GetCounters() }},
	greavev1.ObjectKind_OBJECT_KIND_BRIDGE:  {"NAME STATE DATAPATH OWNED PORTS FLOWS FOREIGN-FLOWS", bridgeRow, func(o *greavev1.Object) *greavev1.Counters { return o.GetBridge().GetCounters() }},
	greavev1.ObjectKind_OBJECT_KIND_PORT:    {"NAME STATE DEVICE TYPE BRIDGE OFPORT SEGMENTS MTU UP", portRow, portCounters},
	greavev1.ObjectKind_OBJECT_KIND_FDB:     {"SEGMENT MAC STATE BEHIND IPS LEARNED IDLE", fdbRow, func(o *greavev1.Object) *greavev1.Counters { return o.GetFdb().GetCounters() }},
	greavev1.ObjectKind_OBJECT_KIND_TUNNEL:  {"NAME STATE TYPE BRIDGE LOCAL REMOTE KEY MTU UP", tunnelRow, func(o *greavev1.Object) *greavev1.Counters { return o.GetTunnel().GetCounters() }},
	greavev1.ObjectKind_OBJECT_KIND_MIRROR:  {"NAME STATE BRIDGE IN OUT VLANS OUTPUT COLLECTOR", mirrorRow, func(o *greavev1.Object) *greavev1.Counters { return o.GetMirror().GetCounters() }},
	greavev1.ObjectKind_OBJECT_KIND_SAMPLER: {"NAME STATE BRIDGE FORMAT SAMPLING TARGETS", samplerRow, func(*greavev1.Object) *greavev1.Counters { return nil }},
}

func vtepRow(s *greavev1.ObjectStatus, o *greavev1.Object) []string {
	v := o.GetVtep()
	return []string{s.GetName(), word(s.GetState()), strings.Join(v.GetAddresses(), ","), v.GetDevice(), number(v.GetMtu())}
}

func segmentRow(s *greavev1.ObjectStatus, o *greavev1.Object) []string {
	g := o.GetSegment()
	return []string{s.GetName(), word(s.GetState()), word(g.GetEncap()), number(g.GetKey()), g.GetBridge(), number(g.GetMtu()),
		known(g != nil, len(g.GetMembers())), known(g != nil, len(g.GetPorts())), known(g != nil, g.GetFdbStatic()+g.GetFdbLearned())}
}

func bridgeRow(s *greavev1.ObjectStatus, o *greavev1.Object) []string {
	b := o.GetBridge()
	return []string{s.GetName(), word(s.GetState()), b.GetDatapath(), known(b != nil, yesNo(b.GetOwned())), known(b != nil, len(b.GetPorts())),
		known(b != nil, b.GetFlows()), known(b != nil, b.GetForeignFlows())}
}

func portRow(s *greavev1.ObjectStatus, o *greavev1.Object) []string {
	p := o.GetPort()
	return []string{s.GetName(), stateText(s), p.GetDevice(), p.GetType(), p.GetBridge(), number(p.GetOfport()),
		strings.Join(p.GetSegments(), ","), number(p.GetMtu()), known(p != nil, yesNo(p.GetUp()))}
}

// portCounters counts what a port's guards dropped among its drops.
func portCounters(o *greavev1.Object) *greavev1.Counters {
	c, s := o.GetPort().GetCounters(), o.GetPort().GetSecurity()
	if c == nil || s == nil {
		return c
	}
	return &greavev1.Counters{RxPackets: c.RxPackets, TxPackets: c.TxPackets, TxDropped: c.TxDropped,
		RxDropped: c.RxDropped + s.Mac + s.Ip + s.Arp + s.DhcpGuard + s.RaGuard + s.Tags}
}

func fdbRow(s *greavev1.ObjectStatus, o *greavev1.Object) []string {
	f := o.GetFdb()
	segment, mac, _ := strings.Cut(s.GetName(), "/")
	behind, idle := "", ""
	switch {
	case f.GetPeer() != "":
		behind = "peer " + f.GetPeer()
	case f.GetPort() != "":
		behind = "port " + f.GetPort()
	}
	if f.GetIdle() != nil {
		idle = length(f.GetIdle().AsDuration())
	}
	return []string{segment, mac, word(s.GetState()), behind, strings.Join(f.GetIps(), ","), known(f != nil, yesNo(f.GetLearned())), idle}
}

func tunnelRow(s *greavev1.ObjectStatus, o *greavev1.Object) []string {
	t := o.GetTunnel()
	return []string{s.GetName(), word(s.GetState()), t.GetType(), t.GetBridge(), t.GetLocal(), t.GetRemote(), keyText(t),
		number(cmp.Or(t.GetMtu(), t.GetPathMtu())), known(t != nil, yesNo(t.GetUp()))}
}

func mirrorRow(s *greavev1.ObjectStatus, o *greavev1.Object) []string {
	m := o.GetMirror()
	in, out, output := strings.Join(m.GetIn(), ","), strings.Join(m.GetOut(), ","), m.GetOutput()
	if m.GetAll() {
		in, out = "all", "all"
	}
	if m.GetOutputVlan() != 0 {
		output = fmt.Sprintf("VLAN %d", m.GetOutputVlan())
	}
	var vlans []string
	for _, v := range m.GetVlans() {
		vlans = append(vlans, fmt.Sprint(v))
	}
	return []string{s.GetName(), word(s.GetState()), m.GetBridge(), in, out, strings.Join(vlans, ","), output, m.GetRemote()}
}

func samplerRow(s *greavev1.ObjectStatus, o *greavev1.Object) []string {
	r := o.GetSampler()
	return []string{s.GetName(), word(s.GetState()), r.GetBridge(), r.GetTable(), r.GetColumns()["sampling"], r.GetColumns()["targets"]}
}

// keyText is one key when both directions have the same.
func keyText(t *greavev1.ObservedTunnel) string {
	in, out := t.GetKeyIn(), t.GetKeyOut()
	if in == out {
		return in
	}
	none := func(k string) string {
		if k == "" {
			return "none"
		}
		return k
	}
	return "in " + none(in) + ", out " + none(out)
}

// known is empty when the host has nothing of the object.
func known(observed bool, v any) string {
	if !observed {
		return ""
	}
	return fmt.Sprint(v)
}
