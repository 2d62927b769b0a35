package ovsdb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/greave-sdn/greave/ovsdb/ovsdbtest"
)

var owned = map[string]string{"greave-owner": "test"}

func transact(t testing.TB, s *Session, txn *Txn) Result {
	t.Helper()
	r, err := s.Transact(t.Context(), txn)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// apply transacts, waits for the switch and returns what it made of it.
func apply(t testing.TB, s *Session, txn *Txn) Snapshot {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r := transact(t, s, txn)
	if err := s.WaitConfigured(ctx, r.NextCfg); err != nil {
		t.Fatal(err)
	}
	snap, err := s.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for key, uuid := range r.UUIDs {
		if key.Table == "Port" {
			if p, _ := snap.PortByUUID(uuid); p.Name != key.Name {
				t.Errorf("result says %v has UUID %s, the snapshot has %q there", key, uuid, p.Name)
			}
		}
	}
	return snap
}

// inSync returns a snapshot as new as the database.
func inSync(t testing.TB, s *Session) Snapshot {
	t.Helper()
	next := transact(t, s, NewTxn("sync")).NextCfg
	return until(t, s, "the latest next_cfg", func(snap Snapshot) bool { return snap.Switch.NextCfg >= next })
}

func bridgeRef(t testing.TB, snap Snapshot, name string) RowRef {
	t.Helper()
	b, ok := snap.Bridge(name)
	if !ok {
		t.Fatalf("no bridge %s", name)
	}
	return RowRef{UUID: b.UUID, Name: name, ExternalIDs: owned}
}

func portRefs(t testing.TB, snap Snapshot, name string) (port, iface RowRef) {
	t.Helper()
	p, ok := snap.Port(name)
	i, ok2 := snap.Interface(name)
	if !ok || !ok2 {
		t.Fatalf("no port %s", name)
	}
	return RowRef{p.UUID, name, owned}, RowRef{i.UUID, name, owned}
}

func deleteBridge(txn *Txn, snap Snapshot, name string) {
	b, _ := snap.Bridge(name)
	txn.DeleteBridge("b", RowRef{UUID: b.UUID, Name: name, ExternalIDs: owned}, b.Ports)
}

func insertBridge(txn *Txn, name string) {
	txn.InsertBridge("bridge "+name, BridgeRow{Name: name, DatapathType: "netdev", FailMode: "secure",
		Protocols: []string{"OpenFlow15", "OpenFlow13"}, ExternalIDs: owned, OtherConfig: map[string]string{"hwaddr": "02:00:00:00:00:01"},
	}, InterfaceRow{MTURequest: Some(1400), ExternalIDs: owned})
}

func insertTunnel(txn *Txn, bridge RowRef, name, remote string) {
	txn.InsertPort("tunnel "+name, bridge, PortRow{Name: name, ExternalIDs: owned}, InterfaceRow{Name: name, Type: "gre",
		Options: map[string]string{"remote_ip": remote, "key": "5"}, ExternalIDs: owned})
}

func TestCreateChangeDelete(t *testing.T) {
	sw := ovsdbtest.Start(t, ovsdbtest.WithSwitch())
	sw.VSCtl("add-br", "foreign", "--", "set", "Bridge", "foreign", "datapath_type=netdev", "external_ids:by=others")
	before := sw.Dump()
	s := start(t, sw.Socket)
	synced(t, s)

	txn := NewTxn("create")
	insertBridge(txn, "br1")
	insertTunnel(txn, RowRef{Name: "br1"}, "gre1", "192.0.2.1")
	txn.InsertPort("port p1", RowRef{Name: "br1"}, PortRow{Name: "p1", Tag: Some(0), Trunks: []int{7, 5}, VLANMode: "native-tagged", ExternalIDs: owned},
		InterfaceRow{Name: "p1", Type: "internal", OFPortRequest: Some(40000), MAC: "02:00:00:00:00:02", ExternalIDs: owned})
	snap := apply(t, s, txn)

	br, _ := snap.Bridge("br1")
	if br.FailMode != "secure" || br.DatapathType != "netdev" || len(br.Ports) != 3 || len(br.DatapathID) != 16 ||
		!slices.Equal(br.Protocols, []string{"OpenFlow13", "OpenFlow15"}) || br.OtherConfig["hwaddr"] != "02:00:00:00:00:01" {
		t.Errorf("bridge = %+v", br)
	}
	if i, _ := snap.Interface("br1"); i.Type != "internal" || i.OFPort != Some(65534) || i.MTURequest != Some(1400) {
		t.Errorf("local interface = %+v", i)
	}
	p, _ := snap.Port("p1")
	if on, _ := snap.BridgeOf(p.UUID); on.Name != "br1" || p.Tag != Some(0) || !slices.Equal(p.Trunks, []int{5, 7}) || p.VLANMode != "native-tagged" {
		t.Errorf("port = %+v on %s", p, on.Name)
	}
	if i, ok := snap.InterfaceByUUID(p.Interfaces[0]); !ok || i.OFPort != Some(40000) || i.MAC != "02:00:00:00:00:02" || i.Error != "" {
		t.Errorf("interface = %+v", i)
	}

	port, iface := portRefs(t, snap, "p1")
	_, tunnel := portRefs(t, snap, "gre1")
	txn = NewTxn("change")
	txn.UpdateBridge("b", bridgeRef(t, snap, "br1"), BridgeChange{FailMode: new(""), Protocols: &[]string{},
		OtherConfig: MapChange{Delete: []string{"hwaddr"}}})
	txn.UpdatePort("p", port, PortChange{Tag: new(Opt[int]{}), Trunks: &[]int{9}, VLANMode: new("trunk")})
	txn.UpdateInterface("i", iface, InterfaceChange{MAC: new(""), MTURequest: new(Some(1300))})
	txn.UpdateInterface("t", tunnel, InterfaceChange{
		Options: MapChange{Set: map[string]string{"remote_ip": "192.0.2.9", "tos": "inherit"}, Delete: []string{"key"}}})
	snap = apply(t, s, txn)

	if br, _ := snap.Bridge("br1"); br.FailMode != "" || len(br.Protocols) != 0 || len(br.OtherConfig) != 0 {
		t.Errorf("changed bridge = %+v", br)
	}
	if p, _ := snap.Port("p1"); p.Tag.OK || !slices.Equal(p.Trunks, []int{9}) || p.VLANMode != "trunk" {
		t.Errorf("changed port = %+v", p)
	}
	if i, _ := snap.Interface("p1"); i.MAC != "" || i.MTURequest != Some(1300) || i.OFPort != Some(40000) {
		t.Errorf("changed interface = %+v", i)
	}
	tun, _ := snap.Interface("gre1")
	if diff := cmp.Diff(map[string]string{"remote_ip": "192.0.2.9", "tos": "inherit"}, tun.Options); diff != "" {
		t.Errorf("options (-want +got):\n%s", diff)
	}

	greve, _ := portRefs(t, snap, "gre1")
	txn = NewTxn("delete")
	txn.DeletePort("t", bridgeRef(t, snap, "br1"), greve)
	snap = apply(t, s, txn)
	if _, ok := snap.Interface("gre1"); ok {
		t.Error("gre1 is still there")
	}
	txn = NewTxn("delete")
	deleteBridge(txn, snap, "br1")
	apply(t, s, txn)
	if after := sw.Dump(); after != before {
		t.Errorf("what is left differs; before:\n%s\nafter:\n%s", before, after)
	}
	if log := sw.Tool("ovsdb-tool", "show-log", sw.RunDir+"/conf.db"); !strings.Contains(log, `"greave: change"`) {
		t.Errorf("no comment in the database's log:\n%s", log)
	}
}

// What ovs-vswitchd cannot realise shows in the interface's row, in the same snapshot as the cur_cfg.
func TestFailedTunnelShowsError(t *testing.T) {
	sw := ovsdbtest.Start(t, ovsdbtest.WithNetdevSwitch())
	s := start(t, sw.Socket)
	synced(t, s)
	txn := NewTxn("two equal tunnels")
	insertBridge(txn, "br1")
	insertTunnel(txn, RowRef{Name: "br1"}, "gre1", "192.0.2.1")
	insertTunnel(txn, RowRef{Name: "br1"}, "gre2", "192.0.2.1")
	snap := apply(t, s, txn)
	one, _ := snap.Interface("gre1")
	two, _ := snap.Interface("gre2")
	if (one.Error == "") == (two.Error == "") || one.OFPort.Value+two.OFPort.Value < 0 {
		t.Errorf("interfaces %+v and %+v, want exactly one with an error and ofport -1", one, two)
	}
}

func TestRefusalNamesTheObject(t *testing.T) {
	db := ovsdbtest.Start(t)
	db.VSCtl("--no-wait", "add-br", "taken", "--", "set", "Bridge", "taken", "external_ids:greave-owner=test")
	s := start(t, db.Socket)
	snap := synced(t, s)
	before := db.Dump()
	port := func(tag, name string, p PortRow, i InterfaceRow) func(*Txn) {
		p.Name, i.Name = name, name
		return func(txn *Txn) { txn.InsertPort(tag, bridgeRef(t, snap, "taken"), p, i) }
	}
	for _, c := range []struct {
		name    string
		bad     func(*Txn)
		objects []string
		op      string
		code    string
		cause   error
	}{
		{"ofport_request out of range", port("bad", "p", PortRow{}, InterfaceRow{OFPortRequest: Some(99999)}),
			[]string{"bad"}, "insert", "constraint violation", nil},
		{"tag out of range", port("bad", "p", PortRow{Tag: Some(4096)}, InterfaceRow{}),
			[]string{"bad"}, "insert", "constraint violation", nil},
		{"unknown vlan_mode", port("bad", "p", PortRow{VLANMode: "sideways"}, InterfaceRow{}),
			[]string{"bad"}, "insert", "constraint violation", nil},
		{"unknown fail_mode", func(txn *Txn) {
			txn.UpdateBridge("bad", bridgeRef(t, snap, "taken"), BridgeChange{FailMode: new("open")})
		},
			[]string{"bad"}, "update", "constraint violation", nil},
		{"NUL", port("bad", "p", PortRow{ExternalIDs: map[string]string{"x": "\x00"}}, InterfaceRow{}),
			[]string{"bad"}, "insert", "unsendable text", nil},
		{"not UTF-8", func(txn *Txn) {
			txn.UpdateBridge("bad", bridgeRef(t, snap, "taken"), BridgeChange{OtherConfig: MapChange{Delete: []string{"\xff"}}})
		}, []string{"bad"}, "mutate", "unsendable text", nil},
		{"name taken", port("bad", "taken", PortRow{}, InterfaceRow{}), []string{"bad"}, "commit", "constraint violation", ErrExists},
		{"name taken by a row that changes too", func(txn *Txn) {
			_, iface := portRefs(t, snap, "taken")
			txn.UpdateInterface("good3", RowRef{UUID: iface.UUID, Name: "taken"}, InterfaceChange{MTURequest: new(Some(1400))})
			port("bad", "taken", PortRow{}, InterfaceRow{})(txn)
		}, []string{"bad"}, "commit", "constraint violation", ErrExists},
		{"bridge name taken", func(txn *Txn) { insertBridge(txn, "taken") },
			[]string{"bridge taken"}, "commit", "constraint violation", ErrExists},
		{"one name twice", func(txn *Txn) {
			port("bad1", "p", PortRow{}, InterfaceRow{})(txn)
			port("bad2", "p", PortRow{}, InterfaceRow{})(txn)
		}, []string{"bad1", "bad2"}, "commit", "constraint violation", ErrExists},
		{"no such bridge", func(txn *Txn) {
			txn.InsertPort("bad", RowRef{Name: "none"}, PortRow{Name: "p"}, InterfaceRow{Name: "p"})
		}, []string{"bad"}, "mutate", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			txn := NewTxn(c.name)
			insertTunnel(txn, bridgeRef(t, snap, "taken"), "good1", "192.0.2.1")
			c.bad(txn)
			insertTunnel(txn, bridgeRef(t, snap, "taken"), "good2", "192.0.2.2")
			_, err := s.Transact(t.Context(), txn)
			e, ok := errors.AsType[*TxnError](err)
			if !ok {
				t.Fatalf("Transact = %v, want a TxnError", err)
			}
			t.Log(err)
			if !slices.Equal(e.Objects, c.objects) || e.Op != c.op || c.code != "" && e.Code != c.code || !errors.Is(e.Unwrap(), c.cause) {
				t.Errorf("error = %+v, want objects %q, op %s, code %q, cause %v", e, c.objects, c.op, c.code, c.cause)
			}
			if (len(c.objects) == 1) != (e.Object != "") {
				t.Errorf("object = %q with objects %q", e.Object, e.Objects)
			}
		})
	}
	if after := db.Dump(); after != before {
		t.Errorf("refused transactions changed the database from\n%s\nto\n%s", before, after)
	}
}

