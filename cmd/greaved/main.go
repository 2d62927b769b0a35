// Command greaved is the daemon: it makes this host what its sources state and
// keeps it so.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"regexp"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/greave-sdn/greave/agent"
)

// defaultConfig is read when it exists; --config names another, which must.
const defaultConfig = "/etc/greave/greaved.yaml"

// version is set by the linker; a plain build says what it knows of itself.
var version = ""

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "greaved:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	var flags agent.Config
	var file, level string
	c := &cobra.Command{
		Use:   "greaved",
		Short: "Make this host's bridges, tunnels and segments what was asked for, and keep them so",
		Long: `greaved makes this host's bridges, tunnels and segments what was asked for, and
keeps them so. It needs no flag where Open vSwitch runs, and does nothing until
it is told: by 'greave apply', by a controller on the same socket, or by the
documents in --file. What it built stays when it ends.

--config names a YAML file with the keys name, ovsdb, ovs-rundir, listen,
state-dir, file, group and allow-mass-removal, which mean what the flags mean. A flag overrides it.`,
		Version:       buildVersion(),
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := readConfig(file, c.Flags().Changed("config"))
			if err != nil {
				return err
			}
			if cfg, err = override(cfg, flags).Defaults(); err != nil {
				return err
			}
			log, err := logger(c.ErrOrStderr(), level)
			if err != nil {
				return err
			}
			return agent.Run(c.Context(), cfg, buildVersion(), log)
		},
	}
	f := c.Flags()
	f.StringVar(&file, "config", defaultConfig, "configuration `file`; the default one may be absent")
	f.StringVar(&flags.Name, "name", "", "`name` of this host; what greave makes is marked with it (default: the host's name)")
	f.StringVar(&flags.OVSDB, "ovsdb", "", "`socket` of ovsdb-server (default: unix:/run/openvswitch/db.sock, where it is)")
	f.StringVar(&flags.OVSRunDir, "ovs-rundir", "", "`directory` of ovs-vswitchd's management sockets (default: that of the ovsdb socket)")
	f.StringVar(&flags.Listen, "listen", "", "`socket` of the API (default: unix:/run/greave/greaved.sock)")
	f.StringVar(&flags.StateDir, "state-dir", "", "`directory` of accepted documents; one greaved each (default: /var/lib/greave)")
	f.StringVar(&flags.Files, "file", "", "watched `directory` of *.yaml, *.yml and *.json, together one document of source file (default: none)")
	f.StringVar(&flags.Group, "group", "", "`group` that may use the API, and so rules the switch; root alone where there is none of the name (default: greave)")
	f.BoolVar(&flags.AllowMassRemoval, "allow-mass-removal", false, "let a pass take away any number of objects without somebody's yes")
	f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	return c
}

// readConfig reads the configuration file strictly. The default one may be
// absent.
func readConfig(path string, stated bool) (agent.Config, error) {
	var c agent.Config
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) && !stated {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	d := yaml.NewDecoder(f)
	d.KnownFields(true)
	err = d.Decode(&c)
	var wrong *yaml.TypeError
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return c, nil
	case errors.As(err, &wrong):
		return c, fmt.Errorf("read configuration %s: %s; write KEY: TEXT, a line each, with the keys name, ovsdb, ovs-rundir, listen, state-dir, file, group and allow-mass-removal", path, plain(wrong))
	}
	return c, fmt.Errorf("read configuration %s: %w", path, err)
}

var (
	unknownKey = regexp.MustCompile(`field (.*) not found in type agent\.Config`)
	otherType  = regexp.MustCompile(`cannot unmarshal .* into \S+`)
)

// plain says what package yaml found without the names of Go types.
func plain(e *yaml.TypeError) string {
	text := strings.Join(e.Errors, "; ")
	text = unknownKey.ReplaceAllString(text, `"$1" is no key of it`)
	return otherType.ReplaceAllString(text, "another kind of value is expected")
}

// override puts what flags say over what the file says.
func override(file, flags agent.Config) agent.Config {
	pick := func(dst *string, v string) {
		if v != "" {
			*dst = v
		}
	}
	pick(&file.Name, flags.Name)
	pick(&file.OVSDB, flags.OVSDB)
	pick(&file.OVSRunDir, flags.OVSRunDir)
	pick(&file.Listen, flags.Listen)
	pick(&file.StateDir, flags.StateDir)
	pick(&file.Files, flags.Files)
	pick(&file.Group, flags.Group)
	file.AllowMassRemoval = file.AllowMassRemoval || flags.AllowMassRemoval
	return file
}

func logger(w io.Writer, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level %q: say debug, info, warn or error", level)
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: l})), nil
}

func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
