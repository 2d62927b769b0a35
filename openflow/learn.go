package openflow

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/greave-sdn/greave/model"
)

// KindLearned is the kind in the cookie of learned flows: they are in neither
// desired nor diff. Its object is the peer or port behind which they were learned.
const KindLearned uint8 = 0xff

// What a switch keeps of learned addresses, as much as OVS does where it switches
// by NORMAL (mac-table-size and mac-aging-time, ovs-vswitchd.conf.db(5)).
const (
	// LearnMax is the most addresses that are learned behind one peer or port.
	LearnMax = 8192
	// LearnIdle is for how many seconds an address is remembered that neither
	// sends nor is sent to.
	LearnIdle = 300
)

// Learn adds a flow to TableL2Learned: packets of the segment to the address that
// sent this one are led where Load says.
type Learn struct {
	Cookie Cookie // of the kind KindLearned
	Load   Move   // LoadPeer or LoadPort
}

func (Learn) action() {}

// What a learned flow notes.
var (
	LoadPeer = Move{PartFrom, PartPeer}
	LoadPort = Move{PartInPort, PartOutPort}
)

// learnText is how OVS prints what all have in common.
var learnText = fmt.Sprintf("learn(table=%d,idle_timeout=%d,priority=%d,cookie=", TableL2Learned, LearnIdle, prioRule)

var learnSpec = fmt.Sprintf(",limit=%d,NXM_NX_REG1[],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:", LearnMax)

func (l Learn) check() error {
	if l.Cookie.Kind() != KindLearned {
		return errors.New("learn: the cookie is not that of learned flows")
	}
	if l.Load != LoadPeer && l.Load != LoadPort {
		return errors.New("learn: what is noted is neither a peer nor a port")
	}
	return nil
}

func appendLearn(dst []byte, l Learn) []byte {
	dst = appendHex(append(dst, learnText...), uint64(l.Cookie))
	dst = append(append(dst, learnSpec...), l.Load.From.String()...)
	return append(append(append(dst, "->"...), l.Load.To.String()...), ')')
}

// parseLearn reads what appendLearn writes; nil for others.
func parseLearn(s string) Action {
	rest, ok := strings.CutPrefix(s, learnText)
	cookie, load, spec := strings.Cut(rest, learnSpec)
	v, number := number(cookie, 64)
	move, known := parseMove(strings.TrimSuffix(load, ")")).(Move)
	l := Learn{Cookie(v), move}
	if !ok || !spec || !number || !known || !strings.HasSuffix(load, ")") || l.check() != nil {
		return nil
	}
	return l
}

// LearnedCookie is the cookie of what is learned behind an object.
func LearnedCookie(c Cookie) Cookie { return MakeCookie(c.Owner(), KindLearned, c.Object()) }

// Behind says where learned addresses are: their cookie, and the number of their
// segment.
type Behind struct {
	Cookie  Cookie
	Segment uint32
}

// Learned counts learned addresses by where they are.
type Learned map[Behind]int

// Take counts a line of dump-flows that is a flow which greave's own flows
// learned, and tells whether it is. It reads no more of it than that takes: there
// may be many.
func (l Learned) Take(line string, owner model.Owner) bool {
	rest, ok := strings.CutPrefix(strings.TrimLeft(line, " "), "cookie=")
	text, rest, more := strings.Cut(rest, ",")
	v, isNumber := number(text, 64)
	c := Cookie(v)
	if !ok || !more || !isNumber || c.Kind() != KindLearned || !ours(c, owner) || !strings.Contains(rest, learnedTable) {
		return false
	}
	_, reg, ok := strings.Cut(rest, ",reg1=")
	end := strings.IndexAny(reg, ", ")
	if !ok || end < 0 {
		return false
	}
	segment, ok := number(reg[:end], 32)
	if ok {
		l[Behind{c, uint32(segment)}]++
	}
	return ok
}

var learnedTable = "table=" + strconv.Itoa(int(TableL2Learned)) + ","

// Forget names learned flows to delete: those of one cookie, or of one segment.
type Forget struct {
	Cookie  Cookie // 0: of all peers and ports of the owner's tag
	Tag     uint16
	Segment uint32 // 0: of all segments
}

// AppendForget appends the match of a delete.
func AppendForget(dst []byte, f Forget) []byte {
	c, mask := f.Cookie, ^Cookie(0)
	if c == 0 {
		c, mask = MakeCookie(f.Tag, KindLearned, 0), MakeCookie(0xffff, 0xff, 0)
	}
	dst = appendHex(append(dst, "cookie="...), uint64(c))
	dst = appendHex(append(dst, '/'), uint64(mask))
	dst = strconv.AppendUint(append(dst, ",table="...), uint64(TableL2Learned), 10)
	if f.Segment != 0 {
		dst = appendHex(append(dst, ",reg1="...), uint64(f.Segment))
	}
	return dst
}

// Has tells whether a learned flow is among those to delete.
func (f Forget) Has(b Behind) bool {
	return (f.Cookie == 0 || f.Cookie == b.Cookie) && (f.Segment == 0 || f.Segment == b.Segment)
}

// forget lists what is to be deleted of the learned flows: those of flows that
// learn no more, and those that no flow of the program would learn. A switch may
// put back what was deleted, when it counts the packets of a connection for the
// last time; so what it shows counts as well as what changes.
func forget(want *Program, have Image, gone []Seen, owner model.Owner) []Forget {
	cookies, segments := map[Cookie]bool{}, map[uint32]bool{}
	for _, f := range want.Flows {
		if l, ok := learns(f); ok {
			cookies[l] = true
		}
		if s := looksUp(f.Key); s != 0 {
			segments[s] = true
		}
	}
	set := map[Forget]bool{}
	for _, f := range gone {
		if f.Table == TableLearn && f.Priority == prioRule {
			set[Forget{Cookie: LearnedCookie(f.Cookie)}] = true
		}
		if s := looksUp(f.Key); f.Parsed && s != 0 && !segments[s] {
			set[Forget{Tag: owner.Tag, Segment: s}] = true
		}
	}
	for b := range have.Learned {
		if !cookies[b.Cookie] {
			set[Forget{Cookie: b.Cookie}] = true
		} else if !segments[b.Segment] {
			set[Forget{Tag: owner.Tag, Segment: b.Segment}] = true
		}
	}
	return sortedForgets(set)
}

// learns is the cookie under which a flow learns.
func learns(f Flow) (Cookie, bool) {
	for _, a := range f.Actions {
		if l, ok := a.(Learn); ok {
			return l.Cookie, true
		}
	}
	return 0, false
}

// looksUp is the segment for which a flow of TableL2 asks the learned ones, 0 for
// another flow.
func looksUp(k Key) uint32 {
	if k.Table != TableL2 || k.Priority != prioLearned {
		return 0
	}
	return k.Match.Regs[RegSegment].Value
}