func TestGuards(t *testing.T) {
	for _, c := range []struct {
		name    string
		foreign []string // ovs-vsctl of somebody else after the observation
		fails   bool
	}{
		{"nothing happened", []string{"list-br"}, false},
		{"another key of external_ids changed", []string{"set", "Interface", "p", "external_ids:other=x"}, false},
		{"owner replaced", []string{"set", "Interface", "p", "external_ids:greave-owner=thief"}, true},
		{"owner removed", []string{"remove", "Interface", "p", "external_ids", "greave-owner"}, true},
		{"row gone", []string{"del-port", "p"}, true},
		{"row replaced under the same name", []string{"del-port", "p", "--", "add-port", "br", "p", "--", "set", "Interface", "p", "external_ids:greave-owner=test"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := ovsdbtest.Start(t)
			db.VSCtl("--no-wait", "add-br", "br", "--", "add-port", "br", "p", "--", "set", "Interface", "p", "external_ids:greave-owner=test")
			s := start(t, db.Socket)
			_, ref := portRefs(t, synced(t, s), "p")
			db.VSCtl(append([]string{"--no-wait"}, c.foreign...)...)
			before := db.Dump()
			txn := NewTxn(c.name)
			txn.UpdateInterface("guarded", ref, InterfaceChange{ExternalIDs: MapChange{Set: map[string]string{"new": "1"}}})
			_, err := s.Transact(t.Context(), txn)
			if !c.fails {
				if err != nil || db.VSCtl("get", "Interface", "p", "external_ids:new") != `"1"` {
					t.Errorf("Transact = %v", err)
				}
				return
			}
			if e, ok := errors.AsType[*TxnError](err); !ok || e.Object != "guarded" || e.Op != "guard" || !errors.Is(err, ErrRowChanged) {
				t.Errorf("Transact = %v, want ErrRowChanged for 'guarded'", err)
			}
			if after := db.Dump(); after != before {
				t.Errorf("a refused transaction changed the database from\n%s\nto\n%s", before, after)
			}
		})
	}
	t.Run("ports of a bridge that is gone", func(t *testing.T) {
		db := ovsdbtest.Start(t)
		db.VSCtl("--no-wait", "add-br", "br")
		s := start(t, db.Socket)
		b, _ := synced(t, s).Bridge("br")
		db.VSCtl("--no-wait", "del-br", "br")
		txn := NewTxn("x")
		insertTunnel(txn, RowRef{UUID: b.UUID, Name: "br"}, "g1", "192.0.2.1")
		insertTunnel(txn, RowRef{UUID: b.UUID, Name: "br"}, "g2", "192.0.2.2")
		_, err := s.Transact(t.Context(), txn)
		e, ok := errors.AsType[*TxnError](err)
		if !ok || !errors.Is(err, ErrRowChanged) || e.Object != "" || !slices.Equal(e.Objects, []string{"tunnel g1", "tunnel g2"}) {
			t.Errorf("Transact = %v, want ErrRowChanged for both tunnels", err)
		}
	})
}

