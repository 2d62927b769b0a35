package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/greave-sdn/greave/integration/lab"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

const roamer = "02:77:00:00:00:01"

// learnLab is three hosts with a segment that learns: no address is stated. Host
// h1 has the guests asker and near, each of the others one.
type learnLab struct {
	*lab.Lab
	asker, near, two, three *lab.Raw
	docs                    []string
}

func startLearning(t *testing.T) learnLab {
	t.Helper()
	q := learnLab{Lab: lab.ForTest(t, lab.Options{Hosts: 3})}
	start(t, q.Lab)
	var raws []*lab.Raw
	for _, h := range q.Hosts {
		doc := vtepOf(h) + "segments: [{name: red, key: 100, learning: true}]\npeers:\n" + peersOf(q.Hosts, h, ", segments: [red]") +
			fmt.Sprintf("ports:\n- {name: g%d, device: g%d, attachments: [{segment: red}]}\n", h.N, h.N)
		raws = append(raws, raw(t, guest(t, h, fmt.Sprint("g", h.N), "", guestMAC(h.N), 0)))
		if h.N == 1 {
			raws = append(raws, raw(t, guest(t, h, "near", "", guestMAC(9), 0)))
			doc += "- {name: near, device: near, attachments: [{segment: red}]}\n"
		}
		apply(t, h, doc)
		q.docs = append(q.docs, doc)
	}
	q.asker, q.near, q.two, q.three = raws[0], raws[1], raws[2], raws[3]
	crossing(t, q.asker, q.two, guestMAC(1))
	crossing(t, q.asker, q.three, guestMAC(1))
	crossing(t, q.two, q.asker, guestMAC(2))
	crossing(t, q.three, q.asker, guestMAC(3))
	return q
}

// copies sends a frame of the asker to an address, and counts the copies that
// leave h1 towards h2 and h3, and that the guest near hears.
func (q learnLab) copies(t *testing.T, to string, note string) (two, three, near int) {
	t.Helper()
	frame := ethernet(to, guestMAC(1), 0x88b5, append([]byte(note), make([]byte, 60)...))
	count(t, q.near, nil)
	stop := capture(t, q.Hosts[0], "", "proto gre")
	send(t, q.asker, frame)
	time.Sleep(delivery)
	wire := stop()
	toward := func(h *lab.Host) []lab.OuterPacket {
		return pick(wire, func(p lab.OuterPacket) bool { return p.Dst == h.VTEP })
	}
	return inside(toward(q.Hosts[1]), q.Hosts[0].VTEP, frame), inside(toward(q.Hosts[2]), q.Hosts[0].VTEP, frame), count(t, q.near, frame)
}

// goes demands where a frame of the asker goes.
func (q learnLab) goes(t *testing.T, to string, two, three, near int) {
	t.Helper()
	if a, b, c := q.copies(t, to, "goes"); a != two || b != three || c != near {
		t.Errorf("to %s: %d copies to h2, %d to h3, %d to the guest beside; want %d, %d and %d", to, a, b, c, two, three, near)
	}
}

// speaks sends a broadcast from an address.
func speaks(t *testing.T, r *lab.Raw, mac string) {
	t.Helper()
	send(t, r, ethernet(everyone, mac, 0x88b5, make([]byte, 60)))
}

// learnedOf lists the learned flows of br-greave of one host.
func learnedOf(t *testing.T, h *lab.Host) []string {
	t.Helper()
	return dumpLines(ofctl(t, h, "br-greave", "--no-stats", "--no-names", "dump-flows", "table=60"))
}

