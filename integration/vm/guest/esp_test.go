package guest

import (
	"fmt"
	"net"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/greave-sdn/greave/model/mtu"
)

// suites are the kernel's names and key lengths, in bytes with the salt; a suite with an own
// authenticator has cipher and authenticator apart.
var suites = map[mtu.Suite]struct {
	aead, crypt, auth string
	aeadKey, cryptKey int
	authKey, icv      int // icv in bits
}{
	mtu.AESGCM:           {aead: "rfc4106(gcm(aes))", aeadKey: 20, icv: 128},
	mtu.AESGCM8:          {aead: "rfc4106(gcm(aes))", aeadKey: 20, icv: 64},
	mtu.AESGCM12:         {aead: "rfc4106(gcm(aes))", aeadKey: 20, icv: 96},
	mtu.AESGMAC:          {aead: "rfc4543(gcm(aes))", aeadKey: 20, icv: 128},
	mtu.ChaCha20Poly1305: {aead: "rfc7539esp(chacha20,poly1305)", aeadKey: 36, icv: 128},
	mtu.AESCBCSHA1:       {crypt: "cbc(aes)", cryptKey: 16, auth: "hmac(sha1)", authKey: 20, icv: 96},
	mtu.AESCBCSHA256:     {crypt: "cbc(aes)", cryptKey: 16, auth: "hmac(sha256)", authKey: 32, icv: 128},
	mtu.AESCBCSHA384:     {crypt: "cbc(aes)", cryptKey: 16, auth: "hmac(sha384)", authKey: 48, icv: 192},
	mtu.AESCBCSHA512:     {crypt: "cbc(aes)", cryptKey: 16, auth: "hmac(sha512)", authKey: 64, icv: 256},
	mtu.NullSHA256:       {crypt: "ecb(cipher_null)", auth: "hmac(sha256)", authKey: 32, icv: 128},
}

const natt = 4500 // port of ESP in UDP, RFC 3948

// TestMTUWithESP holds package mtu to the kernel where a keyed GRE tunnel runs in ESP: what leaves
// for packets of 16 sizes in a row, the largest that crosses whole, and that one byte more does not.
func TestMTUWithESP(t *testing.T) {
	var specs []mtu.Spec
	for suite := mtu.AESGCM; suite <= mtu.NullSHA256; suite++ {
		specs = append(specs, mtu.Spec{ESP: mtu.ESP{Suite: suite}})
	}
	for _, suite := range []mtu.Suite{mtu.AESGCM, mtu.AESCBCSHA256} {
		specs = append(specs, mtu.Spec{ESP: mtu.ESP{Suite: suite, Tunnel: true, Outer: mtu.IPv4}},
			mtu.Spec{ESP: mtu.ESP{Suite: suite, NATT: true}},
			mtu.Spec{ESP: mtu.ESP{Suite: suite, Tunnel: true, Outer: mtu.IPv4, NATT: true}})
	}
	for _, s := range specs {
		s.Encap, s.Outer, s.Key = mtu.GRE, mtu.IPv4, true
		t.Run(fmt.Sprintf("%v,tunnel=%v,natt=%v", s.ESP.Suite, s.ESP.Tunnel, s.ESP.NATT), func(t *testing.T) {
			most, err := s.InnerMTU(underlay)
			check(t, err)
			pair := newPair(t)
			for i, h := range pair {
				tunnel(h, i, s)
				check(t, h.LinkSetMTU(h.up("tun", inner4[i]), most+1))
				protect(h, i, s.ESP)
			}
			ears := pair[1].listen("eth0")
			l := newLine(t, pair, inner4[0].Addr(), inner4[1].Addr())
			for size := most - 15; size <= most; size++ {
				ears.drain()
				if err := l.send("", size); err != nil {
					t.Errorf("send %d bytes: %v", size, err)
					continue
				}
				if n := len(l.receive(patience)); n != size-l.header {
					t.Errorf("%d bytes of %d arrived", n+l.header, size)
				}
				want := []outer{{length: size + s.Overhead(size)}}
				if got := sealed(t, ears.drain()); !slices.Equal(got, want) {
					t.Errorf("%d bytes become %+v, want %+v: %v", size, got, want, s.Breakdown(size))
				}
			}
			oneMore(t, l, ears, most+1)
		})
	}
}

