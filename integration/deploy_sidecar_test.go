package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/greave-sdn/greave/integration/lab"
)

// sidecarUser is the user of deploy/sidecar/compose.yaml.
const sidecarUser = "65532"

// sidecarRights runs its arguments as deploy/sidecar/compose.yaml does: in a root of its own that has
// the image's programs, the switch's run directory read-only, a state directory and one for the API's
// socket; as an unprivileged user that has no capability and gets none.
const sidecarRights = `#!/bin/sh
exec unshare --mount --propagation private sh -euc '
	umask 022
	r=RUN/root
	mount -t tmpfs -o mode=755 image "$r"
	mkdir -p "$r/usr" "$r/dev" "$r/opt" "$r/RUN"
	ln -s usr/bin usr/lib usr/lib64 "$r/"
	touch "$r/opt/greaved" "$r/dev/null"
	mount --bind /usr "$r/usr" && mount -o remount,ro,bind "$r/usr"
	mount --bind /dev/null "$r/dev/null"
	mount --bind GREAVED "$r/opt/greaved"
	mount --bind RUN "$r/RUN" && mount -o remount,ro,bind "$r/RUN"
	for d in state api; do mount --bind "RUN/$d" "$r/RUN/$d"; done
	exec chroot "$r" setpriv --reuid USER --regid USER --clear-groups --no-new-privs \
		--bounding-set=-all --inh-caps=-all --pdeathsig KILL /opt/greaved "$@"
' GREAVED "$@" --listen unix:RUN/api/greaved.sock
`

// startSidecar starts greaved on a host with the rights of the sidecar, once those who run Open
// vSwitch have let its user in, as the compose file says.
func startSidecar(t *testing.T, h *lab.Host, wrapper, greaved string) {
	t.Helper()
	run := h.RunDir()
	for _, dir := range []string{"root", "state", "api"} {
		check(t, os.Mkdir(filepath.Join(run, dir), 0o755))
	}
	check(t, os.Symlink("api/greaved.sock", filepath.Join(run, "greaved.sock")))
	for _, dir := range []string{"state", "api"} {
		check(t, os.Chown(filepath.Join(run, dir), 65532, 65532))
	}
	compose, err := os.ReadFile("../deploy/sidecar/compose.yaml")
	check(t, err)
	h.StopSwitch()
	h.StopDB()
	for line := range strings.Lines(string(compose)) {
		switch words := strings.Fields(strings.Replace(line, "/run/openvswitch", run, 1)); {
		case len(words) < 3 || !slices.Contains([]string{"chgrp", "chmod", "umask"}, words[1]):
		case words[1] == "umask":
			mask, err := strconv.ParseInt(words[2], 8, 16)
			check(t, err)
			old := syscall.Umask(int(mask))
			t.Cleanup(func() { syscall.Umask(old) })
		default:
			_, _, err := h.Exec(t.Context(), words[1:]...)
			check(t, err)
		}
	}
	check(t, h.StartDB(t.Context()))
	check(t, h.StartSwitch(t.Context()))
	script := strings.NewReplacer("RUN", run, "GREAVED", greaved, "USER", sidecarUser).Replace(sidecarRights)
	check(t, os.WriteFile(wrapper, []byte(script), 0o755))
	check(t, h.StartGreaved(t.Context()))
}

// TestSidecar: greaved as an unprivileged user without a capability, that sees of the host only the
// switch's run directory, builds a segment; and builds it again when Open vSwitch's container comes
// back without its database.
func TestSidecar(t *testing.T) {
	greaved, _, err := lab.Binaries(t.Context())
	if err != nil {
		lab.Require(t)
		t.Fatal(err)
	}
	wrapper := filepath.Join(t.TempDir(), "greaved")
	l := lab.ForTest(t, lab.Options{Greaved: wrapper})
	var guests []*lab.Guest
	for i, h := range l.Hosts {
		startSidecar(t, h, wrapper, greaved)
		g, err := h.AddGuest(t.Context(), fmt.Sprintf("vm%d", i), fmt.Sprintf("10.0.0.%d/24", i+1), fmt.Sprintf("02:00:00:00:00:0%d", i+1), 1400)
		check(t, err)
		guests = append(guests, g)
		apply(t, h, fmt.Sprintf(`
bridges: [{name: br-greave, datapath: netdev}]
vteps: [{name: v, address: %s}]
segments: [{name: red, key: 100}]
peers: [{name: other, paths: [{remote: %s}], segments: [red]}]
ports: [{name: vm, device: %s, attachments: [{segment: red}]}]
`, h.VTEP, l.Hosts[1-i].VTEP, g.Dev))
	}
	h := l.Hosts[0]
	confined(t, h)
	reaches(t, guests[0], guests[1].Addr.Addr())

	h.StopSwitch()
	h.StopDB()
	db := filepath.Join(h.RunDir(), "conf.db")
	check(t, os.Remove(db))
	_, _, err = h.Exec(t.Context(), "ovsdb-tool", "create", db, "/usr/share/openvswitch/vswitch.ovsschema")
	check(t, err)
	check(t, h.StartDB(t.Context()))
	_, err = h.Vsctl(t.Context(), "--no-wait", "init")
	check(t, err)
	check(t, h.StartSwitch(t.Context()))
	eventually(t, 20*time.Second, "the segment is built again", func() bool {
		out, _, err := h.Greave(t.Context(), "plan")
		return err == nil && strings.Contains(out, "nothing to do")
	})
	reaches(t, guests[0], guests[1].Addr.Addr())
}

// confined holds the running greaved to what the compose file promises.
func confined(t *testing.T, h *lab.Host) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.GreavedPid()))
	check(t, err)
	for _, want := range []string{"CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Uid:\t" + sidecarUser} {
		if !strings.Contains(string(status), want) {
			t.Errorf("greaved runs without %q:\n%s", want, status)
		}
	}
	var seen []string
	for dir, end := "/", h.RunDir()+"/"; ; {
		list, err := os.ReadDir(fmt.Sprintf("/proc/%d/root%s", h.GreavedPid(), dir))
		check(t, err)
		next := strings.SplitN(strings.TrimPrefix(end, dir), "/", 2)[0]
		for _, e := range list {
			if dir == "/" && slices.Contains([]string{"usr", "bin", "lib", "lib64", "dev", "opt"}, e.Name()) {
				continue // the image
			}
			if e.Name() != next {
				seen = append(seen, dir+e.Name())
			}
		}
		if dir += next + "/"; dir == end {
			break
		}
	}
	if len(seen) > 0 {
		t.Errorf("greaved sees %v of the host", seen)
	}
}
