package greavev1

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// reachable returns the messages of this package that the given ones hold.
func reachable(roots ...proto.Message) map[protoreflect.FullName]protoreflect.MessageDescriptor {
	seen := map[protoreflect.FullName]protoreflect.MessageDescriptor{}
	var walk func(protoreflect.MessageDescriptor)
	walk = func(md protoreflect.MessageDescriptor) {
		if _, ok := seen[md.FullName()]; ok || md.ParentFile().Package() != "greave.v1" {
			return
		}
		seen[md.FullName()] = md
		for i := range md.Fields().Len() {
			if sub := md.Fields().Get(i).Message(); sub != nil {
				walk(sub)
			}
		}
	}
	for _, r := range roots {
		walk(r.ProtoReflect().Descriptor())
	}
	return seen
}

func TestDesiredAndObservedShareNoMessage(t *testing.T) {
	observed := reachable(&Object{}, &HostStatus{}, &Plan{})
	for name := range reachable(&HostState{}) {
		if _, ok := observed[name]; ok {
			t.Errorf("%s is both desired and observed", name)
		}
	}
}

// Unset must differ from zero for whatever has a default. Strings that name
// something, enums and lists are unset when empty.
func TestTunablesHavePresence(t *testing.T) {
	count := 0
	for _, md := range reachable(&HostState{}) {
		for i := range md.Fields().Len() {
			fd := md.Fields().Get(i)
			count++
			switch {
			case fd.HasPresence(), fd.IsList(), fd.Kind() == protoreflect.EnumKind, fd.Kind() == protoreflect.StringKind:
			case strings.HasPrefix(string(fd.FullName()), "greave.v1.HostState.allow_"): // speaks of the document, not of the host
			default:
				t.Errorf("%s: unset cannot be told from zero", fd.FullName())
			}
		}
	}
	if count < 100 {
		t.Errorf("only %d fields seen", count)
	}
}

// The lists of a HostState and the object kinds must name the same things, and
// an Object must have an observed message for each kind.
func TestKindsMatchLists(t *testing.T) {
	lists := 0
	fields := (&HostState{}).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		if fields.Get(i).IsList() {
			lists++
		}
	}
	kinds := ObjectKind(0).Descriptor().Values().Len() - 1
	observed := (&Object{}).ProtoReflect().Descriptor().Oneofs().ByName("observed").Fields().Len()
	if lists != kinds || observed != kinds {
		t.Errorf("%d lists, %d kinds, %d observed messages", lists, kinds, observed)
	}
}

const snake = `{
  "host": "h1",
  "vteps": [{"name": "u0", "route_to_peer": true}],
  "peers": [{"name": "h2", "paths": [{"vtep": "u0", "remote": "192.0.2.2", "weight": 0}]}],
  "segments": [{"name": "blue", "key": 7, "learning": false}],
  "bridges": [{"name": "br0", "fail_mode": "FAIL_MODE_STANDALONE", "datapath_id": "0000000000000001"}],
  "ports": [
    {"name": "g1", "iface_id": "vm-1", "attachments": [{"segment": "blue", "vlan": 0}], "security": {"ra_guard": true}},
    {"name": "p0", "patch": {"bridge": "br-int", "far_port": "p1"}},
    {"name": "i0", "internal": {}, "bridge": "br0", "vlan": {"mode": "VLAN_MODE_ACCESS", "tag": 5}}
  ],
  "fdb": [{"segment": "blue", "mac": "02:00:00:00:00:01", "peer": "h2"}],
  "tunnels": [{
    "name": "gre-7", "bridge": "br0", "local": {"vtep": "u0"}, "remote": {"address": "192.0.2.2"},
    "key": {"fixed": {"in": 7, "out": 8}}, "checksum": {"out": false}, "ttl": {"inherit": true},
    "tos": {"fixed": 0}, "pmtudisc": false, "ignore_df": true, "mss_clamp": {"auto": true},
    "udp_encap": {"dst_port": 5555}, "keepalive": {"interval": "1.5s", "retries": 3},
    "routes": [{"destination": "198.51.100.0/24", "preferred_source": "192.0.2.1"}]
  }]
}`

const camel = `{
  "host": "h1",
  "vteps": [{"name": "u0", "routeToPeer": true}],
  "peers": [{"name": "h2", "paths": [{"vtep": "u0", "remote": "192.0.2.2", "weight": 0}]}],
  "segments": [{"name": "blue", "key": 7, "learning": false}],
  "bridges": [{"name": "br0", "failMode": "FAIL_MODE_STANDALONE", "datapathId": "0000000000000001"}],
  "ports": [
    {"name": "g1", "ifaceId": "vm-1", "attachments": [{"segment": "blue", "vlan": 0}], "security": {"raGuard": true}},
    {"name": "p0", "patch": {"bridge": "br-int", "farPort": "p1"}},
    {"name": "i0", "internal": {}, "bridge": "br0", "vlan": {"mode": "VLAN_MODE_ACCESS", "tag": 5}}
  ],
  "fdb": [{"segment": "blue", "mac": "02:00:00:00:00:01", "peer": "h2"}],
  "tunnels": [{
    "name": "gre-7", "bridge": "br0", "local": {"vtep": "u0"}, "remote": {"address": "192.0.2.2"},
    "key": {"fixed": {"in": 7, "out": 8}}, "checksum": {"out": false}, "ttl": {"inherit": true},
    "tos": {"fixed": 0}, "pmtudisc": false, "ignoreDf": true, "mssClamp": {"auto": true},
    "udpEncap": {"dstPort": 5555}, "keepalive": {"interval": "1.5s", "retries": 3},
    "routes": [{"destination": "198.51.100.0/24", "preferredSource": "192.0.2.1"}]
  }]
}`

// A document may be written in either spelling, and survives being written out
// with what is set to zero still set.
func TestDocumentSpellings(t *testing.T) {
	var a, b, back HostState
	if err := protojson.Unmarshal([]byte(snake), &a); err != nil {
		t.Fatal(err)
	}
	if err := protojson.Unmarshal([]byte(camel), &b); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(&a, &b) {
		t.Errorf("spellings differ:\n%v\n%v", &a, &b)
	}
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(&a)
	if err != nil {
		t.Fatal(err)
	}
	if err := protojson.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(&a, &back) {
		t.Errorf("round trip changed the document:\n%v\n%v", &a, &back)
	}
	if w := back.Peers[0].Paths[0].Weight; w == nil || *w != 0 {
		t.Errorf("weight 0 read back as %v", w)
	}
	if f, ok := back.Tunnels[0].Tos.Kind.(*TunnelTos_Fixed); !ok || f.Fixed != 0 {
		t.Errorf("tos fixed 0 read back as %v", back.Tunnels[0].Tos)
	}
}

func TestOneofRefusesTwo(t *testing.T) {
	for _, doc := range []string{
		`{"vteps": [{"name": "u0", "address": "192.0.2.1", "device": "eth0"}]}`,
		`{"ports": [{"name": "p", "device": "tap0", "internal": {}}]}`,
		`{"tunnels": [{"name": "t", "key": {"none": true, "flow": true}}]}`,
		`{"tunnels": [{"name": "t", "df": true, "pmtudisc": true}]}`,
	} {
		if err := protojson.Unmarshal([]byte(doc), &HostState{}); err == nil {
			t.Errorf("accepted %s", doc)
		}
	}
}