// 200 foreign rows of each kind, and foreign keys in greave's own rows, come out as they went in.
func TestForeignRowsUntouched(t *testing.T) {
	db := ovsdbtest.Start(t)
	args := []string{"--no-wait"}
	for i := range 200 {
		args = append(args, "--", "add-br", fmt.Sprintf("f%d", i), "--", "add-port", fmt.Sprintf("f%d", i), fmt.Sprintf("fp%d", i),
			"--", "set", "Interface", fmt.Sprintf("fp%d", i), "type=vxlan", fmt.Sprintf("options:remote_ip=198.51.100.%d", i),
			"external_ids:iface-id=x", "--", "set", "Bridge", fmt.Sprintf("f%d", i), "other_config:a=b", "protocols=OpenFlow13")
	}
	db.VSCtl(args...)
	db.VSCtl("--no-wait", "set", "Open_vSwitch", ".", "external_ids:system-id=me", "external_ids:greave-x=old")
	before := db.Dump()
	s := start(t, db.Socket)
	snap := synced(t, s)

	txn := NewTxn("make")
	insertBridge(txn, "br1")
	insertTunnel(txn, RowRef{Name: "br1"}, "gre1", "192.0.2.1")
	f0, _ := snap.Bridge("f0")
	insertTunnel(txn, RowRef{UUID: f0.UUID, Name: "f0"}, "patched", "192.0.2.2")
	txn.UpdateSwitch("mark", snap.Switch.UUID, SwitchChange{ExternalIDs: MapChange{Set: map[string]string{"greave-x": "new"}}})
	transact(t, s, txn)
	db.VSCtl("--no-wait", "set", "Interface", "gre1", "external_ids:foreign=kept", "options:tos=3")
	snap = inSync(t, s)
	_, gre1 := portRefs(t, snap, "gre1")
	txn = NewTxn("change")
	txn.UpdateInterface("t", gre1, InterfaceChange{
		Options: MapChange{Set: map[string]string{"key": "6"}}, ExternalIDs: MapChange{Set: map[string]string{"greave-id": "9"}}})
	transact(t, s, txn)
	i, _ := inSync(t, s).Interface("gre1")
	want := InterfaceRow{UUID: i.UUID, Name: "gre1", Type: "gre", Options: map[string]string{"remote_ip": "192.0.2.1", "key": "6", "tos": "3"},
		ExternalIDs: map[string]string{"greave-owner": "test", "greave-id": "9", "foreign": "kept"}}
	if diff := cmp.Diff(want, i); diff != "" {
		t.Errorf("interface gre1 (-want +got):\n%s", diff)
	}

	txn = NewTxn("remove")
	patched, _ := portRefs(t, snap, "patched")
	txn.DeletePort("p", RowRef{UUID: f0.UUID, Name: "f0"}, patched)
	deleteBridge(txn, snap, "br1")
	txn.UpdateSwitch("mark", snap.Switch.UUID, SwitchChange{ExternalIDs: MapChange{Set: map[string]string{"greave-x": "old"}}})
	transact(t, s, txn)
	if after := db.Dump(); after != before {
		t.Errorf("foreign rows changed (-before +after):\n%s", cmp.Diff(before, after))
	}
}

