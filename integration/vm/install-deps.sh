#!/bin/sh
# Installs what the guest tests need and this machine lacks (Debian): QEMU, the tools that unpack a
# kernel, and what is copied into the guest. None of these packages starts a service.
set -eu

here=$(dirname "$0")
"$here/../install-deps.sh"

# A word each: what to look for, and the package that brings it.
wants='
qemu-system-x86_64:qemu-system-x86
/bin/busybox:busybox-static
depmod:kmod
dpkg-deb:dpkg
unshare:util-linux
iperf3:iperf3
'

lacking() {
	for want in $wants; do
		command -v "${want%%:*}" >/dev/null 2>&1 || [ -e "${want%%:*}" ] || echo "${want#*:}"
	done | sort -u
}

PATH=$PATH:/usr/sbin:/sbin
missing=$(lacking)
if [ -z "$missing" ]; then
	exit 0
fi
echo "installing" $missing
if ! command -v apt-get >/dev/null 2>&1; then
	echo "no apt-get here: install" $missing "by hand" >&2
	exit 1
fi
sudo=
if [ "$(id -u)" -ne 0 ]; then
	sudo=sudo
fi

# What counts is what is there afterwards: one unreachable archive may not matter.
$sudo apt-get update -q || true
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing </dev/null || true
missing=$(lacking)
if [ -n "$missing" ]; then
	echo "could not install" $missing >&2
	exit 1
fi
