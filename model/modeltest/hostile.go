package modeltest

import "strings"

// Hostile are strings that have meant something else somewhere: to a shell, to ovs-vsctl and
// ovs-ofctl as option, remote, keyword, port or flow, to the kernel as a device that is always
// there, to a terminal, or to a reader.
var Hostile = []string{
	"", " ", "\n", "new\nline", "a\r", "tab\there", "nul\x00", "esc\x1b[2J", "del\x7f", "\xff\xfe", "\u202eevil", "naïve", "🚀",
	"--help", "-x", "-b", "--log-file=/tmp/x", "--", "/etc/passwd", "a/b", "../../x", ".", "..", "./x",
	"tcp:1.2.3.4:6653", "unix:x", "ssl:1.2.3.4", "ptcp:", "$(id)", "`id`", "semi;colon", "a|b", "a&b", "a>b", "*", "a b", "'", "\"", "%s", "\\",
	"LOCAL", "local", "ALL", "any", "none", "NORMAL", "flood", "IN_PORT", "controller", "TABLE", "drop", "default",
	"1", "65534", "a,actions=drop", "in_port=1", "priority=0", "reg0=1", "group:1", "#", "a#b",
	"ovs-netdev", "ovs-system", "gre0", "gretap0", "erspan0", "ip6gre0", "gre_sys", "vxlan_sys_4789", "genev_sys_6081",
	"gs-0123456789", "gs-x", "sixteen-letters!", "sixteen-letters0", strings.Repeat("a", 10<<10), "lo",
}
