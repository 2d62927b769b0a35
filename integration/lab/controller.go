package lab

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Controller is an OpenFlow controller that is nothing of greave's, in a host's namespace.
type Controller struct {
	Target string // for ovs-vsctl set-controller: "tcp:127.0.0.1:6653"

	host *Host
	proc *proc
}

// controllerApp becomes the master of each bridge that connects, and deletes all its flows and
// groups whenever there is a file of the name that it is given.
const controllerApp = `
import os
from os_ken.base import app_manager
from os_ken.controller import ofp_event
from os_ken.controller.handler import CONFIG_DISPATCHER, set_ev_cls
from os_ken.lib import hub
from os_ken.ofproto import ofproto_v1_3


class Wiper(app_manager.OSKenApp):
    OFP_VERSIONS = [ofproto_v1_3.OFP_VERSION]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.path = None
        hub.spawn(self.listen)

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def connected(self, ev):
        self.path = ev.msg.datapath
        p = self.path.ofproto_parser
        self.path.send_msg(p.OFPRoleRequest(self.path, self.path.ofproto.OFPCR_ROLE_MASTER, 0))

    def listen(self):
        while True:
            hub.sleep(0.02)
            if self.path is not None and os.path.exists('WIPE'):
                self.wipe(self.path.ofproto, self.path.ofproto_parser)
                os.unlink('WIPE')

    def wipe(self, o, p):
        self.path.send_msg(p.OFPFlowMod(self.path, command=o.OFPFC_DELETE, table_id=o.OFPTT_ALL, out_port=o.OFPP_ANY, out_group=o.OFPG_ANY))
        self.path.send_msg(p.OFPGroupMod(self.path, command=o.OFPGC_DELETE, group_id=o.OFPG_ALL))
`

// RequireController skips a test where there is no OpenFlow controller to run.
func RequireController(t testing.TB) {
	t.Helper()
	Require(t)
	if _, err := exec.LookPath("osken-manager"); err != nil {
		t.Skip("needs osken-manager, a real OpenFlow controller (run make deps)")
	}
}

// StartController starts one that listens on the loopback, and returns when it does.
func (h *Host) StartController(ctx context.Context) (*Controller, error) {
	c := &Controller{Target: "tcp:127.0.0.1:6653", host: h}
	app, err := h.WriteFile("controller.py", strings.ReplaceAll(controllerApp, "WIPE", c.trigger()))
	if err != nil {
		return nil, fmt.Errorf("start controller: %w", err)
	}
	c.proc, err = h.lab.spawn("osken-manager", h.NS, filepath.Join(h.dir, "controller.log"), nil,
		"osken-manager", "--ofp-listen-host", "127.0.0.1", "--ofp-tcp-listen-port", "6653", app)
	if err != nil {
		return nil, err
	}
	return c, c.proc.ready(ctx, func() error {
		out, _, err := h.Exec(ctx, "ss", "-Hltn", "sport = :6653")
		if err == nil && out == "" {
			err = &net.OpError{Op: "listen", Err: os.ErrNotExist}
		}
		return err
	})
}

func (c *Controller) trigger() string { return filepath.Join(c.host.dir, "controller.wipe") }

// Wipe makes it delete all flows and groups, and returns when it has sent that.
func (c *Controller) Wipe(ctx context.Context) error {
	if err := os.WriteFile(c.trigger(), nil, 0o644); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	return poll(ctx, 5*time.Millisecond, func() error {
		if _, err := os.Stat(c.trigger()); err == nil {
			return fmt.Errorf("the controller has no connection")
		}
		return nil
	})
}

// Kill ends it.
func (c *Controller) Kill() { c.proc.kill() }
