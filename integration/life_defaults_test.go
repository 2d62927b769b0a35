package integration

import (
	"strings"
	"testing"

	"github.com/greave-sdn/greave/integration/lab"
)

// ordinaryHost is an ordinary Open vSwitch host as greaved sees it: the switch's
// sockets in /run/openvswitch, nothing in /var/lib and /etc but a group greave. It runs
// greaved and greave without a flag, and kills that greaved only.
const ordinaryHost = `
set -eu
mount -t tmpfs none /run && mount -t tmpfs none /var/lib && mount -t tmpfs none /etc
echo greave:x:4242: > /etc/group
mkdir /run/openvswitch && mount --bind "$1" /run/openvswitch
"$2" --log-level warn &
daemon=$!
trap 'kill $daemon' EXIT
for i in $(seq 100); do [ -S /run/greave/greaved.sock ] && break; sleep 0.05; done
"$3" example segment | "$3" apply -f -
"$3" status
"$3" plan
stat -c '%a %u %g' /run/greave/greaved.sock
ls /var/lib/greave
`

// TestNoFlagIsNeeded runs greaved on a host where everything is in its place.
func TestNoFlagIsNeeded(t *testing.T) {
	h := lab.ForTest(t, lab.Options{Hosts: 1}).Hosts[0]
	site{Host: h, t: t}.guard()
	greaved, greave, err := lab.Binaries(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out, stderr, err := h.Exec(t.Context(), "unshare", "-m", "sh", "-c", ordinaryHost, "sh", h.RunDir(), greaved, greave)
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, stderr)
	}
	for _, want := range []string{"revision 1 of operator: realised", "unix:/run/openvswitch/db.sock", "nothing to do", "660 0 4242", "journal"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s%s", want, out, stderr)
		}
	}
	if bridges, err := h.Vsctl(t.Context(), "list-br"); err != nil || !strings.Contains(bridges, "br-greave") {
		t.Errorf("bridges %q, %v", bridges, err)
	}
}
