package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"intray/cmd/internal/cli"
	"intray/infra/postgres"
	"intray/ops/replay"
)

type replayStartCommand struct {
	cli.OperatorFlags
	eventFlags
	Until      timeFlag `placeholder:"TIME" help:"Only events stored at or before this time. Default: now."`
	To         string   `placeholder:"CONSUMER" help:"Consumer that the events are replayed to: confirm (events of the bucket) or classify (events of documents). Other consumers do not receive them."`
	OnlyFailed bool     `help:"Only events that the consumer failed to handle: its dead letters, and events of documents that are pending or expired (confirm) or failed (classify)."`
	FromBucket bool     `help:"Instead of stored events, replay an event generated for each object in the bucket. --since and --until then limit the time at which the object was stored."`
	Execute    bool     `help:"Run the replay. Without this flag the command only shows what it would do."`
	Name       string   `placeholder:"NAME" help:"Name of the replay. Default: the consumer and the time."`
	Reason     string   `placeholder:"TEXT" help:"Reason for the replay, which is stored with it. Required with --execute."`
	Actor      string   `placeholder:"NAME" help:"Who starts the replay, which is stored with it. Default: USER@HOST."`
	Rate       float64  `placeholder:"N" help:"Maximum number of events per second. Default: as many as live events allow."`
	replayRunFlags
}

// Help describes replays and gives examples.
func (replayStartCommand) Help() string { return replayHelp + replayExamples + eventsHelp }

func (c replayStartCommand) validate() error {
	switch {
	case c.To != replay.Confirm && c.To != replay.Classify:
		return errors.New("--to must be a consumer, confirm or classify" +
			" (the flag for the end of the time window is --until)")
	case c.Rate < 0:
		return errors.New("--rate must not be negative")
	case c.Execute && strings.TrimSpace(c.Reason) == "":
		return errors.New("--execute requires --reason, which is stored with the replay")
	case c.Name != "":
		return replay.ValidName(c.Name)
	}
	return nil
}

// Run plans the replay. With --execute it also starts the replay and runs it until it ends.
func (c replayStartCommand) Run(ctx context.Context) error {
	s, err := c.selection()
	if err != nil {
		return cli.Usage(err)
	}
	audit := cli.AuditFlags{Actor: c.Actor, Reason: c.Reason}
	return withArchive(ctx, c.OperatorFlags, audit, c.FromBucket, func(a replay.Archive) error {
		if err := findOwner(ctx, a.DB, &s); err != nil {
			return err
		}
		if !c.Execute {
			plan, err := c.prepare(ctx, a, s, nil)
			if err != nil {
				return err
			}
			if c.JSON {
				return json.NewEncoder(os.Stdout).Encode(plan)
			}
			return printPlan(os.Stdout, plan, "Would replay",
				"Nothing was changed. Add --execute to run the replay.")
		}
		return c.execute(ctx, a, s)
	})
}

// selection returns the selection of the flags.
func (c replayStartCommand) selection() (s replay.Selection, err error) {
	if err := c.validate(); err != nil {
		return s, err
	}
	if s, err = c.eventFlags.selection(c.Until); err != nil {
		return s, err
	}
	s.OnlyFailed, s.FromBucket = c.OnlyFailed, c.FromBucket
	return s, s.Validate(c.To)
}

// prepare plans the replay, and stores it as r unless r is nil.
func (c replayStartCommand) prepare(
	ctx context.Context, a replay.Archive, s replay.Selection, r *postgres.Replay,
) (replay.Plan, error) {
	bar := cli.NewProgressBar("events selected", -1)
	plan, err := a.Prepare(ctx, c.To, s, c.Rate, r, func(n int64) { bar.Set(n, "") })
	bar.Clear()
	if err == nil && plan.Truncated {
		retained := "no events are stored"
		if plan.RetainedSince != nil {
			retained = "events are stored since " + plan.RetainedSince.Format(time.RFC3339)
		}
		fmt.Fprintf(os.Stderr, "Warning: some events of the time window are no longer stored (%s)."+
			" To replay the objects of the bucket instead, use --from-bucket.\n", retained)
	}
	return plan, err
}

// execute stores the replay, starts it and runs it until it ends.
func (c replayStartCommand) execute(
	ctx context.Context, a replay.Archive, s replay.Selection,
) error {
	r, err := c.replay(s)
	if err != nil {
		return err
	}
	plan, err := c.prepare(ctx, a, s, r)
	if err != nil {
		return err
	}
	if err := a.Start(ctx, r.Name); err != nil {
		return err
	}
	if !c.JSON {
		if err := printPlan(os.Stdout, plan, "Replaying", ""); err != nil {
			return err
		}
		fmt.Printf("Name of the replay: %s\n", r.Name)
	}
	return c.run(ctx, a, r.Name)
}

// replay returns the row of the replay that the flags describe.
func (c replayStartCommand) replay(s replay.Selection) (*postgres.Replay, error) {
	selection, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	r := &postgres.Replay{
		Name: c.Name, Actor: c.Actor, Reason: c.Reason, Selection: selection, Rate: c.Rate,
	}
	if r.Name == "" {
		r.Name = c.To + "-" + time.Now().UTC().Format("20060102-150405.000")
		r.Name = strings.ReplaceAll(r.Name, ".", "-")
	}
	r.Actor = cmp.Or(r.Actor, cli.DefaultActor())
	return r, nil
}

// printPlan writes a plan as text. The text starts with the verb and ends with the note.
func printPlan(w io.Writer, p replay.Plan, verb, note string) error {
	fmt.Fprintf(w, "%s %d events to %s.\n", verb, p.Matched, p.Target)
	if p.Matched == 0 {
		return nil
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "  by kind\t%s\n", tally(p.Kinds))
	fmt.Fprintf(table, "  by current status of the document\t%s\n", tally(p.Statuses))
	fmt.Fprintf(table, "  oldest\t%s\n", p.Oldest.Format(time.RFC3339))
	fmt.Fprintf(table, "  newest\t%s\n", p.Newest.Format(time.RFC3339))
	estimate := max(time.Second, time.Duration(p.Seconds*float64(time.Second)))
	fmt.Fprintf(table, "  estimated duration\t%s\n", estimate.Round(time.Second))
	if note != "" {
		fmt.Fprintln(table, note)
	}
	return table.Flush()
}

// tally formats counts by name, largest first.
func tally(counts map[string]int64) string {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		if counts[a] != counts[b] {
			return int(min(1, max(-1, counts[b]-counts[a])))
		}
		return strings.Compare(a, b)
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %d", cli.Printable(name), counts[name])
	}
	return strings.Join(names, ", ")
}
