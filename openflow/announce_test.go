package openflow_test

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
)

// TestAnnouncements holds the frames to the bytes of RFC 903, RFC 5227, RFC 4861 and
// IEEE 802.1Q.
func TestAnnouncements(t *testing.T) {
	pad := func(b []byte) []byte { return append(b, make([]byte, max(0, 60-len(b)))...) }
	mac, all := "\x02\x00\x00\x00\x00\xaa", "\xff\xff\xff\xff\xff\xff"
	rarp := all + mac + "\x80\x35" + "\x00\x01\x08\x00\x06\x04\x00\x03" + mac + "\x00\x00\x00\x00" + mac + "\x00\x00\x00\x00"
	garp := all + mac + "\x08\x06" + "\x00\x01\x08\x00\x06\x04\x00\x01" + mac + "\x0a\x00\x00\xaa" + "\x00\x00\x00\x00\x00\x00" + "\x0a\x00\x00\xaa"
	fd := "\xfd" + string(make([]byte, 14)) + "\xaa"
	nodes := "\xff\x02" + string(make([]byte, 13)) + "\x01"
	// The sum was taken by hand: 0xfd00+0xaa twice, 0xff02+1, 32, 58, 0x8800, 0x2000, 0x0201, 0x0200, 0xaa.
	na := "\x33\x33\x00\x00\x00\x01" + mac + "\x86\xdd" + "\x60\x00\x00\x00\x00\x20\x3a\xff" + fd + nodes +
		"\x88\x00SUM\x20\x00\x00\x00" + fd + "\x02\x01" + mac
	ips := []netip.Addr{netip.MustParseAddr("10.0.0.170"), netip.MustParseAddr("fd00::aa")}
	p := model.ResolvedPort{Port: model.Port{MACs: []model.MAC{{2, 0, 0, 0, 0, 0xaa}}, IPs: ips, Attachments: []model.Attachment{{Segment: "red"}}}}
	got := openflow.Announcements(p)
	if len(got) != 3 || !bytes.Equal(got[0], pad([]byte(rarp))) || !bytes.Equal(got[1], pad([]byte(garp))) {
		t.Fatalf("announcements %x", got)
	}
	var sum uint32
	for _, v := range []uint32{0xfd00, 0xaa, 0xfd00, 0xaa, 0xff02, 1, 32, 58, 0x8800, 0x2000, 0x0201, 0x0200, 0, 0xaa} {
		sum += v
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	sum = ^sum & 0xffff
	want := bytes.Replace([]byte(na), []byte("SUM"), []byte{byte(sum >> 8), byte(sum)}, 1)
	if !bytes.Equal(got[2], want) {
		t.Errorf("advertisement\n%x, want\n%x", got[2], want)
	}

	p.Attachments, p.MACs = []model.Attachment{{Segment: "red", VLAN: 7}}, append(p.MACs, model.MAC{2, 0, 0, 0, 0, 0xbb})
	if got = openflow.Announcements(p); len(got) != 2 || !bytes.Equal(got[0][12:18], []byte("\x81\x00\x00\x07\x80\x35")) {
		t.Errorf("of two MACs in VLAN 7: %x, want a RARP each", got)
	}
}
