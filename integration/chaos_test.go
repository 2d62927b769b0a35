package integration

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/greave-sdn/greave/integration/lab"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

var (
	chaosFor  = flag.Duration("chaos-for", 10*time.Second, "how long TestChaos breaks things")
	chaosSeed = flag.Uint64("chaos-seed", 0, "what TestChaos breaks, and when; 0 is a new one")
)

// fault is something that happens to a host. What needs an object that is not there fails, and that
// is fine.
type fault struct {
	name string
	do   func(ctx context.Context, s site, dice *rand.Rand) error
}

var faults = []fault{
	{"kill -9 greaved", func(ctx context.Context, s site, _ *rand.Rand) error {
		s.KillGreaved()
		return s.StartGreaved(ctx)
	}},
	{"kill -9 ovsdb-server", func(ctx context.Context, s site, dice *rand.Rand) error {
		s.StopDB()
		pause(dice, time.Second)
		return s.StartDB(ctx)
	}},
	{"kill -9 ovs-vswitchd", func(ctx context.Context, s site, dice *rand.Rand) error {
		s.StopSwitch()
		pause(dice, time.Second)
		return s.StartSwitch(ctx)
	}},
	{"kill -9 all three", func(ctx context.Context, s site, dice *rand.Rand) error {
		s.StopDB()
		s.KillGreaved()
		s.StopSwitch()
		pause(dice, time.Second)
		if err := s.StartDB(ctx); err != nil {
			return err
		}
		if err := s.StartGreaved(ctx); err != nil {
			return err
		}
		return s.StartSwitch(ctx)
	}},
	{"stop greaved for a while", func(_ context.Context, s site, dice *rand.Rand) error {
		return frozen(s.GreavedPid(), dice)
	}},
	{"stop ovs-vswitchd for a while", func(_ context.Context, s site, dice *rand.Rand) error {
		var pid int
		if _, err := fmt.Sscan(s.switchPid(), &pid); err != nil {
			return err
		}
		return frozen(pid, dice)
	}},
	{"ovs-vsctl del-port", byHand("del-port", "gre-7")},
	{"ovs-vsctl del-br", byHand("del-br", "br-lan")},
	{"ovs-vsctl set Interface options:key", byHand("set", "Interface", "gre-8", "options:key=99")},
	{"ovs-vsctl set-fail-mode", byHand("set-fail-mode", "br-greave", "standalone")},
	{"ovs-ofctl del-flows", func(ctx context.Context, s site, _ *rand.Rand) error {
		_, err := s.Ofctl(ctx, "br-greave", "del-flows")
		return err
	}},
	{"ovs-ofctl del-groups", func(ctx context.Context, s site, _ *rand.Rand) error {
		_, err := s.Ofctl(ctx, "br-greave", "del-groups")
		return err
	}},
}

func byHand(args ...string) func(context.Context, site, *rand.Rand) error {
	return func(ctx context.Context, s site, _ *rand.Rand) error {
		_, err := s.Vsctl(ctx, append([]string{"--no-wait"}, args...)...)
		return err
	}
}

func pause(dice *rand.Rand, most time.Duration) { time.Sleep(time.Duration(dice.Int64N(int64(most)))) }

