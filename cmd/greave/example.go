package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// laterKinds are examples of what the agent does not build yet.
var laterKinds = map[string]string{
	"patch": "patch ports are not supported yet; make them with ovs-vsctl",
}

func (a *app) exampleCmd() *cobra.Command {
	var local string
	cmd := &cobra.Command{
		Use:   "example tunnel|segment|l3|hub|patch",
		Short: "Print a document to start from, filled from this host",
		Long: `Prints a document for this host that applies unchanged:
  tunnel   a GRE tunnel on a bridge of its own
  segment  a layer 2 network across hosts
  l3       a GRE tunnel of the kernel that carries IP packets, with a route
  hub      a GRE device of the kernel with many far ends
The far end is an address kept for documentation; put the real one there. The
kind patch comes later.`,
		Example:   "  greave example tunnel > host.yaml\n  greave apply -f host.yaml",
		Args:      cobra.ExactArgs(1),
		ValidArgs: []string{"tunnel", "segment", "l3", "hub", "patch"},
		RunE:      func(cmd *cobra.Command, args []string) error { return a.example(cmd.Context(), args[0], local) },
	}
	cmd.Flags().StringVar(&local, "local", "", "underlay address of this host (default that of the default route)")
	return cmd
}

func (a *app) example(ctx context.Context, kind, local string) error {
	if why := laterKinds[kind]; why != "" {
		return errors.New(why)
	}
	text := map[string]string{"tunnel": tunnelExample, "segment": segmentExample, "l3": l3Example, "hub": hubExample}[kind]
	if text == "" {
		return fmt.Errorf("example %q is not known: say tunnel, segment, l3, hub or patch", kind)
	}
	addr, err := underlayAddr(ctx, local)
	if err != nil {
		return err
	}
	host := ""
	status := a.hostStatus(ctx)
	if name := status.GetHost(); name != "" {
		host = fmt.Sprintf("host: %q\n", name)
	}
	datapath := map[string]string{}
	kernel := status.GetOvs().GetState() == greavev1.OvsState_OVS_STATE_ABSENT // its bridges have no datapath to choose
	if _, err := os.Stat(filepath.Join(a.sys, "module/openvswitch")); errors.Is(err, os.ErrNotExist) && !kernel {
		const why = "datapath: netdev  # this host has no openvswitch kernel module"
		datapath["tunnel"] = "    " + why + "\n"
		datapath["segment"] = "bridges:\n  - name: br-greave\n    " + why + "\n"
	}
	text = strings.NewReplacer("HOST\n", host, "DATAPATH\n", datapath[kind], "LOCAL", addr.String(), "REMOTE", documentationAddr(addr).String()).Replace(text)
	fmt.Fprint(writer{a}, escape(text, true))
	return nil
}

const tunnelExample = `# A GRE tunnel as a port of a bridge that switches like any other.
HOST
bridges:
  - name: br-example
DATAPATH
tunnels:
  - name: gre-example
    bridge: br-example
    encap: gre
    local: {address: LOCAL}
    remote: {address: REMOTE}  # the far end: put its address here
    key: {fixed: {in: 7, out: 7}}
`

// The addresses are of RFC 5737 and RFC 6598: neither is likely on this host.
const l3Example = `# A GRE tunnel that carries IP packets: a device of the kernel with a route into it.
HOST
tunnels:
  - name: gre-example
    layer: l3
    encap: gre
    local: {address: LOCAL}
    remote: {address: REMOTE}  # the far end: put its address here
    key: {fixed: {in: 7, out: 7}}
    addresses: [100.64.7.1/30]  # the far end has 100.64.7.2/30
    routes:
      - {destination: 203.0.113.0/24, via: 100.64.7.2}  # the network behind the far end
`

const hubExample = `# One GRE device to many far ends, and which underlay address each overlay address is at.
HOST
tunnels:
  - name: hub-example
    layer: l3
    encap: gre
    local: {address: LOCAL}
    remote: {any: true}
    key: {fixed: {in: 7, out: 7}}
    addresses: [100.64.8.1/24]
    neighbours:  # one for each far end
      - {overlay: 100.64.8.2, underlay: REMOTE}
`

const segmentExample = `# A layer 2 network across hosts, carried by the bridge br-greave.
HOST
vteps:
  - name: underlay
    address: LOCAL
DATAPATH
segments:
  - name: example
    encap: gre
    key: 7001
peers:
  - name: far
    paths:
      - remote: REMOTE  # the far host: put its address here
    segments: [example]
# A local device takes part like this:
# ports:
#   - name: guest
#     device: tap0
#     attachments: [{segment: example}]
`

// hostStatus is what the agent says of this host; empty when it does not
// answer: a document without a name is for any host.
func (a *app) hostStatus(ctx context.Context) *greavev1.HostStatus {
	c, err := a.connect()
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, min(a.timeout, 3*time.Second))
	defer cancel()
	resp, err := c.state.Get(ctx, &greavev1.GetRequest{})
	if err != nil {
		return nil
	}
	return resp.GetStatus()
}

// underlayAddr is the given address, else the source of the default route, else
// the first global IPv4 address of this host.
func underlayAddr(ctx context.Context, given string) (netip.Addr, error) {
	if given != "" {
		addr, err := netip.ParseAddr(given)
		if err != nil || !addr.Is4() {
			return netip.Addr{}, fmt.Errorf("--local %s: not an IPv4 address", given)
		}
		return addr, nil
	}
	// Connecting a UDP socket asks for a route and sends nothing.
	if conn, err := (&net.Dialer{}).DialContext(ctx, "udp4", "198.18.0.1:9"); err == nil {
		defer conn.Close()
		if at, err := netip.ParseAddrPort(conn.LocalAddr().String()); err == nil && at.Addr().IsGlobalUnicast() {
			return at.Addr(), nil
		}
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return netip.Addr{}, fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && p.Addr().IsGlobalUnicast() {
			return p.Addr(), nil
		}
	}
	return netip.Addr{}, errors.New("this host has no IPv4 address beside loopback; give one with --local")
}

// documentationAddr is an address of RFC 5737 that is none of local's network.
func documentationAddr(local netip.Addr) netip.Addr {
	if netip.MustParsePrefix("192.0.2.0/24").Contains(local) {
		return netip.MustParseAddr("198.51.100.2")
	}
	return netip.MustParseAddr("192.0.2.2")
}