// TestL3Learning: a frame for an unknown address goes to everyone, once, and to
// its owner alone when that has spoken; the owner may move from host to host and
// to this one. What is learned is nobody's drift, bounded, and gone with the peer.
func TestL3Learning(t *testing.T) {
	t.Parallel()
	q := startLearning(t)
	h1 := q.Hosts[0]
	q.goes(t, roamer, 1, 1, 1)
	for _, step := range []struct {
		name             string
		at               *lab.Raw
		two, three, near int
	}{
		{"h2", q.two, 1, 0, 0}, {"h3", q.three, 0, 1, 0}, {"h2 again", q.two, 1, 0, 0}, {"h1", q.near, 0, 0, 1}, {"h3 from h1", q.three, 0, 1, 0},
	} {
		t.Run("moves to "+step.name, func(t *testing.T) {
			began := time.Now()
			speaks(t, step.at, roamer)
			eventually(t, 10*time.Second, "the address is followed", func() bool {
				ok := false
				for _, line := range learnedOf(t, h1) {
					if strings.Contains(line, roamer) {
						out := load(line)
						ok = ok || out == q.leads(t, h1, step.two, step.three)
					}
				}
				return ok
			})
			t.Logf("followed after %v", time.Since(began).Round(time.Millisecond))
			q.goes(t, roamer, step.two, step.three, step.near)
		})
	}
	t.Run("multicast source", func(t *testing.T) {
		before := len(learnedOf(t, h1))
		speaks(t, q.two, "03:77:00:00:00:02")
		speaks(t, q.near, "03:77:00:00:00:02")
		time.Sleep(delivery)
		if n := len(learnedOf(t, h1)); n != before {
			t.Errorf("%d learned addresses, %d before", n, before)
		}
	})
	t.Run("explained", func(t *testing.T) { q.explained(t, h1) })
	t.Run("bounded", func(t *testing.T) { q.bounded(t, h1) })
	t.Run("forgotten", func(t *testing.T) { q.forgotten(t, h1) })
}

// load is what a learned flow notes.
func load(flow string) string {
	_, actions, _ := strings.Cut(flow, "actions=")
	return actions
}

// leads is what the flow of an address notes that is behind h2, h3 or the port near.
func (q learnLab) leads(t *testing.T, h *lab.Host, two, three int) string {
	t.Helper()
	peer := map[string]string{}
	for _, line := range dumpLines(ofctl(t, h, "br-greave", "--no-stats", "--no-names", "dump-flows", "table=20")) {
		if _, after, ok := strings.Cut(line, "set_field:"); ok {
			_, src, _ := strings.Cut(line, "tun_src=")
			src, _, _ = strings.Cut(src, ",")
			peer[src], _, _ = strings.Cut(after, "->")
		}
	}
	switch {
	case two == 1:
		return "set_field:" + peer[q.Hosts[1].VTEP.String()] + "->reg3"
	case three == 1:
		return "set_field:" + peer[q.Hosts[2].VTEP.String()] + "->reg3"
	}
	port := strings.TrimSpace(vsctl(t, h, "get Interface near ofport"))
	var n int
	if _, err := fmt.Sscan(port, &n); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("set_field:0x%x/0xffff->reg5", n)
}

// explained: learned flows are greave's, no drift, and of the peer behind which
// they are.
func (q learnLab) explained(t *testing.T, h *lab.Host) {
	r, err := dial(t, h).List(t.Context(), &greavev1.ListRequest{Kind: greavev1.ObjectKind_OBJECT_KIND_UNSPECIFIED})
	check(t, err)
	for _, o := range r.Objects {
		if b := o.GetBridge(); b != nil && o.Status.Name == "br-greave" && b.ForeignFlows != 0 {
			t.Errorf("%d flows count as foreign", b.ForeignFlows)
		}
		if s := o.GetSegment(); s != nil && s.FdbLearned != uint64(len(learnedOf(t, h))) {
			t.Errorf("%d learned addresses by the daemon's word, the switch has %d", s.FdbLearned, len(learnedOf(t, h)))
		}
	}
	if plan, _, err := h.GreaveInput(t.Context(), q.docs[0], "plan", "-f", "-"); err != nil || !strings.Contains(plan, "othing") {
		t.Errorf("plan: %v: %s", err, plan)
	}
	for _, line := range learnedOf(t, h) {
		if !strings.Contains(line, roamer) {
			continue
		}
		e, err := dial(t, h).Explain(t.Context(), &greavev1.ExplainRequest{Subject: &greavev1.ExplainRequest_Flow{Flow: line}})
		check(t, err)
		if e.Foreign || e.Kind != greavev1.ObjectKind_OBJECT_KIND_PEER || e.Name != "h3" || !strings.Contains(e.Text, "learned") {
			t.Errorf("%s is explained as %v", line, e)
		}
	}
}