// frozen stops a process of the lab for up to a second.
func frozen(pid int, dice *rand.Rand) error {
	if pid <= 0 {
		return os.ErrProcessDone
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	pause(dice, time.Second)
	return syscall.Kill(pid, syscall.SIGCONT)
}

// chaosDocument is one of the documents between which the intent changes. The guest on segment red is
// in all of them.
func chaosDocument(sites []site, dice *rand.Rand) string {
	doc := half(sites, 1, "")
	if dice.IntN(2) == 0 {
		doc = strings.NewReplacer(", {name: blue, key: 200}", "", "red, blue", "red").Replace(doc)
	}
	var tunnels []string
	for i, t := range []string{
		"{name: gre-7, bridge: br-lan, remote: {address: 192.0.2.207}, key: {fixed: {in: 7, out: 7}}}",
		"{name: gre-8, bridge: br-lan, remote: {address: 192.0.2.208}, key: {fixed: {in: 8, out: %d}}}",
		"{name: vx-9, bridge: br-lan, encap: vxlan, remote: {address: 192.0.2.209}, key: {fixed: {in: 9, out: 9}}}",
	} {
		if dice.IntN(2) == 0 {
			continue
		}
		if i == 1 {
			t = fmt.Sprintf(t, 8+dice.IntN(3))
		}
		tunnels = append(tunnels, t)
	}
	return doc[:strings.Index(doc, "tunnels:")] + "tunnels: [" + strings.Join(tunnels, ", ") + "]\n"
}

// TestChaos breaks things at random while the document changes. In the end, and now and then, the
// host must be what the document says: the same rows and as many flows as a host made from nothing,
// with traffic, and nothing foreign changed.
func TestChaos(t *testing.T) {
	sites, guests := pair(t)
	sites[0].apply(half(sites, 0, ""))
	s := sites[1]
	seed := *chaosSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("make chaos CHAOS_SEED=%d repeats the choices", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	counts, steps := map[string]int{}, 0
	doc := ""
	for end := time.Now().Add(*chaosFor); steps == 0 || time.Now().Before(end); steps++ {
		doc = chaosDocument(sites, dice)
		acknowledged := make(chan error, 1)
		go func() {
			_, err := s.Apply(t.Context(), &greavev1.ApplyRequest{State: parse(t, doc), Mode: greavev1.ApplyMode_APPLY_MODE_REPLACE})
			acknowledged <- err
		}()
		pause(dice, 200*time.Millisecond)
		f := faults[dice.IntN(len(faults))]
		counts[f.name]++
		if err := f.do(t.Context(), s, dice); err != nil {
			t.Logf("%s: %v", f.name, err)
		}
		if err := <-acknowledged; err != nil { // greaved died under it: stated again
			eventually(t, settle, "greaved takes the document", func() bool {
				_, err := s.Apply(t.Context(), &greavev1.ApplyRequest{State: parse(t, doc), Mode: greavev1.ApplyMode_APPLY_MODE_REPLACE})
				return err == nil
			})
		}
		if steps%10 == 9 {
			s.waitPlan()
			pingsOnce(t, guests)
			t.Logf("%d faults, the host is what document %d says", steps+1, steps+1)
		}
	}
	for _, f := range faults {
		t.Logf("%3d × %s", counts[f.name], f.name)
	}
	s.judge(guests, doc)
}

// judge holds the host to one that is made from nothing.
func (s site) judge(guests []*lab.Guest, doc string) {
	s.t.Helper()
	s.waitPlan()
	pingsOnce(s.t, guests)
	rows, flows := s.rowsNow(), s.installed("br-greave")
	_, err := s.Purge(s.t.Context(), &greavev1.PurgeRequest{Confirm: true})
	s.must(err)
	s.waitPlan()
	if left := s.rowsNow(); strings.Contains(left, "greave-owner") {
		s.t.Errorf("orphans with greave's mark:\n%s", left)
	}
	s.apply(doc)
	if d := lineDiff(s.rowsNow(), rows); d != "" {
		s.t.Errorf("against a host made from nothing:\n%s", d)
	}
	if n := s.installed("br-greave"); n != flows {
		s.t.Errorf("%d flows, and %d on a host made from nothing", flows, n)
	}
	pingsOnce(s.t, guests)
}

// rowsNow are the rows of the database as far as they do not differ from one making to the next.
func (s site) rowsNow() string {
	rows, _, _ := strings.Cut(s.canonical(), "\n\n")
	lines := strings.Split(rows, "\n")
	return strings.Join(slices.DeleteFunc(lines, func(l string) bool {
		return !strings.HasPrefix(l, "Bridge ") && !strings.HasPrefix(l, "Port ") && !strings.HasPrefix(l, "Interface ")
	}), "\n")
}

func pingsOnce(t *testing.T, guests []*lab.Guest) {
	t.Helper()
	eventually(t, promise, "the guests reach each other", func() bool {
		got, err := guests[0].Ping(t.Context(), guests[1].Addr.Addr(), 1, time.Millisecond)
		return err == nil && got.Received == 1
	})
}
