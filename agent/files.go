package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/greave-sdn/greave/agent/reconcile"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/proto/convert"
)

// fileSource is the name of the source that a watched directory is.
const fileSource = "file"

// filesEvery is how often the directory is looked at.
const filesEvery = time.Second

// files is a directory whose *.yaml, *.yml and *.json, joined in order of name,
// are one document. A directory without any is not an empty document: what was
// stated last stays, as it does when a file is wrong.
type files struct {
	dir    string
	loop   *reconcile.Loop
	log    *slog.Logger
	seen   string // what the last look saw
	unkept bool   // the last document was right but the disk refused it: it is tried again, and told of once
}

func newFiles(dir string, loop *reconcile.Loop, log *slog.Logger) *files {
	return &files{dir: dir, loop: loop, log: log}
}

func (f *files) run(ctx context.Context) error {
	tick := time.NewTicker(filesEvery)
	defer tick.Stop()
	for {
		f.look(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look submits the directory's document when a name, time or size changed, or
// when it could not be kept the last time.
func (f *files) look(ctx context.Context) {
	names, state, err := f.list()
	if err == nil && state == f.seen {
		return
	}
	if err != nil {
		state = err.Error()
		if state == f.seen {
			return
		}
	}
	f.seen = state
	if err == nil && len(names) == 0 {
		f.log.Warn("no document in the directory; what was stated last stays", "source", fileSource, "object", f.dir)
		return
	}
	if err == nil {
		err = f.submit(ctx, names)
	}
	var disk *reconcile.StoreError
	again := errors.As(err, &disk)
	if again { // no fault of the files
		f.seen = ""
	}
	if err != nil && !(again && f.unkept) {
		f.log.Error("files refused; what was stated last stays", "source", fileSource, "err", err)
	}
	f.unkept = again
}

func (f *files) list() (names []string, state string, err error) {
	entries, err := os.ReadDir(f.dir) // in order of name
	if err != nil {
		return nil, "", fmt.Errorf("read directory: %w", err)
	}
	var b strings.Builder
	for _, e := range entries {
		if e.IsDir() || !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(e.Name())) || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // gone since
		}
		names = append(names, e.Name())
		fmt.Fprintf(&b, "%s %d %d\n", e.Name(), info.ModTime().UnixNano(), info.Size())
	}
	return names, b.String(), nil
}

func (f *files) submit(ctx context.Context, names []string) error {
	var docs []convert.Document
	for _, n := range names {
		data, err := os.ReadFile(filepath.Join(f.dir, n))
		if err != nil {
			return fmt.Errorf("read file: %w", err)
		}
		doc, err := convert.ParseDocument(n, data)
		if err != nil {
			return err
		}
		docs = append(docs, doc)
	}
	whole := convert.Join(docs)
	state, fields := convert.FromWire(whole.State)
	wire, err := convert.Encode(whole.State)
	if err != nil {
		return fmt.Errorf("encode files: %w", err)
	}
	if len(fields) == 0 {
		_, err = f.loop.Submit(ctx, reconcile.Submission{
			Source: fileSource, Document: wire, State: state, Comment: strings.Join(names, ", "),
		})
		errors.As(err, &fields)
	}
	if len(fields) > 0 {
		return locate(whole, fields)
	}
	return err
}

// locate puts file, line and column before each fault.
func locate(d convert.Document, fields model.FieldErrors) error {
	var all []error
	for _, e := range fields {
		if at := d.Where(e.Path); at != "" {
			all = append(all, fmt.Errorf("%s: %w", at, e))
		} else {
			all = append(all, e)
		}
	}
	return errors.Join(all...)
}
