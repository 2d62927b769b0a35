package reconcile

import (
	"math/rand/v2"
	"reflect"
	"time"

	"github.com/greave-sdn/greave/model"
)

// retry is an object that passes leave alone until a time.
type retry struct {
	notice   model.Notice
	attempts int
	until    time.Time
	value    any   // what was desired when it failed
	host     *seen // what the host has under its name, as of the first pass after
	flapping bool  // the host is what changes: only another value lifts it
	tried    bool  // its time has come: this pass tries it
}

// seen is what the host has of the device behind an object.
type seen struct {
	bridge model.OVSBridge
	port   model.OVSPort
	device model.Device
}

func seenOf(o model.Object, f model.Facts) seen {
	name := o.Ref().Name
	if p, ok := o.(model.Port); ok {
		name = p.Device
	}
	s := seen{device: f.Devices[name]}
	if f.OVS != nil {
		s.bridge, s.port = f.OVS.Bridges[name], f.OVS.Ports[name]
	}
	return s
}

// hold lists what this pass leaves alone, and lets go what is due, what is
// desired differently now, and what the host shows differently now.
func (l *Loop) hold(d desired, values map[model.Ref]any, f model.Facts) map[model.Ref]model.Notice {
	out := map[model.Ref]model.Notice{}
	now := l.cfg.Now()
	for ref, r := range l.retries {
		o, wanted := d.objects[ref]
		if !wanted || !reflect.DeepEqual(r.value, values[ref]) {
			delete(l.retries, ref)
			continue
		}
		have := seenOf(o, f)
		if r.host == nil {
			r.host = &have
		}
		changed := !r.flapping && !reflect.DeepEqual(*r.host, have)
		r.tried = changed || !now.Before(r.until)
		if r.tried {
			if changed || r.flapping {
				r.attempts = 0
			}
			continue
		}
		out[ref] = r.notice
	}
	return out
}

// settleRetries books what a pass found: objects that the switch refused wait
// longer each time, those that it took wait no more.
func (l *Loop) settleRetries(values map[model.Ref]any, held, notices map[model.Ref]model.Notice) {
	for ref, n := range notices {
		if _, left := held[ref]; left || !model.Refused(n.Reason) {
			continue
		}
		if _, wanted := values[ref]; !wanted {
			continue
		}
		r := l.retries[ref]
		if r == nil {
			r = &retry{}
			l.retries[ref] = r
		}
		wait := backoff(r.attempts, l.cfg.Backoff, l.cfg.MaxBackoff)
		*r = retry{notice: n, attempts: r.attempts + 1, until: l.cfg.Now().Add(wait), value: values[ref]}
	}
	for ref, r := range l.retries {
		if n, refused := notices[ref]; r.tried && (!refused || !model.Refused(n.Reason)) {
			delete(l.retries, ref)
		}
	}
}

// nextRetry is when the first held object is due.
func (l *Loop) nextRetry() time.Time {
	var next time.Time
	for _, r := range l.retries {
		if next.IsZero() || r.until.Before(next) {
			next = r.until
		}
	}
	return next
}

// backoff doubles from low to high and takes off up to a fifth, so that objects
// that failed together are not retried together for ever.
func backoff(attempts int, low, high time.Duration) time.Duration {
	d := high
	if attempts < 20 {
		d = min(high, low<<attempts)
	}
	return d - rand.N(d/5+1)
}
