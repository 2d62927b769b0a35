package kernel

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/greave-sdn/greave/agent/kernel/rows"
)

var fouFamilies = map[string]int{"inet": unix.AF_INET, "inet6": unix.AF_INET6}

// fous lists the ports of GRE in UDP. A kernel without the driver has none.
func (h *Host) fous(name string, listed func(rows.Key) bool, out map[rows.Key]rows.Row) error {
	return h.inside(name, func() error {
		list, err := netlink.FouList(0)
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		if err != nil {
			return newError("list FOU ports", err)
		}
		for _, f := range list {
			if f.Protocol != unix.IPPROTO_GRE && f.EncapType == netlink.FOU_ENCAP_DIRECT {
				continue
			}
			fam, typ := "inet", "fou"
			if f.Family == unix.AF_INET6 {
				fam = "inet6"
			}
			if f.EncapType == netlink.FOU_ENCAP_GUE {
				typ = "gue"
			}
			k := rows.Key{Netns: name, Table: rows.FOU, ID: fmt.Sprintf("%s %d", fam, f.Port)}
			out[k] = rows.Row{Key: k, Unmarked: true, Owned: listed(k), Fields: map[string]string{rows.FieldType: typ}}
		}
		return nil
	})
}

func (h *Host) changeFOU(op string, add bool, r rows.Row) error {
	fam, text, _ := strings.Cut(r.ID, " ")
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return err
	}
	f := netlink.Fou{Family: fouFamilies[fam], Port: int(port), Protocol: unix.IPPROTO_GRE, EncapType: netlink.FOU_ENCAP_DIRECT}
	if r.Fields[rows.FieldType] == "gue" {
		f.EncapType = netlink.FOU_ENCAP_GUE
	}
	return h.inside(r.Netns, func() error {
		change := netlink.FouDel
		if add {
			change = netlink.FouAdd
		}
		err := change(f)
		if errors.Is(err, unix.ENOENT) && add || errors.Is(err, unix.EAFNOSUPPORT) {
			module := map[string]string{"inet": "fou", "inet6": "fou6"}[fam]
			return missingDriver(op, unix.ENOENT, "GRE in UDP", module)
		}
		if err != nil {
			return newError(op, err)
		}
		return nil
	})
}
