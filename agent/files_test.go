package agent

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/greave-sdn/greave/agent/facts"
	"github.com/greave-sdn/greave/agent/ovs"
	"github.com/greave-sdn/greave/agent/reconcile"
	"github.com/greave-sdn/greave/agent/rpc"
	"github.com/greave-sdn/greave/agent/store"
	"github.com/greave-sdn/greave/ovsdb"
)

// fullDisk is a store whose disk may be full.
type fullDisk struct {
	*store.Store
	full bool
}

func (d *fullDisk) Append(entries ...store.Entry) error {
	if d.full {
		return errors.New("no space left on device")
	}
	return d.Store.Append(entries...)
}

// TestFilesAfterAFullDisk: a document that could not be kept is tried again
// without being touched, and told of once.
func TestFilesAfterAFullDisk(t *testing.T) {
	st, err := store.Open(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	var said strings.Builder
	log := slog.New(slog.NewTextHandler(&said, nil))
	disk := &fullDisk{Store: st, full: true}
	absent := ovs.New(ovs.Config{Session: ovsdb.New(ovsdb.Config{}), Host: facts.New(), Logger: log})
	loop := reconcile.New(reconcile.Config{Host: "h", Backend: absent, Store: disk, Decode: rpc.Decode, Logger: slog.New(slog.DiscardHandler)})
	if err := loop.Load(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.yaml"), []byte("bridges: [{name: br0}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := newFiles(dir, loop, log)
	for range 3 {
		f.look(context.Background())
	}
	if n := strings.Count(said.String(), "no space left"); n != 1 || len(loop.Documents()) != 0 {
		t.Errorf("told %d times, in force: %v\n%s", n, loop.Documents(), said.String())
	}
	disk.full = false
	f.look(context.Background())
	if docs := loop.Documents(); len(docs) != 1 || len(docs[0].State.Bridges) != 1 {
		t.Errorf("in force: %v\n%s", docs, said.String())
	}
}
