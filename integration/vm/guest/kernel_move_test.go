package guest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// stream sends a numbered frame each millisecond from one ear to another while during runs, and
// counts what did not arrive.
func stream(t *testing.T, from, to *tap, during func()) (sent, lost int, longest time.Duration) {
	t.Helper()
	stop, ended := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				ended <- n
				return
			case <-tick.C:
				_ = unix.Send(from.fd, frame(0, 0x88b5, fmt.Sprintf("number %08d.", n)), 0)
				n++
			}
		}
	}()
	arrived := map[string]bool{}
	done := make(chan struct{})
	go func() {
		defer close(done) // also when during fails the test
		during()
	}()
	last := time.Now()
	for over := false; !over; {
		select {
		case <-done:
			close(stop)
			sent = <-ended
			over = true
			time.Sleep(300 * time.Millisecond)
		default:
		}
		for f := to.next(0); f != nil; f = to.next(unix.MSG_DONTWAIT) {
			if at := bytes.Index(f, []byte("number ")); at >= 0 {
				now := time.Now()
				longest, last = max(longest, now.Sub(last)), now
				arrived[string(f[at:at+16])] = true
			}
		}
	}
	return sent, sent - len(arrived), longest
}

// TestF7Move: a segment goes from the kernel to Open vSwitch and back, as a plan says; the loss is
// measured beside a run without a move, and nothing is left where it was.
func TestF7Move(t *testing.T) {
	pair := newPair(t)
	ears := [2]*tap{pair[0].cable(), pair[1].cable()}
	mover, still := newOVS(pair[0]).withAgent("host-0"), pair[1].withAgent("host-1")
	document := func(i int, backend string) string {
		return fmt.Sprintf(`
bridges: [{name: br-greave, backend: %s}]
vteps: [{name: v, address: %s}]
segments: [{name: red, key: 100}]
peers: [{name: other, paths: [{remote: %s}], segments: [red]}]
ports: [{name: vm, device: vm, attachments: [{segment: red}]}]
`, backend, under4[i].Addr(), under4[1-i].Addr())
	}
	still.apply("%s", document(1, "kernel"))
	mover.apply("%s", document(0, "kernel"))
	wire := pair[1].listen("eth0")
	arrives(t, ears[1], ears[0], wire, frame(0, 0x88b5, "before"), "before", true)
	sent, lost, longest := stream(t, ears[1], ears[0], func() { time.Sleep(2 * time.Second) })
	t.Logf("undisturbed: %d frames, %d lost, longest pause %v", sent, lost, longest)
	if lost > sent/2 {
		t.Fatalf("%d of %d frames lost at rest", lost, sent)
	}
	for _, to := range []string{"ovs", "kernel"} {
		plan := mover.planOf(parse(t, document(0, to)))
		if !strings.Contains(plan, "create") || !strings.Contains(plan, "delete") || !strings.Contains(plan, "[disruptive]") {
			t.Errorf("the move to %s is planned as\n%s", to, plan)
		}
		sent, lost, longest := stream(t, ears[1], ears[0], func() {
			mover.apply("%s", document(0, to))
			time.Sleep(time.Second)
		})
		t.Logf("to %s: %d frames, %d lost, longest pause %v", to, sent, lost, longest)
		arrives(t, ears[1], ears[0], wire, frame(0, 0x88b5, "in "+to), "in "+to, true)
		arrives(t, ears[0], ears[1], wire, frame(0, 0x88b5, "from "+to), "from "+to, true)
		if o := mover.object(segmentKind, "red").GetStatus(); !strings.EqualFold(strings.TrimPrefix(o.GetBackend().String(), "BACKEND_"), to) {
			t.Errorf("the segment is said to be on %v", o.GetBackend())
		}
		taps := 0
		links, err := mover.LinkList()
		check(t, err)
		for _, l := range links {
			if g, ok := l.(*netlink.Gretap); ok && g.Attrs().Name != "gretap0" && !g.FlowBased {
				taps++
			}
		}
		if want := map[string]int{"ovs": 0, "kernel": 1}[to]; taps != want {
			t.Errorf("%d gretap devices on %s, want %d", taps, to, want)
		}
	}
	mover.apply("allow_empty: true")
}