// bounded gives the switch all but three of the addresses that it may learn behind
// a peer, and lets that claim twenty more.
func (q learnLab) bounded(t *testing.T, h *lab.Host) {
	const most = 8192
	speaks(t, q.two, guestMAC(2))
	var head string
	of := func() (mine int) {
		for _, line := range learnedOf(t, h) {
			if strings.Contains(line, guestMAC(2)) {
				head, _, _ = strings.Cut(line, "dl_dst=")
			}
		}
		for _, line := range learnedOf(t, h) {
			if before, _, _ := strings.Cut(line, "dl_dst="); head != "" && before == head {
				mine++
			}
		}
		return mine
	}
	eventually(t, settle, "h2 is learned from", func() bool { return of() > 0 })
	var b strings.Builder
	for i := range most - 3 - of() {
		fmt.Fprintf(&b, "%sdl_dst=02:88:00:00:%02x:%02x actions=set_field:0x1->reg3\n", head, i>>8, i&255)
	}
	path, err := h.WriteFile("learned", b.String())
	check(t, err)
	ofctl(t, h, "br-greave", "add-flows", path)
	for i := range 20 {
		speaks(t, q.two, fmt.Sprintf("02:88:ff:00:00:%02x", i))
		time.Sleep(10 * time.Millisecond)
	}
	eventually(t, settle, "all are learned that fit", func() bool { return of() >= most })
	if n := of(); n != most {
		t.Errorf("%d addresses behind one peer, want %d", n, most)
	}
	began := time.Now()
	if _, err := h.Ofctl(t.Context(), "br-greave", "dump-flows"); err != nil {
		t.Fatal(err)
	}
	t.Logf("a dump takes %v", time.Since(began).Round(time.Millisecond))
	began = time.Now()
	q.explained(t, h)
	t.Logf("a plan and a list with %d learned addresses take %v", most, time.Since(began).Round(time.Millisecond))
	speaks(t, q.three, "02:99:00:00:00:01") // another peer has its own bound
	eventually(t, settle, "another peer is learned from", func() bool { return strings.Contains(strings.Join(learnedOf(t, h), "\n"), "02:99:00:00:00:01") })
}

// forgotten takes away a peer that sends all the while, and a segment's learning.
func (q learnLab) forgotten(t *testing.T, h *lab.Host) {
	done, stopped := make(chan bool), make(chan bool)
	go func() {
		defer close(stopped)
		frame := ethernet(guestMAC(1), guestMAC(2), 0x88b5, make([]byte, 60))
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
				_ = q.two.Send(frame)
			}
		}
	}()
	defer func() { close(done); <-stopped }()
	time.Sleep(delivery)
	without := strings.Replace(q.docs[0], "- {name: h2, paths: [{remote: "+q.Hosts[1].VTEP.String()+"}], segments: [red]}\n", "", 1)
	apply(t, h, without)
	eventually(t, 40*time.Second, "nothing is learned behind a peer that is gone", func() bool {
		for _, line := range learnedOf(t, h) {
			if strings.Contains(line, "dl_dst=02:88:") || strings.Contains(line, guestMAC(2)) {
				return false
			}
		}
		return true
	})
	time.Sleep(2 * time.Second)
	for _, line := range learnedOf(t, h) {
		if strings.Contains(line, guestMAC(2)) || strings.Contains(line, "dl_dst=02:88:") {
			t.Errorf("came back: %s", line)
			break
		}
	}
	if len(learnedOf(t, h)) == 0 {
		t.Error("what is behind others was forgotten too")
	}
	q.goes(t, guestMAC(2), 0, 1, 1)
	apply(t, h, strings.Replace(without, ", learning: true", "", 1))
	if left := learnedOf(t, h); len(left) != 0 {
		t.Errorf("the segment learns no more, and knows %d addresses", len(left))
	}
	q.goes(t, guestMAC(3), 0, 1, 1)
	if greaved := h.GreavedLog(); strings.Contains(greaved, "drift repaired") {
		t.Errorf("learning is taken for drift:\n%s", greaved)
	}
}
