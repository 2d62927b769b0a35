#!/bin/sh
# The first process of the guest: mounts, runs /guest/run, and says on port 1 how each program
# ended and, as the last thing, "end". Port 2 takes an archive of /artifacts, the ports above it the
# output of one program each.
export PATH=/usr/sbin:/usr/bin HOME=/root TMPDIR=/tmp GREAVE_GUEST=1
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
for dir in /dev/shm /run /tmp; do mount -t tmpfs tmpfs $dir; done
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ln -sfn /run /var/run
ip link set lo up
modprobe -a virtio_pci virtio_console

# The ports come one after the other, and the kernel shows each a moment before it lets it be opened.
# A redirection to one that is not there yet would make a file of its name, and take its place.
await() { until [ -c /dev/vport0p$1 ] && (: >/dev/vport0p$1) 2>/dev/null; do sleep 0.02; done; }

# program PORT NAME COMMAND…
program() {
	await $1
	out=/dev/vport0p$1 name=$2
	shift 2
	mkdir -p /artifacts/$name
	cd /artifacts/$name
	# Open vSwitch 3.1 that makes its first bridge of the kernel datapath in the first ten seconds of
	# monotonic time starts no upcall handler and never forwards. (The shell prefers its own unshare.)
	GREAVE_ARTIFACTS=$PWD /usr/bin/unshare --time --monotonic=100 --boottime=100 --fork -- "$@" >$out 2>&1 </dev/null
	echo "exit $name $?" >/dev/vport0p1
}
await 1
await 2
. /guest/run

cd /artifacts
tar -cf /dev/vport0p2 .
echo end >/dev/vport0p1
poweroff -f