// A port that somebody puts on a bridge after it was observed does not go with the bridge.
func TestBridgeThatGotAPortStays(t *testing.T) {
	db := ovsdbtest.Start(t)
	s := start(t, db.Socket)
	synced(t, s)
	txn := NewTxn("add")
	insertBridge(txn, "br1")
	transact(t, s, txn)
	snap := inSync(t, s)
	db.VSCtl("--no-wait", "add-port", "br1", "theirs")
	txn = NewTxn("remove")
	deleteBridge(txn, snap, "br1")
	if _, err := s.Transact(t.Context(), txn); !errors.Is(err, ErrRowChanged) {
		t.Errorf("Transact = %v, want ErrRowChanged", err)
	}
	if ports := db.VSCtl("--no-wait", "list-ports", "br1"); ports != "theirs" {
		t.Errorf("ports of br1: %q", ports)
	}
	txn = NewTxn("remove")
	deleteBridge(txn, inSync(t, s), "br1")
	transact(t, s, txn)
}

func TestOneMutateOfPortsPerBridge(t *testing.T) {
	txn := NewTxn("x")
	one, two := RowRef{UUID: "00000000-0000-4000-8000-000000000001", Name: "one"}, RowRef{UUID: "00000000-0000-4000-8000-000000000002", Name: "two"}
	for i := range 10 {
		insertTunnel(txn, one, fmt.Sprintf("a%d", i), "192.0.2.1")
		insertTunnel(txn, two, fmt.Sprintf("b%d", i), "192.0.2.1")
		txn.DeletePort("x", one, RowRef{UUID: fmt.Sprintf("00000000-0000-4000-8000-00000000010%d", i)})
	}
	for range 2 { // build must not use up the transaction
		count := map[string]int{}
		for _, o := range txn.build("00000000-0000-4000-8000-000000000000") {
			count[o.Op+" "+o.Table]++
		}
		want := map[string]int{"insert Port": 20, "insert Interface": 20, "wait Port": 10, "wait Bridge": 2, "mutate Bridge": 2,
			"comment ": 1, "mutate Open_vSwitch": 1, "select Open_vSwitch": 1}
		if diff := cmp.Diff(want, count); diff != "" {
			t.Errorf("operations (-want +got):\n%s", diff)
		}
	}
}

