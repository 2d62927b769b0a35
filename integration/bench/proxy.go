package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// proxy stands between greaved and the sockets of a switch, and counts what goes towards the switch
// and changes something there.
type proxy struct {
	dir    string
	writes atomic.Int64
	wg     sync.WaitGroup
	stop   func()
}

// newProxy listens in a directory below the host's own for its database and its bridges.
func newProxy(ctx context.Context, h *host, bridges ...string) (*proxy, error) {
	ctx, cancel := context.WithCancel(ctx)
	p := &proxy{dir: filepath.Join(h.RunDir(), "px"), stop: cancel}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return nil, err
	}
	count := map[string]func(io.Reader){"db.sock": p.countTransactions}
	for _, name := range bridges {
		count[name+".mgmt"] = p.countModifications
	}
	for name, counter := range count {
		l, err := (&net.ListenConfig{}).Listen(ctx, "unix", filepath.Join(p.dir, name))
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { _ = l.Close() })
		p.wg.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				p.wg.Go(func() { p.serve(ctx, c, filepath.Join(h.RunDir(), name), counter) })
			}
		})
	}
	return p, nil
}

func (p *proxy) close() {
	p.stop()
	p.wg.Wait()
}

// serve carries one connection until either side ends it.
func (p *proxy) serve(ctx context.Context, client net.Conn, socket string, counter func(io.Reader)) {
	defer client.Close()
	server, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return // as one finds that dials a bridge that is not there yet
	}
	defer server.Close()
	defer context.AfterFunc(ctx, func() { client.Close(); server.Close() })()
	seen, see := io.Pipe()
	var wg sync.WaitGroup
	wg.Go(func() {
		counter(seen)
		_, _ = io.Copy(io.Discard, seen)
	})
	wg.Go(func() {
		_, err := io.Copy(io.MultiWriter(server, see), client)
		see.CloseWithError(err)
		server.Close()
	})
	_, _ = io.Copy(client, server)
	client.Close()
	wg.Wait()
}

// countTransactions reads what a client says to ovsdb-server.
func (p *proxy) countTransactions(in io.Reader) {
	for d := json.NewDecoder(in); ; {
		var m struct {
			Method string
			Params []json.RawMessage
		}
		if d.Decode(&m) != nil {
			return
		}
		if m.Method != "transact" {
			continue
		}
		for _, param := range m.Params[1:] {
			var o struct{ Op string }
			if json.Unmarshal(param, &o) == nil && o.Op != "select" && o.Op != "wait" && o.Op != "comment" {
				p.writes.Add(1)
			}
		}
	}
}

// OpenFlow messages that change a switch, of 1.3 to 1.5 (§7.1). What changes it within a bundle
// comes as a bundle's message; an experimenter's is how 1.3 has bundles.
const (
	ofSetConfig, ofPacketOut, ofFlowMod, ofGroupMod, ofPortMod, ofTableMod = 9, 13, 14, 15, 16, 17
	ofMeterMod, ofBundleControl, ofBundleAdd, ofExperimenter               = 29, 33, 34, 4
)

// countModifications reads what a client says to a bridge.
func (p *proxy) countModifications(in io.Reader) {
	r := bufio.NewReader(in)
	for {
		var head [8]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return
		}
		switch head[1] {
		case ofPacketOut, ofFlowMod, ofGroupMod, ofPortMod, ofTableMod, ofMeterMod, ofBundleControl, ofBundleAdd, ofExperimenter, ofSetConfig:
			p.writes.Add(1)
		}
		if _, err := r.Discard(int(binary.BigEndian.Uint16(head[2:])) - len(head)); err != nil {
			return
		}
	}
}
