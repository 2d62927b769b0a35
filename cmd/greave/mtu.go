package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/greave-sdn/greave/model/mtu"
)

// mtuWords are the flags whose values have names.
type mtuWords struct{ encap, outer, layer, udpEncap, esp, espTunnel string }

func (a *app) mtuCmd() *cobra.Command {
	var w mtuWords
	var s mtu.Spec
	var underlay, inner int
	cmd := &cobra.Command{
		Use:   "mtu --encap ENCAP",
		Short: "Compute what an encapsulation costs and what fits",
		Long: `Computes the largest inner IP packet for an underlay MTU, or, with --inner, the
underlay MTU that an inner packet needs. ENCAP is gre (IP packets), gretap
(Ethernet frames, as the gre ports of Open vSwitch), vxlan, vxlan-gbp,
vxlan-gpe, geneve, erspan-v1, erspan-v2, ipip or sit. Asks no agent.`,
		Example: "  greave mtu --encap gre --key --underlay 1500\n  greave mtu --encap gretap --key --inner 1500",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := w.parse(&s); err != nil {
				return err
			}
			if a.format == "yaml" {
				return errors.New("-o yaml: say table or json")
			}
			return a.mtu(s, underlay, inner, cmd.Flags().Changed("inner"))
		},
	}
	f := cmd.Flags()
	f.StringVar(&w.encap, "encap", "", "encapsulation")
	_ = cmd.MarkFlagRequired("encap")
	f.IntVar(&underlay, "underlay", 1500, "MTU of the underlay, in bytes")
	f.IntVar(&inner, "inner", 0, "inner IP packet to find the underlay MTU for, in bytes")
	cmd.MarkFlagsMutuallyExclusive("underlay", "inner")
	f.StringVar(&w.outer, "outer", "ipv4", "outer header: ipv4 or ipv6")
	f.StringVar(&w.layer, "layer", "default", "what is carried, where the encapsulation leaves it open: l2 or l3")
	f.BoolVar(&s.Key, "key", false, "the GRE header has a key")
	f.BoolVar(&s.Checksum, "checksum", false, "the GRE header has a checksum")
	f.BoolVar(&s.Sequence, "sequence", false, "the GRE header has a sequence number")
	f.IntVar(&s.GeneveOptions, "geneve-options", 0, "Geneve options, in bytes")
	f.BoolVar(&s.EncapLimit, "encap-limit", false, "the encapsulation limit of the kernel's IPv6 tunnels")
	f.StringVar(&w.udpEncap, "udp-encap", "none", "UDP around it: none, fou or gue")
	f.IntVar(&s.GUEOptions, "gue-options", 0, "GUE options, in bytes")
	f.IntVar(&s.InnerVLANs, "inner-vlans", 0, "VLAN tags of inner frames")
	f.IntVar(&s.OuterVLANs, "outer-vlans", 0, "VLAN tags that the underlay MTU has to pay for")
	f.StringVar(&w.esp, "esp", "none", "IPsec around it: aes-gcm, aes-cbc-sha256, chacha20-poly1305, …")
	f.StringVar(&w.espTunnel, "esp-tunnel", "", "IPsec in tunnel mode: its outer header, ipv4 or ipv6")
	f.BoolVar(&s.ESP.NATT, "esp-udp", false, "IPsec in UDP (NAT traversal)")
	a.addFormat(cmd, "table or json")
	return cmd
}

func (w *mtuWords) parse(s *mtu.Spec) error {
	var errs [6]error
	s.Encap, errs[0] = mtu.ParseEncap(w.encap)
	s.Outer, errs[1] = mtu.ParseFamily(w.outer)
	s.Layer, errs[2] = mtu.ParseLayer(w.layer)
	s.UDPEncap, errs[3] = mtu.ParseUDPEncap(w.udpEncap)
	s.ESP.Suite, errs[4] = mtu.ParseSuite(w.esp)
	if w.espTunnel != "" {
		s.ESP.Tunnel = true
		s.ESP.Outer, errs[5] = mtu.ParseFamily(w.espTunnel)
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// mtuResult is the stable form for -o json. Numbers are bytes.
type mtuResult struct {
	Underlay  int       `json:"underlay_mtu"`
	Inner     int       `json:"inner_mtu"`
	Overhead  int       `json:"overhead"`
	Breakdown []mtuPart `json:"breakdown"`
}

type mtuPart struct {
	Name  string `json:"name"`
	Bytes int    `json:"bytes"`
}

func (a *app) mtu(s mtu.Spec, underlay, inner int, fromInner bool) error {
	var err error
	if fromInner {
		underlay, err = s.UnderlayMTU(inner)
	} else {
		inner, err = s.InnerMTU(underlay)
	}
	if err != nil {
		return err
	}
	r := mtuResult{Underlay: underlay, Inner: inner, Overhead: s.Overhead(inner)}
	for _, p := range s.Breakdown(inner) {
		r.Breakdown = append(r.Breakdown, mtuPart(p))
	}
	if a.format == "json" {
		text, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return fmt.Errorf("format the answer: %w", err)
		}
		fmt.Fprintf(writer{a}, "%s\n", text)
		return nil
	}
	for _, p := range r.Breakdown {
		a.printf("%-20s %5d\n", p.Name, p.Bytes)
	}
	a.printf("%-20s %5d\n", "overhead", r.Overhead)
	a.printf("%-20s %5d\n", "underlay MTU", r.Underlay)
	a.printf("%-20s %5d\n", "inner MTU", r.Inner)
	if inner < mtu.MinIPv6 {
		a.printf("note: an inner MTU below %d carries no IPv6 (RFC 8200)\n", mtu.MinIPv6)
	}
	return nil
}
