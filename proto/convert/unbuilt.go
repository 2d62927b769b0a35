package convert

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/greave-sdn/greave/model"
)

// limit says that a field or an enum value is refused, and what to do instead.
type limit struct {
	accept  string // the one value that says what is done anyway; empty: none
	reason  string // empty: UNIMPLEMENTED
	message string // empty: "is not supported yet"
	remedy  string
}

const leaveOut = "leave it out"

const goneMessage = "was removed in Open vSwitch 3.6 and carries no packets in userspace"

// limits are the fields and enum values of the API that are not built, by full
// name. Each other field and value reaches the model: a test proves it.
var limits = map[protoreflect.FullName]limit{
	"greave.v1.ENCAP_GENEVE":  {remedy: "use gre or vxlan"},
	"greave.v1.ENCAP_ERSPAN":  {remedy: "use gre or vxlan"},
	"greave.v1.ENCAP_GTPU":    {remedy: "use gre or vxlan"},
	"greave.v1.ENCAP_BAREUDP": {remedy: "use gre or vxlan"},
	"greave.v1.ENCAP_STT":     {reason: model.ReasonUnsupported, message: goneMessage, remedy: "use gre or vxlan"},
	"greave.v1.ENCAP_LISP":    {reason: model.ReasonUnsupported, message: goneMessage, remedy: "use gre or vxlan"},

	"greave.v1.BACKEND_KERNEL": {remedy: "use ovs"},

	"greave.v1.Vtep.device":        {remedy: "state the address"},
	"greave.v1.Vtep.route_to_peer": {remedy: "state the address"},
	"greave.v1.Vtep.vrf":           {remedy: leaveOut},
	"greave.v1.Vtep.netns":         {remedy: leaveOut},

	"greave.v1.PATH_ROLE_BACKUP":  {remedy: "state only the paths to use now"},
	"greave.v1.PeerPath.priority": {accept: "100", remedy: leaveOut},
	"greave.v1.PeerPath.weight":   {accept: "1", remedy: leaveOut},

	"greave.v1.Segment.mtu":                 {remedy: "set the MTU of the guests; greave mtu computes it"},
	"greave.v1.Segment.learning":            {accept: "false", remedy: "leave it out; state the addresses in fdb, the others are flooded"},
	"greave.v1.Segment.suppression":         {remedy: "leave it out; requests are flooded"},
	"greave.v1.REPLICATION_MODE_REPLICATOR": {remedy: "use head_end"},
	"greave.v1.REPLICATION_MODE_MULTICAST":  {remedy: "use head_end"},
	"greave.v1.Replication.replicators":     {remedy: leaveOut},
	"greave.v1.Replication.group":           {remedy: leaveOut},

	"greave.v1.BRIDGE_MODE_FOREIGN": {remedy: "use managed"},
	"greave.v1.Bridge.addresses":    {remedy: "put them on the bridge with ip addr add"},

	"greave.v1.Port.internal":   {remedy: "make the device yourself and name it in device"},
	"greave.v1.Port.patch":      {remedy: "join the bridges by a veth pair, and name its end in device"},
	"greave.v1.Port.vlan":       {remedy: "set the VLAN inside the guest, or use a segment for each"},
	"greave.v1.Attachment.vlan": {accept: "0", remedy: "attach untagged: leave it out"},
	"greave.v1.Port.ips":        {remedy: leaveOut},
	"greave.v1.Port.addresses":  {remedy: "put them on the device with ip addr add"},
	"greave.v1.Port.mtu":        {remedy: "set it with ip link set mtu"},
	"greave.v1.Port.security":   {remedy: leaveOut},

	"greave.v1.VLAN_MODE_NATIVE_TAGGED":   {remedy: "use access with a tag, or leave vlan out to carry all VLANs"},
	"greave.v1.VLAN_MODE_NATIVE_UNTAGGED": {remedy: "use access with a tag, or leave vlan out to carry all VLANs"},
	"greave.v1.VLAN_MODE_DOT1Q_TUNNEL":    {remedy: "use access with a tag, or leave vlan out to carry all VLANs"},
	"greave.v1.Vlan.trunks":               {remedy: "leave it out: all VLANs are carried"},

	"greave.v1.FdbEntry.ips": {remedy: leaveOut},

	"greave.v1.LAYER_L3":          {remedy: "use an L2 tunnel: name a bridge"},
	"greave.v1.TunnelRemote.dns":  {remedy: "state the address"},
	"greave.v1.TunnelRemote.any":  {remedy: "state the address, or use a segment with peers"},
	"greave.v1.TunnelRemote.flow": {remedy: "state the address, or use a segment with peers"},
	"greave.v1.TunnelKey.flow":    {remedy: "use fixed, or a segment with peers"},
	"greave.v1.TunnelChecksum.in": {accept: "false", reason: model.ReasonUnsupported, message: "cannot be: Open vSwitch accepts packets with and without a checksum, it cannot insist on one", remedy: "leave it out; out sends checksums"},
	"greave.v1.TunnelSequence.in": {accept: "false", reason: model.ReasonUnsupported, message: "cannot be: Open vSwitch accepts packets with and without a sequence number, it cannot insist on one", remedy: "leave it out; out sends sequence numbers"},
	"greave.v1.Tunnel.pmtudisc":   {remedy: "use df"},
	"greave.v1.Tunnel.ignore_df":  {accept: "false", remedy: leaveOut},
	"greave.v1.Tunnel.fwmark":     {accept: "0", remedy: leaveOut},
	"greave.v1.Tunnel.udp_encap":  {remedy: "use encap: vxlan, which runs over UDP"},
	"greave.v1.Tunnel.gbp":        {accept: "false", remedy: leaveOut},
	"greave.v1.Tunnel.segment":    {remedy: "use bridge, or make the far end a peer"},
	"greave.v1.Tunnel.addresses":  {remedy: "use an L2 tunnel, and put them on the bridge with ip addr add"},
	"greave.v1.Tunnel.routes":     {remedy: "add them with ip route add"},
	"greave.v1.Tunnel.neighbours": {remedy: "state one remote"},
	"greave.v1.Tunnel.mtu":        {remedy: "set the MTU of the guests; greave mtu computes it"},
	"greave.v1.Tunnel.mss_clamp":  {remedy: leaveOut},
	"greave.v1.Tunnel.multicast":  {accept: "true", remedy: leaveOut},
	"greave.v1.Tunnel.keepalive":  {remedy: leaveOut},
	"greave.v1.ADMIN_STATE_DOWN":  {remedy: "leave the tunnel out"},
	"greave.v1.Tunnel.netns":      {remedy: leaveOut},
}

func (l limit) refuse(path, value string) model.FieldError {
	e := model.FieldError{Path: path, Value: value, Reason: l.reason, Message: l.message, Remedy: l.remedy}
	if e.Reason == "" {
		e.Reason = model.ReasonUnimplemented
	}
	if e.Message == "" {
		e.Message = "is not supported yet"
	}
	return e
}
