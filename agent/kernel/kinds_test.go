package kernel

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/greave-sdn/greave/agent/kernel/rows"
	"github.com/greave-sdn/greave/agent/plan"
)

// The least that a device of a kind is made of, besides its defaults.
var baseFields = map[string][]string{
	"bridge": {}, "vlan": {"id=7", "dev=under0"},
	"gre": {"local=192.0.2.1", "remote=192.0.2.9"}, "gretap": {"local=192.0.2.1", "remote=192.0.2.9"},
	"erspan": {"local=192.0.2.1", "remote=192.0.2.9", "ikey=5", "okey=5"},
	"ip6gre": {"local=2001:db8::1", "remote=2001:db8::9"}, "ip6gretap": {"local=2001:db8::1", "remote=2001:db8::9"},
	"ip6erspan": {"local=2001:db8::1", "remote=2001:db8::9", "ikey=5", "okey=5"},
	"vxlan":     {"id=7"}, "geneve": {"id=7", "remote=192.0.2.9"},
}

// another is a value of each attribute that is not its default, with what goes with it: first of
// one kind, else of all.
var another = map[string]string{
	"bridge stp_state": "1", "bridge vlan_filtering": "1", "bridge mcast_snooping": "1",
	"vlan id": "8", "vlan dev": "under1",
	"dev": "under1", "ikey": "7", "okey": "4294967295", "icsum": "true", "ocsum": "true", "iseq": "true", "oseq": "true",
	"encap": "1 encap-dport=5555", "encap-flags": "1 encap=1 encap-dport=5555", "encap-sport": "4444 encap=2 encap-dport=5555",
	"encap-dport": "5555 encap=2", "external": "true local= remote= ikey= okey=", "fwmark": "77",
	"local": "192.0.2.2", "remote": "192.0.2.8", "ttl": "inherit", "tos": "inherit", "pmtudisc": "false ttl=inherit", "ignore-df": "true pmtudisc=false",
	"ip6gre local": "2001:db8::2", "ip6gre remote": "2001:db8::8", "ip6gretap local": "2001:db8::2", "ip6gretap remote": "2001:db8::8",
	"ip6erspan local": "2001:db8::2", "ip6erspan remote": "2001:db8::8",
	"hoplimit": "9", "encaplimit": "4 no encaplimit=false", "flowinfo": "1048577", "no encaplimit": "false encaplimit=4", "tclass inherit": "true",
	"erspan_ver": "2 erspan_dir=1 erspan_hwid=3", "erspan": "5", "erspan_dir": "1 erspan_ver=2", "erspan_hwid": "9 erspan_ver=2",
	"id": "8", "vxlan ttl": "9", "geneve ttl": "9", "learning": "true", "dstport": "5000", "udpcsum": "true", "udp6zerocsumtx": "true", "udp6zerocsumrx": "true",
	"vxlan local6": "2001:db8::1 remote6=2001:db8::9", "vxlan remote6": "2001:db8::9 local6=2001:db8::1", "geneve remote6": "2001:db8::9 remote=",
	"gbp": "true", "vxlan external": "true id=0", "geneve external": "true id=0 remote= ttl=0", "ttl inherit": "true ttl=0", "df": "2",
	"geneve udp6zerocsumtx": "true remote= remote6=2001:db8::9",
	"erspan iseq":           "true", "erspan oseq": "true", "ip6erspan iseq": "true", "ip6erspan oseq": "true", // no other is allowed
	"erspan okey": "1023", "ip6erspan okey": "1023", "ip6erspan external": "true local= remote= ikey= okey=",
}

func alternative(kind, attr string) []string {
	v, ok := another[kind+" "+attr]
	if !ok {
		if v, ok = another[attr]; !ok {
			panic("no other value of " + kind + " " + attr)
		}
	}
	words := strings.Fields(v)
	out := []string{attr + "=" + words[0]}
	for i, w := range words[1:] {
		if !strings.Contains(w, "=") { // "no encaplimit=false"
			words[i+2] = w + " " + words[i+2]
			continue
		}
		out = append(out, w)
	}
	return out
}

// underlays are the devices that tunnels go over.
func (l *lab) underlays() {
	l.t.Helper()
	l.dummy(l.Handle, "under0", "192.0.2.1/24", "192.0.2.2/24", "2001:db8::1/64", "2001:db8::2/64")
	l.dummy(l.Handle, "under1", "198.51.100.1/24")
}

// TestKinds holds the tables of rows to the kernel: defaults, every attribute written and read back,
// changed in place where the table says so and refused where it says not.
func TestKinds(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(rows.Kinds)) {
		kind := rows.Kinds[name]
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.underlays()
			base := linkRow("x0", name, baseFields[name]...)
			if err := l.do(plan.Create, base); IsDriverMissing(err) && !inGuest {
				t.Skip(err)
			} else {
				check(t, err)
			}
			l.compare(base, l.read(l.scope())[base.Key])
			check(t, l.do(plan.Delete, base))
			for _, a := range kind.Attrs {
				t.Run(strings.ReplaceAll(a.Name, " ", "-"), func(t *testing.T) {
					l := &lab{l.Handle, t, l.ns, l.host}
					defer func() { _ = l.do(plan.Delete, base) }()
					l.tryAttr(base, a)
				})
			}
		})
	}
}

