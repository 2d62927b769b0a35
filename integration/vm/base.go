package vm

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

//go:embed init.sh
var initScript string

// needed are the programs that the guest has from this machine, besides busybox; useful are those
// that it has if this machine does.
var (
	needed = []string{"ovsdb-server", "ovsdb-tool", "ovs-vswitchd", "ovs-vsctl", "ovs-ofctl", "ovs-appctl", "kmod", "unshare"}
	useful = []string{"ip", "tc", "bridge", "ping", "tcpdump", "ethtool", "iperf3", "setpriv"}
)

const schema = "/usr/share/openvswitch/vswitch.ovsschema"

// drivers are the modules that the guest has, by their paths: whole directories, or files without
// the ending. What they depend on comes with them.
var drivers = strings.Fields(`
	net/8021q/ net/802/ net/bridge/ net/core/ net/ipv4/ net/ipv6/ net/key/ net/llc/ net/mpls/ net/netfilter/
	net/nsh/ net/openvswitch/ net/packet/ net/psample/ net/sched/ net/xfrm/
	drivers/net/bareudp drivers/net/bonding/ drivers/net/dummy drivers/net/geneve drivers/net/gtp drivers/net/ifb
	drivers/net/macsec drivers/net/macvlan drivers/net/macvtap drivers/net/tap drivers/net/tun drivers/net/veth
	drivers/net/vrf drivers/net/vxlan/ drivers/net/wireguard/
	drivers/char/virtio_console drivers/virtio/ arch/x86/crypto/ crypto/ lib/`)

// baseFiles lists what every guest has: programs with their libraries, modules, init.
func baseFiles(ctx context.Context, k kernel) ([]file, error) {
	files := []file{
		linked("bin", "usr/bin"), linked("sbin", "usr/sbin"), linked("lib", "usr/lib"), linked("lib64", "usr/lib64"),
		{name: "etc/passwd", mode: typeFile | 0o644, data: "root:x:0:0:root:/root:/bin/sh\n"},
		{name: "etc/group", mode: typeFile | 0o644, data: "root:x:0:\n"},
		{name: "init", mode: typeFile | 0o755, data: initScript},
		copied(schema, strings.TrimPrefix(schema, "/")),
	}
	for _, dir := range []string{"artifacts", "dev", "proc", "root", "run", "sys", "tmp", "var/log", "var/run", "usr/bin", "usr/sbin", "usr/lib64"} {
		files = append(files, file{name: dir, mode: typeDir})
	}
	programs, err := programFiles(ctx)
	if err != nil {
		return nil, err
	}
	modules, err := moduleFiles(k)
	if err != nil {
		return nil, err
	}
	return slices.Concat(files, programs, modules), nil
}

// programFiles lists the programs, the libraries they are linked with, and a link for each applet
// of busybox that no program stands in for.
func programFiles(ctx context.Context) ([]file, error) {
	found := map[string]string{} // path here, by name
	for _, name := range slices.Concat(needed, useful) {
		at, err := exec.LookPath(name)
		if err == nil {
			found[name] = at
		} else if slices.Contains(needed, name) {
			return nil, fmt.Errorf("%w: %s is not installed", ErrUnavailable, name)
		}
	}
	seen := map[string]bool{}
	var files []file
	add := func(from string) {
		if name := merged(from); !seen[name] {
			seen[name] = true
			files = append(files, copied(from, name))
		}
	}
	for _, at := range found {
		add(at)
	}
	libraries, err := run(ctx, nil, append([]string{"ldd"}, mapped(files, func(f file) string { return f.from })...)...)
	if err != nil {
		return nil, err
	}
	for _, m := range regexp.MustCompile(`(?m)^\s+(?:\S+ => )?(/\S+) \(0x`).FindAllStringSubmatch(libraries, -1) {
		add(m[1])
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return nil, err
	}
	applets, err := run(ctx, nil, busybox, "--list")
	if err != nil {
		return nil, err
	}
	files = append(files, copied(busybox, "usr/bin/busybox"), linked("usr/sbin/modprobe", "../bin/kmod"))
	for _, name := range strings.Fields(applets) {
		if found[name] == "" && name != "busybox" && name != "modprobe" {
			files = append(files, linked("usr/bin/"+name, "busybox"))
		}
	}
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	return files, nil
}

// merged is the name in the guest of a file of this machine, whether or not /bin and /lib are links
// into /usr here.
func merged(at string) string {
	name := strings.TrimPrefix(path.Clean(at), "/")
	if top, _, _ := strings.Cut(name, "/"); slices.Contains([]string{"bin", "sbin", "lib", "lib64"}, top) {
		return "usr/" + name
	}
	return name
}

// moduleFiles lists the modules of drivers, all they depend on, and the kernel's own lists.
func moduleFiles(k kernel) ([]file, error) {
	list, err := os.ReadFile(filepath.Join(k.modules(), "modules.dep"))
	if err != nil {
		return nil, err
	}
	wanted := map[string]bool{}
	for line := range bytes.Lines(list) {
		module, needs, _ := strings.Cut(strings.TrimSpace(string(line)), ":")
		// modules.dep lists what a module needs, directly or not.
		if slices.ContainsFunc(drivers, func(d string) bool { return isDriver(module, d) }) {
			for _, m := range append(strings.Fields(needs), module) {
				wanted[m] = true
			}
		}
	}
	lists, err := filepath.Glob(filepath.Join(k.modules(), "modules.*"))
	if err != nil {
		return nil, err
	}
	for _, l := range lists {
		wanted[filepath.Base(l)] = true
	}
	var files []file
	for name := range wanted {
		files = append(files, copied(filepath.Join(k.modules(), name), path.Join("usr/lib/modules", k.version, name)))
	}
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	return files, nil
}

func isDriver(module, driver string) bool {
	rest, ok := strings.CutPrefix(module, "kernel/"+driver)
	return ok && (strings.HasSuffix(driver, "/") || strings.HasPrefix(rest, ".ko"))
}

func mapped[A, B any](in []A, f func(A) B) []B {
	out := make([]B, len(in))
	for i, v := range in {
		out[i] = f(v)
	}
	return out
}
