package ovsdbtest_test

import (
	"strings"
	"testing"

	"github.com/greave-sdn/greave/ovsdb/ovsdbtest"
)

func TestSwitchComesUp(t *testing.T) {
	for _, c := range []struct {
		name   string
		option ovsdbtest.Option
	}{
		{"dummy", ovsdbtest.WithSwitch()},
		{"netdev", ovsdbtest.WithNetdevSwitch()},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := ovsdbtest.Start(t, c.option)
			s.VSCtl("add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=netdev",
				"--", "add-port", "br0", "gre0", "--", "set", "Interface", "gre0", "type=gre", "options:remote_ip=192.0.2.1")
			if got := s.VSCtl("get", "Interface", "gre0", "ofport"); got != "1" {
				t.Errorf("ofport of gre0 = %s (%s), want 1", got, s.VSCtl("get", "Interface", "gre0", "error"))
			}
			if s.Netns != "" {
				if links := s.Tool("ip", "-n", s.Netns, "-br", "link"); !strings.Contains(links, "br0") {
					t.Errorf("no device br0 in namespace %s:\n%s", s.Netns, links)
				}
			}
			before := s.Dump()
			s.KillSwitch()
			s.KillServer()
			s.StartServer()
			s.StartSwitch()
			if after := s.Dump(); after != before {
				t.Errorf("restart changed the database from\n%s\nto\n%s", before, after)
			}
		})
	}
}
