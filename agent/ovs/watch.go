package ovs

import (
	"context"
	"sync"
	"time"

	"github.com/greave-sdn/greave/openflow/ofctl"
)

// watchRetry is the pause before a lost bridge is watched again.
const watchRetry = 200 * time.Millisecond

// watcher listens on the bridges that greave owns for a restart of the switch
// and for foreign writing.
type watcher struct {
	sw    *ofctl.Client
	event func(bridge string, lost bool) // lost: the connection to the bridge
	want  chan []string
}

func newWatcher(sw *ofctl.Client, event func(string, bool)) *watcher {
	return &watcher{sw: sw, event: event, want: make(chan []string, 1)}
}

// set says which bridges to watch. It never blocks: the last word counts.
func (w *watcher) set(bridges []string) {
	for {
		select {
		case w.want <- bridges:
			return
		default:
		}
		select {
		case <-w.want:
		default:
		}
	}
}

func (w *watcher) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	stop := map[string]context.CancelFunc{}
	for {
		select {
		case <-ctx.Done():
			return
		case bridges := <-w.want:
			keep := map[string]bool{}
			for _, b := range bridges {
				keep[b] = true
				if stop[b] == nil {
					var one context.Context
					one, stop[b] = context.WithCancel(ctx)
					wg.Go(func() { w.one(one, b) })
				}
			}
			for b, cancel := range stop {
				if !keep[b] {
					cancel()
					delete(stop, b)
				}
			}
		}
	}
}

// one watches a bridge for as long as it is wanted. Losing it is an event, and
// so is finding it again: the switch restarted.
func (w *watcher) one(ctx context.Context, bridge string) {
	for ctx.Err() == nil {
		lost := w.sw.Watch(ctx, bridge, func() { w.event(bridge, false) })
		if lost != nil && ctx.Err() == nil {
			w.event(bridge, true)
		}
		select {
		case <-ctx.Done():
		case <-time.After(watchRetry):
		}
	}
}
