package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/greave-sdn/greave/integration/lab"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

const (
	handBridge = "br-hand"
	sinkPort   = "5201"
)

// throughput: TCP through greave's GRE tunnel and through one made by hand between the same hosts.
func throughput(ctx context.Context, b *bench) error {
	return b.onHosts(ctx, 2, true, func(hosts []*host) error {
		var ours, hands [2]*lab.Guest
		for i, h := range hosts {
			var err error
			if ours[i], err = h.AddGuest(ctx, "ours", fmt.Sprintf("10.1.0.%d/24", i+1), fmt.Sprintf("02:00:00:01:00:%02x", i), 1400); err != nil {
				return err
			}
			if hands[i], err = h.AddGuest(ctx, "hand", fmt.Sprintf("10.2.0.%d/24", i+1), fmt.Sprintf("02:00:00:02:00:%02x", i), 1400); err != nil {
				return err
			}
			far := hosts[1-i].VTEP.String()
			if err := h.replace(ctx, oneTunnelDoc(far)); err != nil {
				return err
			}
			if _, err := h.tool(ctx, "", "ovs-vsctl", "add-br", handBridge, "--", "set", "Bridge", handBridge, "datapath_type=netdev",
				"--", "add-port", handBridge, "hand", "--", "add-port", handBridge, "gre-hand",
				"--", "set", "Interface", "gre-hand", "type=gre", "options:remote_ip="+far, "options:key=8"); err != nil {
				return err
			}
		}
		window := max(3*time.Second/time.Duration(b.scale), 300*time.Millisecond)
		through := func(pair [2]*lab.Guest) measure {
			return func(ctx context.Context) (float64, error) { return tcp(ctx, pair, window) }
		}
		for _, warm := range []measure{through(ours), through(hands)} {
			if _, err := warm(ctx); err != nil {
				return err
			}
		}
		p, err := b.inTurn(ctx, through(ours), through(hands))
		if err != nil {
			return err
		}
		// What one and the same tunnel differs from itself is what two may differ.
		middle := median(p.theirs)
		noise := max(0.05, (slices.Max(p.theirs)-slices.Min(p.theirs))/middle)
		b.add("TCP through greave's GRE tunnel", "Mbit/s", "the same by ovs-vsctl", p, goal{fmt.Sprintf("1.00 ± %.2f, the rival's own spread", noise),
			func(f figure) bool { return math.Abs(f.Ratio-1) <= noise }})
		return nil
	})
}

func oneTunnelDoc(far string) *greavev1.HostState {
	key := uint32(7)
	return &greavev1.HostState{
		Bridges: []*greavev1.Bridge{{Name: tunnelBridge, Datapath: greavev1.Datapath_DATAPATH_NETDEV}},
		Ports:   []*greavev1.Port{{Name: "ours", Binding: &greavev1.Port_Device{Device: "ours"}, Bridge: tunnelBridge}},
		Tunnels: []*greavev1.Tunnel{{
			Name: "gre-ours", Bridge: tunnelBridge, Remote: &greavev1.TunnelRemote{Endpoint: &greavev1.TunnelRemote_Address{Address: far}},
			Key: &greavev1.TunnelKey{Kind: &greavev1.TunnelKey_Fixed{Fixed: &greavev1.FixedKey{In: &key, Out: &key}}},
		}},
	}
}

// tcp is the throughput from the first guest to the second, in Mbit/s.
func tcp(ctx context.Context, pair [2]*lab.Guest, window time.Duration) (float64, error) {
	to := net.JoinHostPort(pair[1].Addr.Addr().String(), sinkPort)
	s, err := startSelf(ctx, roleSink, to, "ip", "netns", "exec", pair[1].NS)
	if err != nil {
		return 0, err
	}
	defer s.stop()
	program, err := os.Executable()
	if err != nil {
		return 0, err
	}
	out, _, err := pair[0].Exec(ctx, "env", roleVariable+"="+roleSource, socketVariable+"="+to+" "+window.String(), program)
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(strings.TrimSpace(out), 64)
}

// sink takes what comes and says at the end of a connection how many bytes those were.
func sink(address string) error {
	l, err := net.Listen("tcp", address) //nolint:noctx // the process is ended from outside
	if err != nil {
		return err
	}
	fmt.Println(ready)
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		n, _ := io.Copy(io.Discard, c)
		fmt.Fprintln(c, n)
		c.Close()
	}
}

// source sends for a while and prints what arrived, in Mbit/s.
func source(what string) error {
	address, text, _ := strings.Cut(what, " ")
	window, err := time.ParseDuration(text)
	if err != nil {
		return err
	}
	c, err := net.DialTimeout("tcp", address, 10*time.Second) //nolint:noctx // it has a deadline
	if err != nil {
		return err
	}
	defer c.Close()
	began := time.Now()
	if err := c.SetDeadline(began.Add(window + 10*time.Second)); err != nil {
		return err
	}
	for block := make([]byte, 64<<10); time.Since(began) < window; {
		if _, err := c.Write(block); err != nil {
			return err
		}
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	answer, err := io.ReadAll(c)
	took := time.Since(began).Seconds()
	n, bad := strconv.ParseFloat(strings.TrimSpace(string(answer)), 64)
	if err := errors.Join(err, bad); err != nil {
		return err
	}
	fmt.Println(n * 8 / took / 1e6)
	return nil
}