func (l *lab) tryAttr(base rows.Row, a rows.Attr) {
	if a.Name == "vlan_filtering" {
		l.needVLANs()
	}
	other := base
	changes := alternative(base.Fields[rows.FieldKind], a.Name)
	other.Fields = with(base.Fields, changes...)
	l.must(plan.Create, other)
	l.must(plan.Delete, other)

	l.must(plan.Create, base)
	index := l.index("x0")
	fields := make([]string, len(changes))
	for i, c := range changes {
		fields[i], _, _ = strings.Cut(c, "=")
	}
	err := l.do(plan.Update, other, fields...)
	got := l.read(l.scope())[base.Key]
	switch {
	case a.Fixed && err == nil && got.Fields[a.Name] == other.Fields[a.Name]:
		l.t.Errorf("%s is called fixed, and the kernel changes it", a.Name)
	case !a.InPlace(base.Fields[a.Name], other.Fields[a.Name]):
		l.t.Logf("refused in place: %v", err)
	case err != nil:
		l.t.Errorf("change in place: %v", err)
	default:
		l.compare(other, got)
	}
	if l.index("x0") != index {
		l.t.Errorf("an update made another device")
	}
	// And back, which resets.
	if a.InPlace(base.Fields[a.Name], other.Fields[a.Name]) && a.InPlace(other.Fields[a.Name], base.Fields[a.Name]) && err == nil {
		if err := l.do(plan.Update, base, fields...); err != nil {
			l.t.Errorf("change back: %v", err)
		} else {
			l.compare(base, l.read(l.scope())[base.Key])
		}
	}
	l.must(plan.Recreate, other)
	if l.index("x0") == index {
		l.t.Errorf("recreate kept the device")
	}
}

// TestUnknownKind: a driver that the kernel lacks is one clear error.
func TestUnknownKind(t *testing.T) {
	l := newLab(t)
	rows.Kinds["nonesuch"] = rows.Kind{Name: "nonesuch", Module: "ip_nonesuch"}
	defer delete(rows.Kinds, "nonesuch")
	err := l.do(plan.Create, linkRow("x0", "nonesuch"))
	if !IsDriverMissing(err) || !strings.HasSuffix(fmt.Sprint(err), "create link x0: the kernel has no driver for nonesuch links: load it with modprobe ip_nonesuch") {
		t.Errorf("got %v", err)
	}
	if !errors.Is(err, unix.EOPNOTSUPP) {
		t.Errorf("%v hides its cause", err)
	}
}

// TestClasses: where a remote comes, goes or becomes a group, the tables say what the kernel does in place.
func TestClasses(t *testing.T) {
	needGuest(t, "the kernel drivers ip_gre, ip6_gre and geneve")
	for _, c := range []struct{ kind, attr, from, to string }{
		{"gre", "remote", "192.0.2.9", ""}, {"gre", "remote", "", "192.0.2.9"}, {"gre", "remote", "192.0.2.9", "239.1.1.1"},
		{"gretap", "remote", "192.0.2.9", ""}, {"gretap", "remote", "", "192.0.2.9"}, {"gretap", "remote", "192.0.2.9", "239.1.1.1"},
		{"ip6gre", "remote", "2001:db8::9", ""}, {"ip6gre", "remote", "", "2001:db8::9"}, {"ip6gre", "remote", "2001:db8::9", "ff05::1"},
		{"ip6gretap", "remote", "2001:db8::9", ""}, {"ip6gretap", "remote", "", "2001:db8::9"},
		{"gre", "local", "192.0.2.1", ""}, {"gre", "dev", "under0", ""}, {"gre", "dev", "under0", "under1"}, {"gre", "dev", "", "under0"},
		{"ip6gre", "local", "2001:db8::1", ""}, {"ip6gre", "dev", "under0", ""},
		{"vxlan", "dev", "under0", "under1"}, {"vxlan", "dev", "under0", ""}, {"vxlan", "local", "192.0.2.1", "192.0.2.2"},
		{"vxlan", "local6", "2001:db8::1", "2001:db8::2"}, {"vxlan", "remote6", "2001:db8::9", "2001:db8::8"},
		{"geneve", "remote", "192.0.2.9", "192.0.2.8"},
	} {
		t.Run(strings.Join([]string{c.kind, c.attr, c.from, c.to}, " "), func(t *testing.T) {
			l := newLab(t)
			l.underlays()
			a, _ := rows.Kinds[c.kind].Attr(c.attr)
			before := linkRow("x0", c.kind, append(baseFields[c.kind], c.attr+"="+c.from)...)
			after := linkRow("x0", c.kind, append(baseFields[c.kind], c.attr+"="+c.to)...)
			l.must(plan.Create, before)
			err := l.do(plan.Update, after, c.attr)
			done := err == nil && l.read(l.scope())[after.Key].Fields[c.attr] == c.to
			if want := a.InPlace(c.from, c.to); done != want {
				t.Errorf("changed in place: %v (%v), the table says %v", done, err, want)
			}
		})
	}
}
