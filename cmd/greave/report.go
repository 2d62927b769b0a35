package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Reasons in the agent's ErrorInfo that have a message of their own here.
const (
	errorDomain         = "greave"
	reasonStaleRevision = "STALE_REVISION"
	reasonOvsNotRunning = "OVS_NOT_RUNNING"
	reasonOvsStalled    = "SWITCH_STALLED"
)

// report says on stderr what went wrong, in one message.
func (a *app) report(err error) {
	st, isStatus := status.FromError(err)
	var doc *documentError
	switch {
	case errors.As(err, &doc):
		for line := range strings.Lines(doc.Error()) {
			a.warnf("%s\n", strings.TrimSuffix(line, "\n"))
		}
	case !isStatus:
		a.warnf("greave: %s\n", err)
	default:
		a.reportStatus(st)
	}
}

func (a *app) reportStatus(st *status.Status) {
	var info *errdetails.ErrorInfo
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.BadRequest:
			if len(d.FieldViolations) > 0 {
				a.reportViolations(d.FieldViolations)
				return
			}
		case *errdetails.ErrorInfo:
			if d.Domain == errorDomain {
				info = d
			}
		}
	}
	a.warnf("greave: %s\n", a.statusMessage(st, info))
}

func (a *app) statusMessage(st *status.Status, info *errdetails.ErrorInfo) string {
	switch info.GetReason() {
	case reasonStaleRevision:
		return staleMessage(st, info.GetMetadata()["current_revision"])
	case reasonOvsNotRunning:
		return ovsMessage(info.GetMetadata()["socket"])
	case reasonOvsStalled:
		return "Open vSwitch does not answer: ovs-vswitchd is stopped or hangs, though its database runs; start it: systemctl restart openvswitch-switch"
	}
	switch st.Code() {
	case codes.Unavailable:
		if a.conn != nil && a.conn.failure() != nil {
			return dialMessage(a.conn.path, a.conn.failure())
		}
		if info == nil {
			return "the agent went away before it answered; 'greave status' shows what became of it"
		}
	case codes.DeadlineExceeded:
		if info != nil { // the agent's own wait for the host ended
			return "the host did not answer in time: " + st.Message() + "; see 'greave status'"
		}
		return fmt.Sprintf("no answer within %s; --timeout waits longer", a.limit)
	case codes.Canceled:
		return "interrupted"
	case codes.Unimplemented:
		return "the agent does not know this: " + st.Message() + "; greaved and greave should be of one version, see 'greave version'"
	}
	return st.Message()
}

func staleMessage(st *status.Status, current string) string {
	if current == "" {
		return st.Message()
	}
	return fmt.Sprintf("the document is based on another revision than the one in force, which is %s; "+
		"see what changed with 'greave history', then apply it with --base-revision %s", current, current)
}

func ovsMessage(socket string) string {
	where := ""
	if socket != "" {
		where = " (no answer on " + socket + ")"
	}
	return "Open vSwitch does not run on this host" + where + "; start it: systemctl start openvswitch-switch"
}

// dialMessage says why the agent's socket cannot be used, and the remedy.
func dialMessage(path string, err error) string {
	const start = "start it: sudo greaved"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Sprintf("the agent does not run: there is no socket %s; %s", path, start)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("the agent does not run: nobody listens on %s; %s", path, start)
	case errors.Is(err, fs.ErrPermission):
		return permissionMessage(path)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("nobody answers on %s", path)
	}
	return fmt.Sprintf("connect to %s: %s", path, err)
}

func permissionMessage(path string) string {
	who := "root"
	for _, p := range []string{path, filepath.Dir(path)} { // one of the two refused; the first that can be seen tells
		info, err := os.Stat(p)
		if err != nil {
			continue
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Gid != 0 {
			who = strconv.Itoa(int(st.Gid))
			if g, err := user.LookupGroupId(who); err == nil {
				who = g.Name
			}
		}
		break
	}
	if who == "root" {
		return fmt.Sprintf("permission denied on %s: only root may use it; use sudo, or make a group greave and start the agent again", path)
	}
	return fmt.Sprintf("permission denied on %s: it is for root and group %s; use sudo, or join the group: sudo usermod -aG %s $USER, then log in again", path, who, who)
}

// finding is a field's error or warning with its place in the document.
type finding struct {
	file      string
	line, col int // 0: unknown, or the whole document
	path      string
	text      string
}

// find puts a field path of a request into the document's terms. A path that
// names nothing of a document, remove[0] for one, stays as it is.
func (a *app) find(field, text string) finding {
	path, inState := strings.CutPrefix(field, "state.")
	if field == "state" || field == "" {
		path, inState = "", true
	}
	f := finding{path: path, text: text}
	if a.doc == nil {
		return f
	}
	line, col, ok := a.doc.positions.Find(path)
	if ok || inState {
		f.file, f.line, f.col = a.doc.name, line, col
	}
	return f
}

func (f finding) String() string {
	var parts []string
	switch {
	case f.line > 0:
		parts = append(parts, fmt.Sprintf("%s:%d:%d", f.file, f.line, f.col))
	case f.file != "":
		parts = append(parts, f.file)
	default:
		parts = append(parts, "greave")
	}
	if f.path != "" {
		parts = append(parts, f.path)
	}
	return strings.Join(append(parts, f.text), ": ")
}

func (a *app) reportViolations(violations []*errdetails.BadRequest_FieldViolation) {
	findings := make([]finding, len(violations))
	for i, v := range violations {
		findings[i] = a.find(v.Field, v.Description)
	}
	a.warnFindings(findings)
	if a.doc != nil {
		a.warnf("greave: %s is refused (%s); nothing was changed\n", a.doc.name, plural(len(findings), "error"))
	} else {
		a.warnf("greave: refused (%s); nothing was changed\n", plural(len(findings), "error"))
	}
}

func (a *app) warnFindings(findings []finding) {
	slices.SortStableFunc(findings, func(x, y finding) int {
		return cmp.Or(cmp.Compare(x.line, y.line), cmp.Compare(x.col, y.col))
	})
	for _, f := range findings {
		a.warnf("%s\n", f)
	}
}
