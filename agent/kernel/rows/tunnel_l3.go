package rows

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"net/netip"

	"github.com/greave-sdn/greave/model"
)

// mainTable is the routing table of routes that name none (RT_TABLE_MAIN).
const mainTable = 254

// metric6 is what the kernel makes of an IPv6 route without a metric
// (IP6_RT_PRIO_USER).
const metric6 = 1024

// layer3 enters what is on a layer 3 device.
func (c *compiler) layer3(t model.ResolvedTunnel, link Key) {
	c.addresses(link, t.Ref(), t.Addresses)
	if t.Down || t.Loops {
		return // the kernel keeps no route through a device that is down
	}
	underlay := make(map[netip.Addr]netip.Addr, len(t.Neighbours)) // by overlay
	for _, n := range t.Neighbours {
		underlay[n.Overlay] = n.Underlay
		if t.Far == model.FarFlow {
			c.route(t, link, model.Route{Destination: netip.PrefixFrom(n.Overlay, n.Overlay.BitLen())}, n.Underlay)
			continue
		}
		c.put(Row{Key: Key{link.Netns, Neighbour, link.Link, n.Overlay.String()}, Object: t.Ref(),
			Fields: map[string]string{FieldMACof: n.Underlay.String()}})
	}
	for _, r := range t.Routes {
		if t.Far != model.FarFlow {
			c.route(t, link, r, netip.Addr{})
			continue
		}
		if to, known := underlay[r.Via]; known {
			r.Via = netip.Addr{} // the encapsulation says where to
			c.route(t, link, r, to)
		}
	}
}

// route enters a route, with its packets encapsulated to an underlay address
// when there is one.
func (c *compiler) route(t model.ResolvedTunnel, link Key, r model.Route, underlay netip.Addr) {
	metric := r.Metric.V
	switch {
	case r.Metric.Set:
	case r.Destination.Addr().Is6():
		metric = metric6
	case underlay.IsValid():
		metric = ownMetric(r.Destination)
	}
	table := cmp.Or(r.Table, c.r.Tables[t.VRF], mainTable)
	fields := map[string]string{FieldDev: link.Link, FieldVia: addr(r.Via), FieldSource: addr(r.Source), FieldEncap: ""}
	if underlay.IsValid() {
		fields[FieldEncap] = encapText(t, underlay)
	}
	id := fmt.Sprintf("%s table %d metric %d", r.Destination.Masked(), table, metric)
	c.put(Row{Key: Key{link.Netns, Route, "", id}, Object: t.Ref(), Fields: fields})
}

// ownMetric is a metric that hardly any other route has. The kernel keeps what
// routes lead to in a table whose hash knows the metric and not the
// encapsulation (fib_info_hashfn): with one metric for all, 10,000 of them take
// a minute to make, with one each a few seconds.
func ownMetric(p netip.Prefix) uint32 {
	h := fnv.New32a()
	_, _ = h.Write(p.Addr().AsSlice())
	return 1 + h.Sum32()>>8
}

// encapText is a lightweight tunnel's end as ip-route(8) spells it. Without the
// flag "key" the kernel sends no key.
func encapText(t model.ResolvedTunnel, underlay netip.Addr) string {
	family, ttl := "ip", uint32(64)
	if underlay.Is6() {
		family = "ip6"
	}
	if t.TTL.Fixed.Set {
		ttl = t.TTL.Fixed.V
	}
	text := fmt.Sprintf("%s id %d dst %s ttl %d", family, t.KeyOut.V, underlay, ttl)
	if t.TOS.Fixed.Set && t.TOS.Fixed.V != 0 {
		text += fmt.Sprintf(" tos %d", t.TOS.Fixed.V)
	}
	if t.KeyOut.Set {
		text += " key"
	}
	return text
}
