#!/bin/sh
# Installs what tests and demo need and this machine lacks (Debian, Ubuntu). The Open vSwitch service
# is neither started nor needed: every test host runs daemons of its own.
set -eu

# A word each: what to look for, and the package that brings it.
wants='
ovs-vswitchd:openvswitch-switch
ovsdb-server:openvswitch-switch
ovs-vsctl:openvswitch-switch
ovs-ofctl:openvswitch-switch
/usr/share/openvswitch/vswitch.ovsschema:openvswitch-switch
ip:iproute2
ping:iputils-ping
tcpdump:tcpdump
ethtool:ethtool
ps:procps
strace:strace
systemd-analyze:systemd
osken-manager:python3-os-ken
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

# As long as this file exists, no package starts its service.
policy=/usr/sbin/policy-rc.d
made=
if [ ! -e $policy ]; then
	made=yes
	printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null
	$sudo chmod 755 $policy
fi
cleanup() {
	[ -z "$made" ] || $sudo rm -f $policy
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# What counts is what is there afterwards: one unreachable archive may not matter, and in a container
# a package's own set-up may well complain.
$sudo apt-get update -q || true
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing </dev/null || true
missing=$(lacking)
if [ -n "$missing" ]; then
	echo "could not install" $missing >&2
	exit 1
fi
