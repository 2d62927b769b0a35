// Package main is greave, the command line: a thin client of the agent's gRPC
// API, one file a verb. It owns how documents are read, how answers are shown
// and what exit codes mean. It must not import anything under agent.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

const defaultServer = "unix:/run/greave/greaved.sock"

// exitCodes is a help topic and the contract for scripts.
const exitCodes = `Exit codes of greave:

  0  It is done, or nothing is to be done.
  1  An error: wrong usage, a refused document, no agent, no answer. The
     message is on standard error.
  2  The host is not yet as it should be: 'plan', 'apply --validate-only' and
     'purge --dry-run' found operations to do; 'apply', 'delete', 'rollback' and
     'purge' were accepted, but the host has not all of it: --wait is over,
     or something has to come first. 'greave status' says what.
`

// errDiffers ends a command with exit code 2. All there is to say was said.
var errDiffers = errors.New("the host is not as it should be")

// app is one run of the command.
type app struct {
	stdin    io.Reader
	stdout   io.Writer
	stderr   io.Writer
	writeErr error // the first that stdout gave
	now      func() time.Time
	sys      string // where sysfs is mounted

	server  string
	timeout time.Duration
	limit   time.Duration // of the call under way
	format  string        // table, json or yaml

	doc  *document // what was sent, for the places of errors
	conn *connection
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, now: time.Now, sys: "/sys", format: "table"}
	code := a.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run executes one command line and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if a.conn != nil {
		a.conn.close()
	}
	if err == nil && a.writeErr != nil {
		err = fmt.Errorf("write output: %w", a.writeErr)
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errDiffers):
		return 2
	}
	a.report(err)
	return 1
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "greave",
		Short: "Say what overlay network this host should have, and see what it has",
		Long: `greave speaks to greaved, the agent that gives this host the bridges, tunnels,
segments, peers and ports that documents state.

Start with 'greave example tunnel', and 'greave help exit-codes' for scripts.`,
		Version:       ownVersion(),
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			switch a.format {
			case "table", "json", "yaml":
				return nil
			}
			return fmt.Errorf("-o %s: say table, json or yaml", a.format)
		},
	}
	root.SetIn(a.stdin)
	root.SetOut(writer{a})
	root.SetErr(a.stderr)
	server := os.Getenv("GREAVE_SERVER")
	if server == "" {
		server = defaultServer
	}
	root.PersistentFlags().StringVar(&a.server, "server", server, "socket of the agent, also from GREAVE_SERVER")
	root.PersistentFlags().Lookup("server").DefValue = defaultServer // help says the same everywhere
	root.PersistentFlags().DurationVar(&a.timeout, "timeout", 30*time.Second, "longest time for an answer, beside --wait")
	root.AddCommand(
		a.validateCmd(), a.planCmd(), a.applyCmd(), a.deleteCmd(),
		a.getCmd(), a.statusCmd(), a.watchCmd(),
		a.historyCmd(), a.rollbackCmd(), a.activateCmd(),
		a.mtuCmd(), a.exampleCmd(), a.purgeCmd(), a.explainCmd(), a.capabilitiesCmd(), a.versionCmd(),
		&cobra.Command{Use: "exit-codes", Short: "What the exit codes mean", Long: exitCodes},
	)
	return root
}

// addFormat gives a command -o. The formats are stable; tables are not.
func (a *app) addFormat(cmd *cobra.Command, formats string) {
	cmd.Flags().StringVarP(&a.format, "output", "o", "table", "output format: "+formats)
}
