package ovsdb

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// forger is a server that speaks the protocol (RFC 7047) and answers the monitor with what it was
// told, then sends an update of it.
type forger struct {
	schema        json.RawMessage
	rows, updates []byte
	sent          chan struct{} // closed when the first update is out
	once          sync.Once
}

func (f *forger) serve(c net.Conn) {
	defer c.Close()
	for in := json.NewDecoder(c); ; {
		var call struct {
			Method string          `json:"method"`
			Params json.RawMessage `json:"params"`
			ID     json.RawMessage `json:"id"`
		}
		if in.Decode(&call) != nil {
			return
		}
		result := []byte("{}")
		switch {
		case call.Method == "list_dbs":
			result = []byte(`["Open_vSwitch"]`)
		case call.Method == "get_schema":
			result = f.schema
		case call.Method == "echo":
			result = call.Params
		case strings.HasPrefix(call.Method, "monitor"):
			result = f.rows
		}
		answer := `{"id":` + string(call.ID) + `,"error":null,"result":` + string(result) + "}"
		if strings.HasPrefix(call.Method, "monitor") {
			var params []json.RawMessage
			if json.Unmarshal(call.Params, &params) == nil && len(params) > 1 {
				answer += `{"id":null,"method":"update2","params":[` + string(params[1]) + "," + string(f.updates) + "]}"
			}
		}
		if _, err := io.WriteString(c, answer); err != nil {
			return
		}
		if strings.HasPrefix(call.Method, "monitor") {
			f.once.Do(func() { close(f.sent) })
		}
	}
}

// wellFormed tells whether all arrays of a text are sets, maps and UUIDs as RFC 7047 section 5.1 has
// them, or their elements: libovsdb looks for the second element of a pair that has none.
func wellFormed(text []byte) bool {
	var v any
	return json.Unmarshal(text, &v) != nil || wellFormedValue(v)
}

func wellFormedValue(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			if !wellFormedValue(e) {
				return false
			}
		}
	case []any:
		if len(v) != 2 {
			return false
		}
		tag, _ := v[0].(string)
		list, isList := v[1].([]any)
		switch {
		case tag == "uuid" || tag == "named-uuid":
			_, ok := v[1].(string)
			return ok
		case !isList || tag != "set" && tag != "map":
			return false
		}
		for _, e := range list {
			pair, isPair := e.([]any)
			if tag == "map" && (!isPair || len(pair) != 2) || tag == "set" && isPair && !wellFormedValue(e) {
				return false
			}
		}
	}
	return true
}

// FuzzReplies: whatever a server says the rows are, the session neither panics nor hangs.
func FuzzReplies(f *testing.F) {
	schema, err := os.ReadFile("vswitch/vswitch.ovsschema")
	if err != nil {
		f.Fatal(err)
	}
	const root, bridge = "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"
	row := `{"Open_vSwitch":{"` + root + `":{"initial":{"next_cfg":1,"cur_cfg":1,"bridges":["uuid","` + bridge + `"],"external_ids":["map",[["a","b"]]]}}},` +
		`"Bridge":{"` + bridge + `":{"initial":{"name":"br0","ports":["set",[]],"datapath_type":"netdev"}}}}`
	for _, s := range [][2]string{
		{row, `{"Open_vSwitch":{"` + root + `":{"modify":{"cur_cfg":2}}}}`},
		{"{}", `{"Bridge":{"` + bridge + `":{"delete":null}}}`},
		{`{"Interface":{"x":{"initial":{"name":"i","ofport":["set",[]],"error":"no","options":["map",[["key","7"]]]}}}}`, `{"Interface":{"x":{"modify":{"ofport":-1}}}}`},
		{`{"Interface":{"x":{"initial":{"name":7,"ofport":"seven"}}}}`, `{"Nothing":{"x":{"insert":{}}}}`},
		{`{"Port":{"x":{"initial":{"name":"p","interfaces":["set",[["uuid","y"],["uuid","y"]]],"tag":4096}}}}`, "null"},
		{"null", "[]"}, {"[]", "7"}, {`"x"`, "{"},
	} {
		f.Add([]byte(s[0]), []byte(s[1]))
	}
	f.Fuzz(func(t *testing.T, rows, updates []byte) {
		if !wellFormed(rows) || !wellFormed(updates) {
			return // libovsdb panics
		}
		dir, err := os.MkdirTemp("", "fuzz") // the path of a socket must be short
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", filepath.Join(dir, "db"))
		if err != nil {
			t.Fatal(err)
		}
		server := &forger{schema: schema, rows: rows, updates: updates, sent: make(chan struct{})}
		var served sync.WaitGroup
		served.Go(func() {
			for {
				c, err := listener.Accept()
				if err != nil {
					return
				}
				served.Go(func() { server.serve(c) })
			}
		})
		s := New(Config{Endpoint: "unix:" + filepath.Join(dir, "db")})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		select {
		case <-server.sent:
		case <-time.After(patience):
			t.Error("the monitor was not asked for")
		}
		time.Sleep(3 * time.Millisecond)
		if s.Synced() {
			snap, err := s.Snapshot(t.Context())
			for _, b := range snap.Bridges {
				if err == nil && b.UUID == "" {
					t.Errorf("a bridge without identity: %+v", b)
				}
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = listener.Close()
		served.Wait()
	})
}