// Readers never see half of a transaction.
func TestSnapshotIsNeverTorn(t *testing.T) {
	db := ovsdbtest.Start(t)
	s := start(t, db.Socket)
	synced(t, s)
	txn := NewTxn("bridge")
	insertBridge(txn, "br1")
	transact(t, s, txn)
	ref := bridgeRef(t, inSync(t, s), "br1")

	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for ctx.Err() == nil {
				snap, err := s.Snapshot(ctx)
				if err != nil {
					continue
				}
				if err := torn(snap); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	rounds := 0
	for ; ctx.Err() == nil; rounds++ {
		txn := NewTxn("on")
		for i := range 100 {
			insertTunnel(txn, ref, fmt.Sprintf("g%d", i), "192.0.2.1")
		}
		r := transact(t, s, txn)
		txn = NewTxn("off")
		for i := range 100 {
			name := fmt.Sprintf("g%d", i)
			txn.DeletePort("x", ref, RowRef{UUID: r.UUIDs[RowKey{"Port", name}], Name: name, ExternalIDs: owned})
		}
		transact(t, s, txn)
	}
	readers.Wait()
	t.Logf("%d rounds of 100 ports on and off", rounds)
}

func torn(snap Snapshot) error {
	b, _ := snap.Bridge("br1")
	if len(b.Ports) != 1 && len(b.Ports) != 101 || len(snap.Ports) != len(b.Ports) || len(snap.Interfaces) != len(b.Ports) {
		return fmt.Errorf("bridge has %d ports, there are %d ports and %d interfaces", len(b.Ports), len(snap.Ports), len(snap.Interfaces))
	}
	for _, uuid := range b.Ports {
		p, ok := snap.PortByUUID(uuid)
		if !ok || len(p.Interfaces) != 1 {
			return fmt.Errorf("port %s = %+v", uuid, p)
		}
		if _, ok := snap.InterfaceByUUID(p.Interfaces[0]); !ok {
			return fmt.Errorf("port %s has no interface", p.Name)
		}
	}
	return nil
}

func TestSelect(t *testing.T) {
	sw := ovsdbtest.Start(t, ovsdbtest.WithSwitch())
	s := start(t, sw.Socket)
	synced(t, s)
	txn := NewTxn("bridge")
	insertBridge(txn, "br1")
	insertTunnel(txn, RowRef{Name: "br1"}, "gre1", "192.0.2.1")
	snap := apply(t, s, txn)
	br, _ := snap.Interface("br1")
	columns := []string{"_uuid", "name", "mac_in_use", "options", "statistics", "mtu"}
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		rows, err := s.Select(t.Context(), "Interface", columns, Cond{"_uuid", "==", br.UUID})
		if err != nil || len(rows) != 1 || rows[0].Text("_uuid") != br.UUID || rows[0].Text("name") != "br1" {
			t.Fatalf("Select by UUID = %v, %v, want the one row of br1", rows, err)
		}
		_, counted := rows[0].Counters("statistics")["rx_packets"]
		if rows[0].Text("mac_in_use") == "02:00:00:00:00:01" && counted && rows[0].Int("mtu") > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("row of br1 = %v, want MAC, MTU and statistics", rows[0])
		}
	}
	rows, err := s.Select(t.Context(), "Interface", []string{"name", "options"}, Cond{"external_ids", "includes", owned}, Cond{"type", "==", "gre"})
	if err != nil || len(rows) != 1 || rows[0].Texts("options")["remote_ip"] != "192.0.2.1" {
		t.Errorf("Select of greave's gre interfaces = %v, %v", rows, err)
	}
	rows, err = s.Select(t.Context(), "Bridge", []string{"stp_enable"})
	if err != nil || len(rows) != 1 || rows[0].Bool("stp_enable") {
		t.Errorf("Select of all bridges = %v, %v", rows, err)
	}
	if _, err := s.Select(t.Context(), "Bridge", []string{"nonsense"}); err == nil {
		t.Error("Select of an unknown column = nil, want an error")
	}
}

