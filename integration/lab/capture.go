package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Capture is a running tcpdump.
type Capture struct {
	proc *proc
	file string
	log  string
}

// Capture records what passes a device of the host, "" for its underlay NIC; filter is a pcap
// filter such as "proto gre", "" for everything. It returns once tcpdump listens.
func (h *Host) Capture(ctx context.Context, dev, filter string) (*Capture, error) {
	if dev == "" {
		dev = h.NIC
	}
	base := filepath.Join(h.dir, fmt.Sprintf("capture-%d", serial.Add(1)))
	c := &Capture{file: base + ".pcap", log: base + ".log"}
	// -Z root: tcpdump would give up its rights before it opens the file.
	argv := []string{"tcpdump", "-Z", "root", "-n", "-i", dev, "-s", "9216", "-B", "32768", "-U", "--immediate-mode", "-w", c.file}
	if filter != "" {
		argv = append(argv, filter)
	}
	var err error
	if c.proc, err = h.lab.spawn("tcpdump", h.NS, base+".log", nil, argv...); err != nil {
		return nil, err
	}
	return c, c.proc.ready(ctx, func() error {
		if !strings.Contains(tail(base+".log", 20), "listening on") {
			return errors.New("not listening yet")
		}
		return nil
	})
}

// Stop ends the capture and returns its IP packets in order. What passed before the call is in it;
// a capture that missed packets is an error.
func (c *Capture) Stop() ([]OuterPacket, error) {
	time.Sleep(100 * time.Millisecond) // a signal makes tcpdump leave what it has not read yet
	if err := c.proc.stop(syscall.SIGINT); err != nil {
		return nil, err
	}
	if !strings.Contains(tail(c.log, 5), "\n0 packets dropped by kernel") {
		return nil, fmt.Errorf("the capture missed packets: %s", tail(c.log, 5))
	}
	file, err := os.ReadFile(c.file)
	if err != nil {
		return nil, fmt.Errorf("read capture: %w", err)
	}
	return decodePcap(file)
}
