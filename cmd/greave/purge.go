package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/durationpb"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

func (a *app) purgeCmd() *cobra.Command {
	var yes, dryRun bool
	var w waiting
	cmd := &cobra.Command{
		Use:   "purge",
		Short: "Remove all that greave made on this host",
		Long: `Shows what bears greave's mark on this host, what it adopted included, asks, and
removes it; all sources state nothing afterwards, and their histories stay. What
others made stays. --dry-run only shows it, with the exit code of 'greave plan'.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.purge(cmd.Context(), yes, dryRun, w) },
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what would be removed, change nothing")
	cmd.Flags().DurationVar(&w.wait, "wait", purgeWait, "longest time to wait until all is gone")
	cmd.MarkFlagsMutuallyExclusive("yes", "dry-run")
	a.addFormat(cmd, "table, json or yaml")
	return cmd
}

// purgeWait is the API's default.
const purgeWait = 30 * time.Second

func (a *app) purge(ctx context.Context, yes, dryRun bool, w waiting) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	call := func(req *greavev1.PurgeRequest, wait time.Duration) (*greavev1.PurgeResponse, error) {
		ctx, cancel := a.deadline(ctx, wait)
		defer cancel()
		return c.config.Purge(ctx, req)
	}
	preview, err := call(&greavev1.PurgeRequest{DryRun: true}, 0)
	if err != nil {
		return err
	}
	if dryRun {
		if done, err := a.emit(preview); err != nil {
			return err
		} else if !done {
			a.printPlan(preview.GetPlan())
		}
		return differs(preview.GetPlan())
	}
	question := "Remove all of this, and have every source state nothing?"
	if differs(preview.GetPlan()) == nil {
		question = "Nothing of greave's is on this host. Have every source state nothing?"
	} else if a.format == "table" {
		a.printPlan(preview.GetPlan())
	}
	if !yes {
		if agreed, err := a.ask(question); err != nil {
			return err
		} else if !agreed {
			return errors.New("nothing was changed")
		}
	}
	// Sources are emptied even when the host has nothing of theirs yet.
	resp, err := call(&greavev1.PurgeRequest{Confirm: true, Wait: durationpb.New(w.wait)}, w.wait)
	if err != nil {
		return err
	}
	if _, err := a.emit(resp); err != nil {
		return err
	}
	return a.conclude("purge", resp, w)
}

// ask puts a question to the person at the terminal; there must be one.
func (a *app) ask(question string) (bool, error) {
	in, ok := a.stdin.(*os.File)
	if ok {
		_, err := unix.IoctlGetTermios(int(in.Fd()), unix.TCGETS)
		ok = err == nil
	}
	if !ok {
		return false, errors.New("nobody to ask: standard input is no terminal; say --yes to remove all of this")
	}
	a.warnf("%s [y/N] ", question)
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil {
		return false, fmt.Errorf("read answer: %w", err)
	}
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes", nil
}