const many = 5000

// manyPorts makes a bridge with many tunnel ports in a database without a switch.
func manyPorts(b *testing.B) (*Session, RowRef) {
	db := ovsdbtest.Start(b)
	s := New(Config{Endpoint: db.Socket})
	run(b, s)
	synced(b, s)
	txn := NewTxn("many")
	insertBridge(txn, "br1")
	for i := range many {
		insertTunnel(txn, RowRef{Name: "br1"}, fmt.Sprintf("g%d", i), "192.0.2.1")
	}
	began := time.Now()
	transact(b, s, txn)
	committed := time.Since(began)
	snap := inSync(b, s)
	b.Logf("%d ports: committed after %v, in the snapshot after %v", many, committed.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	return s, bridgeRef(b, snap, "br1")
}

func BenchmarkSnapshot5000Ports(b *testing.B) {
	s, ref := manyPorts(b)
	b.Run("unchanged", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Snapshot(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("rebuilt", func(b *testing.B) {
		for b.Loop() {
			s.snapMu.Lock()
			s.image = image{}
			s.snapMu.Unlock()
			if _, err := s.Snapshot(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("change of one row", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			txn := NewTxn("x")
			txn.UpdateBridge("b", ref, BridgeChange{ExternalIDs: MapChange{Set: map[string]string{"n": fmt.Sprint(i)}}})
			transact(b, s, txn)
		}
	})
}
