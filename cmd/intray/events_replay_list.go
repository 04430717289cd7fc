package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"intray/cmd/internal/cli"
	"intray/ops/replay"
)

type replayListCommand struct {
	cli.OwnerFlags
	Limit int  `default:"50" help:"Maximum number of replays."`
	JSON  bool `help:"Print one JSON object per line."`
}

// Help describes events and the exit status.
func (replayListCommand) Help() string { return eventsHelp }

// Run lists replays.
func (c replayListCommand) Run(ctx context.Context) error {
	if c.Limit < 1 {
		return cli.Usage(errors.New("--limit must be at least 1"))
	}
	db, err := c.OpenOwner()
	if err != nil {
		return err
	}
	defer db.Close()
	all, err := db.Replays(ctx, c.Limit)
	if err != nil {
		return err
	}
	if c.JSON {
		out := json.NewEncoder(os.Stdout)
		for _, r := range all {
			if err := out.Encode(replay.NewReport(r)); err != nil {
				return err
			}
		}
		return nil
	}
	if len(all) == 0 {
		fmt.Println("No replays.")
		return nil
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tTO\tSTATUS\tMATCHED\tAPPLIED\tUNCHANGED\tFAILED\t"+
		"PLANNED\tACTOR\tREASON")
	for _, r := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%s\t%s\t%s\n", cli.Printable(r.Name), r.Target,
			replay.NewReport(r).DisplayStatus(), r.Matched, r.Applied, r.Unchanged, r.Failed,
			r.CreatedAt.UTC().Format(time.RFC3339), cli.Shorten(r.Actor, 30),
			cli.Shorten(r.Reason, 60))
	}
	return table.Flush()
}
