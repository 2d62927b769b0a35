package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// TestBindByIfaceID is K1: a port that libvirt made is found by its iface-id. Its
// flows are in before it is told so; it is not bound for a guest that it is not
// of; it may come and go; and of the foreign row greave writes one key.
func TestBindByIfaceID(t *testing.T) {
	s := newSite(t)
	local, err := s.AddGuest(t.Context(), "tap9", "10.0.0.9/24", "02:00:00:00:00:19", 1400)
	s.must(err)
	doc := ordinary(s, `
ports:
- {name: vm1, iface_id: vm-1, attachments: [{segment: red}], macs: ["02:00:00:00:00:11"]}
- {name: local, device: tap9, attachments: [{segment: red}]}`)
	r, err := s.try(&greavev1.ApplyRequest{State: parse(t, doc)})
	s.must(err)
	if len(r.NotRealised) != 1 || r.NotRealised[0].Name != "vm1" || r.NotRealised[0].State != pending || !reasons(r.NotRealised[0])["PORT_ABSENT"] {
		t.Fatalf("not realised: %v, want vm1 to wait for its port", r.NotRealised)
	}
	without := s.flows("br-greave")

	trace := s.trace("execve,write,exit_group")
	vm, err := s.AddBoundGuest(t.Context(), "br-greave", "vm-1", "vnet1", "10.0.0.1/24", "02:00:00:00:00:11", 1400)
	s.must(err)
	t.Logf("K1: bound after %v", s.becomes(portKind, "vm1", active, "").Round(time.Millisecond))
	lines, err := trace.stop()
	s.must(err)
	flowsBeforeMark(t, lines)
	s.boundRow(true)
	with := s.flows("br-greave")
	if port := "in_port=" + s.vsctl("get", "Interface", "vnet1", "ofport"); !strings.Contains(with, port) || strings.Contains(without, port+",") {
		t.Errorf("flows of %s: before %v, after %v", port, strings.Contains(without, port), strings.Contains(with, port))
	}
	reaches := func(want bool) {
		t.Helper()
		_, _ = vm.Ping(t.Context(), local.Addr.Addr(), 1, time.Millisecond)
		got, err := vm.Ping(t.Context(), local.Addr.Addr(), 2, 10*time.Millisecond)
		s.must(err)
		if (got.Received == 2) != want {
			t.Errorf("%d of 2 pings answered; want an answer: %v", got.Received, want)
		}
	}
	reaches(true)

	t.Run("attached-mac of another guest", func(t *testing.T) {
		s := s.in(t)
		s.vsctl("set", "Interface", "vnet1", `external_ids:attached-mac="02:00:00:00:00:99"`)
		s.becomes(portKind, "vm1", pending, "ATTACHED_MAC_DIFFERS")
		if got := s.flows("br-greave"); got != without {
			t.Errorf("flows of a port that is not bound:\n%s", lineDiff(without, got))
		}
		if got := s.vsctl("get", "Interface", "vnet1", "external_ids"); strings.Contains(got, "greave-installed") {
			t.Errorf("still told as installed: %s", got)
		}
		s.vsctl("set", "Interface", "vnet1", `external_ids:attached-mac="02:00:00:00:00:11"`)
		s.becomes(portKind, "vm1", active, "")
	})
	reaches(true)

	t.Run("port goes and comes", func(t *testing.T) {
		s := s.in(t)
		s.vsctl("del-port", "vnet1")
		s.becomes(portKind, "vm1", pending, "PORT_ABSENT")
		if got := s.flows("br-greave"); got != without {
			t.Errorf("flows of a port that is gone:\n%s", lineDiff(without, got))
		}
		s.vsctl("add-port", "br-greave", "vnet1", "--", "set", "Interface", "vnet1", `external_ids:attached-mac="02:00:00:00:00:11"`,
			"external_ids:iface-id=vm-1", "external_ids:vm-id=vm-vnet1", "external_ids:iface-status=active")
		s.becomes(portKind, "vm1", active, "")
		s.boundRow(true)
	})
	reaches(true)

	s.apply(ordinary(s, `ports: [{name: local, device: tap9, attachments: [{segment: red}]}]`))
	s.boundRow(false)
	if got := s.flows("br-greave"); got != without {
		t.Errorf("flows of a port no longer stated:\n%s", lineDiff(without, got))
	}
	reaches(false)
	s.vsctl("del-port", "vnet1")
}

// boundRow fails the test unless the foreign row has what libvirt wrote and, when
// installed, the one key of greave's, with a time.
func (s site) boundRow(installed bool) {
	s.t.Helper()
	mark := s.vsctl("--if-exists", "get", "Interface", "vnet1", "external_ids:greave-installed")
	if (mark != "") != installed {
		s.t.Errorf("greave-installed = %q, want it there: %v", mark, installed)
	}
	if installed {
		name, since, _ := strings.Cut(strings.Trim(mark, `"`), " ")
		if at, err := time.Parse(time.RFC3339, since); err != nil || name != s.Name || time.Since(at) > time.Minute {
			s.t.Errorf("greave-installed = %s, want %s and a time", mark, s.Name)
		}
	}
	want := `{attached-mac="02:00:00:00:00:11", `
	if installed {
		want += "greave-installed=" + mark + ", "
	}
	want += `iface-id=vm-1, iface-status=active, vm-id=vm-vnet1}`
	if got := s.vsctl("get", "Interface", "vnet1", "external_ids"); got != want {
		s.t.Errorf("external_ids of vnet1 = %s, want %s", got, want)
	}
	for _, c := range [][3]string{
		{"Interface", "options", "{}"}, {"Interface", "type", `""`}, {"Interface", "ofport_request", "[]"},
		{"Port", "external_ids", "{}"}, {"Port", "tag", "[]"}, {"Port", "other_config", "{}"},
	} {
		if got := s.vsctl("get", c[0], "vnet1", c[1]); got != c[2] {
			s.t.Errorf("%s of %s vnet1 = %s, want %s", c[1], c[0], got, c[2])
		}
	}
}

// flowsBeforeMark reads a trace: the ovs-ofctl that wrote the bundle must have
// ended, and well, before the mark is written.
func flowsBeforeMark(t *testing.T, lines []string) {
	t.Helper()
	bundle, ended, mark := "", -1, -1
	for i, l := range lines {
		pid, call, _ := strings.Cut(l, " ")
		switch {
		case strings.Contains(call, "execve(") && strings.Contains(call, "ovs-ofctl") && strings.Contains(call, "bundle"):
			bundle = pid
		case pid == bundle && strings.Contains(call, "exit_group(0)") && ended < 0:
			ended = i
		case strings.Contains(call, "greave-installed") && strings.Contains(call, "mutate") && mark < 0:
			mark = i
		}
	}
	if bundle == "" || ended < 0 || mark < 0 || mark < ended {
		t.Errorf("bundle of process %q ended at line %d of the trace, greave-installed was written at line %d of %d", bundle, ended, mark, len(lines))
		for i, l := range lines {
			if strings.Contains(l, "execve(") || strings.Contains(l, "greave-installed") {
				t.Log(fmt.Sprint(i, " ", l[:min(len(l), 300)]))
			}
		}
	}
}