// oneMore sends a packet that no single packet of the underlay can carry, and a small one behind it.
func oneMore(t *testing.T, l line, ears *tap, size int) {
	t.Helper()
	const small = 100
	refused := l.send("", size)
	if err := l.send("", small); err != nil {
		check(t, l.send("", small)) // the first write hands over the ICMP error that the large packet met
	}
	arrived := len(l.receive(patience)) == size-l.header
	for _, o := range sealed(t, ears.drain()) {
		if arrived && o.length > size && !o.fragment {
			t.Errorf("a packet of %d bytes crosses in one of %d", size, o.length)
		}
	}
	t.Logf("%d bytes: send says %v, arrived %v", size, refused, arrived)
}

// sealed returns what is ESP, bare or in UDP. In tunnel mode the kernel shows the tap what was inside
// as well.
func sealed(t *testing.T, frames [][]byte) (out []outer) {
	t.Helper()
	for _, f := range frames {
		if be.Uint16(f[12:]) != unix.ETH_P_IP {
			continue
		}
		if proto := f[14+9]; proto == unix.IPPROTO_ESP || proto == unix.IPPROTO_UDP {
			out = append(out, parseOuter(t, f))
		}
	}
	return out
}

func single(ip net.IP) *net.IPNet { return &net.IPNet{IP: ip, Mask: net.CIDRMask(32, 32)} }

// protect sets states and policies, so that all GRE between the two hosts is sealed.
func protect(h host, i int, e mtu.ESP) {
	h.t.Helper()
	self, peer := net.IP(under4[i].Addr().AsSlice()), net.IP(under4[1-i].Addr().AsSlice())
	mode := netlink.XFRM_MODE_TRANSPORT
	if e.Tunnel {
		mode = netlink.XFRM_MODE_TUNNEL
	}
	rule := suites[e.Suite]
	for _, way := range []struct {
		src, dst net.IP
		spi      int
		dir      netlink.Dir
	}{{self, peer, 0x100 + i, netlink.XFRM_DIR_OUT}, {peer, self, 0x101 - i, netlink.XFRM_DIR_IN}} {
		state := &netlink.XfrmState{Src: way.src, Dst: way.dst, Spi: way.spi, Proto: netlink.XFRM_PROTO_ESP, Mode: mode, Reqid: 7, ReplayWindow: 32}
		if rule.aead != "" {
			state.Aead = &netlink.XfrmStateAlgo{Name: rule.aead, Key: make([]byte, rule.aeadKey), ICVLen: rule.icv}
		} else {
			state.Crypt = &netlink.XfrmStateAlgo{Name: rule.crypt, Key: make([]byte, rule.cryptKey)}
			state.Auth = &netlink.XfrmStateAlgo{Name: rule.auth, Key: make([]byte, rule.authKey), TruncateLen: rule.icv}
		}
		if e.NATT {
			state.Encap = &netlink.XfrmStateEncap{Type: netlink.XFRM_ENCAP_ESPINUDP, SrcPort: natt, DstPort: natt, OriginalAddress: net.IPv4zero}
		}
		check(h.t, h.XfrmStateAdd(state))
		// Tunnel mode drops what comes in without a policy, and counts it in XfrmInNoPols.
		check(h.t, h.XfrmPolicyAdd(&netlink.XfrmPolicy{Src: single(way.src), Dst: single(way.dst), Proto: unix.IPPROTO_GRE, Dir: way.dir,
			Tmpls: []netlink.XfrmPolicyTmpl{{Src: way.src, Dst: way.dst, Proto: netlink.XFRM_PROTO_ESP, Mode: mode, Reqid: 7}}}))
	}
	if e.NATT {
		h.in(func() { listenNATT(h.t) })
	}
}

// listenNATT opens the socket that hands ESP in UDP to the kernel.
func listenNATT(t *testing.T) {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{Port: natt})
	check(t, err)
	t.Cleanup(func() { c.Close() })
	raw, err := c.SyscallConn()
	check(t, err)
	const udpEncapESPinUDP = 2 // include/uapi/linux/udp.h
	check(t, raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_ENCAP, udpEncapESPinUDP)
	}))
	check(t, err)
}
