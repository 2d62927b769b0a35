package kernel

import (
	"slices"
	"testing"

	"github.com/greave-sdn/greave/agent/kernel/rows"
)

// TestCodec: what is written as a kind's attributes reads the same, every attribute with its default
// and with another value.
func TestCodec(t *testing.T) {
	devices := map[string]int{"under0": 3, "under1": 4}
	device := func(name string) (int, error) { return devices[name], nil }
	name := func(index int) string {
		for n, i := range devices {
			if i == index {
				return n
			}
		}
		return "?"
	}
	for _, kind := range rows.Kinds {
		for _, a := range append([]rows.Attr{{}}, kind.Attrs...) {
			fields := with(kind.Defaults(), baseFields[kind.Name]...)
			if a.Name != "" {
				fields = with(fields, alternative(kind.Name, a.Name)...)
			}
			var m message
			if err := encodeKind(&m, kind, fields, true, func(string) bool { return true }, device); err != nil {
				t.Fatalf("%s: %v", kind.Name, err)
			}
			got := decodeKind(kind, byID(m), name)
			for _, f := range kind.Attrs {
				if f.ID == 0 && f.Form == rows.Device {
					continue // IFLA_LINK
				}
				if got[f.Name] != fields[f.Name] {
					t.Errorf("%s with other %q: %s is %q, want %q", kind.Name, a.Name, f.Name, got[f.Name], fields[f.Name])
				}
			}
		}
	}
}

func TestCodecRefuses(t *testing.T) {
	for _, c := range []struct{ kind, field, value string }{
		{"gre", "ttl", "256"}, {"gre", "local", "2001:db8::1"}, {"ip6gre", "local", "192.0.2.1"}, {"gre", "ikey", "x"},
		{"vxlan", "id", "-1"}, {"vxlan", "dstport", "70000"}, {"gre", "remote", "there"},
	} {
		kind := rows.Kinds[c.kind]
		var m message
		fields := with(kind.Defaults(), c.field+"="+c.value)
		if err := encodeKind(&m, kind, fields, true, func(string) bool { return true }, nil); err == nil {
			t.Errorf("%s %s=%s is written", c.kind, c.field, c.value)
		}
	}
}

func TestVLANs(t *testing.T) {
	for text, others := range map[string][]span{
		"":                       {{1, 4094}},
		"pvid 10 untagged 10":    {{1, 9}, {11, 4094}},
		"tagged 1-4094":          nil,
		"pvid 5 tagged 2-9":      {{1, 1}, {10, 4094}},
		"untagged 1,3 tagged 2":  {{4, 4094}},
		"tagged 2-3,5,4000-4094": {{1, 1}, {4, 4}, {6, 3999}},
	} {
		v, err := parseVLANs(text)
		if err != nil || v.String() != text {
			t.Errorf("%q reads as %q, %v", text, v, err)
		}
		var m message
		v.put(&m)
		if got := decodeVLANs(m).String(); got != text {
			t.Errorf("%q is written as %q", text, got)
		}
		m = nil
		v.putOthers(&m)
		if got := decodeVLANs(m).tagged; !slices.Equal(got, others) {
			t.Errorf("%q: others are %v, want %v", text, got, others)
		}
	}
	for _, bad := range []string{"pvid", "tagged 0", "tagged 5-2", "tagged 4095", "other 1", "tagged x"} {
		if v, err := parseVLANs(bad); err == nil {
			t.Errorf("%q reads as %q", bad, v)
		}
	}
}

func TestEncap(t *testing.T) {
	for _, text := range []string{
		"ip id 100 dst 192.0.2.2 ttl 64 key",
		"ip id 4294967295 src 192.0.2.1 dst 192.0.2.2 ttl 0 tos 16 key csum seq",
		"ip6 id 1 dst 2001:db8::2 ttl 64 key",
		"ip id 0 dst 192.0.2.2 ttl 1",
	} {
		e, err := parseEncap(text)
		if err != nil || e.String() != text {
			t.Errorf("%q reads as %q, %v", text, e, err)
		}
		var m message
		e.put(&m)
		if got := decodeEncap(uint64(e.typ), m); got != text {
			t.Errorf("%q comes back as %q", text, got)
		}
	}
	for _, bad := range []string{"", "mpls 1", "ip id", "ip id x", "ip dst there", "ip ttl 300", "ip colour red"} {
		if e, err := parseEncap(bad); err == nil {
			t.Errorf("%q reads as %q", bad, e)
		}
	}
	if got := decodeEncap(1, nil); got != "type 1" {
		t.Errorf("a foreign type is %q", got)
	}
}

// FuzzAttributes: a message of any bytes is read without a panic.
func FuzzAttributes(f *testing.F) {
	f.Add([]byte{8, 0, 1, 0, 1, 2, 3, 4})
	f.Add([]byte{5, 0, 1, 128, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		byID(b)
		parseLink(b)
		decodeVLANs(b)
		decodeEncap(2, b)
		r := reader{links: map[string]map[int]*link{}}
		r.route(&space{}, b)
		for typ := range uint16(60) {
			matters(nil, "", typ, b)
		}
		for _, k := range rows.Kinds {
			decodeKind(k, byID(b), func(int) string { return "" })
		}
	})
}
