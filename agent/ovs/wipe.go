package ovs

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/greave-sdn/greave/agent/plan"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
)

// wipes remembers of each bridge how it was at the end of the last pass, to say
// what took all flows from it. It serves that word alone: what is missing is told
// by the host.
//
// ovs-vswitchd (3.1) deletes all flows of a bridge when its first controller is
// set or its last one removed, when fail_mode changes, and when it makes the
// bridge anew; a controller, once connected, may delete them itself.
type wipes struct {
	now func() time.Time
	mu  sync.Mutex // guards all below
	at  map[string]lastSeen
}

// lastSeen is a bridge at the end of a pass.
type lastSeen struct {
	flows int       // greave's
	rows  wipeRows  // as they were then, or as a change of them was seen since
	news  string    // that change
	when  time.Time // of it
}

// wipeRows are the columns a change of which deletes flows.
type wipeRows struct{ datapath, failMode, controllers string }

// newsLasts is how long a change of a row counts as the cause of a wipe: a
// controller that was just set still has to connect.
const newsLasts = 10 * time.Second

func newWipes(now func() time.Time) *wipes {
	return &wipes{now: now, at: map[string]lastSeen{}}
}

// write makes the rows those of a bridge that operations have written.
func (r *wipeRows) write(bridge string, done []plan.Op) {
	for _, o := range done {
		if o.Bridge == nil || o.Bridge.Name != bridge || o.Verb == plan.Delete {
			continue
		}
		written := wipeRowsOf(model.OVSBridge{Datapath: o.Bridge.Datapath, FailMode: o.Bridge.FailMode})
		r.datapath, r.failMode = written.datapath, written.failMode
	}
}

func wipeRowsOf(b model.OVSBridge) wipeRows {
	var targets []string
	for _, c := range b.Controllers {
		targets = append(targets, c.Target)
	}
	r := wipeRows{datapath: b.Datapath.String(), controllers: strings.Join(targets, ", "), failMode: "standalone"} // none is standalone
	if b.FailMode == model.FailSecure {
		r.failMode = "secure"
	}
	return r
}

// differ says what of the rows is no longer as it was, "" when nothing is.
func (r wipeRows) differ(was wipeRows) string {
	var out []string
	for _, c := range []struct{ column, was, is string }{
		{"controller", was.controllers, r.controllers}, {"fail_mode", was.failMode, r.failMode}, {"datapath_type", was.datapath, r.datapath},
	} {
		switch {
		case c.was == c.is:
		case c.was == "":
			out = append(out, fmt.Sprintf("Bridge.%s was set to %s", c.column, c.is))
		case c.is == "":
			out = append(out, fmt.Sprintf("Bridge.%s, which was %s, was cleared", c.column, c.was))
		default:
			out = append(out, fmt.Sprintf("Bridge.%s was changed from %s to %s", c.column, c.was, c.is))
		}
	}
	return strings.Join(out, ", ")
}

// lost notes that the connection to a bridge ended.
func (w *wipes) lost(bridge string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s, ok := w.at[bridge]; ok && (s.news == "" || w.now().Sub(s.when) > newsLasts) {
		s.news, s.when = "ovs-vswitchd was restarted or made the bridge anew", w.now()
		w.at[bridge] = s
	}
}

// look compares the rows with those remembered, and returns the bridges whose
// flows may be gone.
func (w *wipes) look(h model.OVSHost) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, name := range slices.Sorted(maps.Keys(w.at)) {
		s := w.at[name]
		news := "row " + name + " of table Bridge was deleted"
		var rows wipeRows
		if b, ok := h.Bridges[name]; ok {
			rows = wipeRowsOf(b)
			news = rows.differ(s.rows)
		}
		if rows == s.rows {
			continue
		}
		s.rows, s.news, s.when = rows, news, w.now()
		w.at[name] = s
		out = append(out, name)
	}
	return out
}

// remember keeps how bridges are at the end of a pass. What greave itself has
// done is no news; what another did to the rows meanwhile will be.
func (w *wipes) remember(bridges []string, h model.OVSHost, images map[string]openflow.Image, owner model.Owner, done []plan.Op) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := map[string]lastSeen{}
	for _, name := range bridges {
		image, read := images[name]
		if !read {
			continue
		}
		s, known := w.at[name]
		if !known {
			s.rows = wipeRowsOf(h.Bridges[name])
		}
		s.rows.write(name, done)
		s.flows = ownFlows(image, owner)
		if w.now().Sub(s.when) > newsLasts {
			s.news = ""
		}
		at[name] = s
	}
	w.at = at
}

// cause says what took the flows of a bridge, when it had some and has none. In
// the middle of a pass greave's own writes may have done it: then only the news
// counts.
func (w *wipes) cause(bridge string, image openflow.Image, h model.OVSHost, owner model.Owner, midway bool) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.at[bridge]
	if s.flows == 0 || ownFlows(image, owner) > 0 {
		return ""
	}
	if w.now().Sub(s.when) > newsLasts {
		s.news = ""
	}
	if midway && s.news == "" {
		return ""
	}
	who := "another program did it over OpenFlow: no row of the bridge was changed, and no controller is set on it"
	var controllers []string
	for _, c := range h.Bridges[bridge].Controllers {
		controllers = append(controllers, c.String())
	}
	if len(controllers) > 0 {
		who = "no row of the bridge was changed, but a controller can do it: " + strings.Join(controllers, ", ")
	}
	text := fmt.Sprintf("all %d flows of bridge %s were deleted; %s", s.flows, bridge, cmp.Or(s.news, who))
	s.news = "" // it explains one wipe
	w.at[bridge] = s
	return text
}

func ownFlows(i openflow.Image, owner model.Owner) int {
	n := 0
	for _, f := range i.Flows {
		if f.Cookie.Owner() == owner.Tag {
			n++
		}
	}
	return n
}

// wiped tells whether a bridge has lost all flows.
func (w *wipes) wiped(bridge string, image openflow.Image, owner model.Owner) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at[bridge].flows > 0 && ownFlows(image, owner) == 0
}

// findWiped notes the bridges that have lost all flows since the last pass.
func (p *pass) findWiped(ctx context.Context, midway bool) {
	host := p.host
	for name, image := range p.images {
		if !midway && p.wipes.wiped(name, image, p.cfg.Owner) {
			host = p.caughtUp(ctx)
			break
		}
	}
	for name, image := range p.images {
		ref := model.Ref{Kind: model.KindBridge, Name: name}
		if cause := p.wipes.cause(name, image, host, p.cfg.Owner, midway); cause != "" && p.out.Wiped[ref] == "" {
			p.out.Wiped[ref] = cause
		}
	}
}

// caughtUp looks at the rows once more: ovs-vswitchd may have acted on one that the
// database had not told of when this pass began. The answer to a question comes
// behind what was told before it.
func (p *pass) caughtUp(ctx context.Context) model.OVSHost {
	if _, err := p.cfg.Session.Select(ctx, "Open_vSwitch", []string{"cur_cfg"}); err != nil {
		return p.host
	}
	snap, err := p.cfg.Session.Snapshot(ctx)
	if err != nil {
		return p.host
	}
	host := hostOf(snap, p.host.SystemDatapath)
	p.wipes.look(host)
	return host
}
