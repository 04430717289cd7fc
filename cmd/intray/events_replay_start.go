package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/user"
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
	Until      moment  `placeholder:"WHEN" help:"Only those stored until then; default: now."`
	To         string  `placeholder:"CONSUMER" help:"The consumer to run again: confirm (events of the bucket) or classify (events of documents). No other one sees it."`
	OnlyFailed bool    `help:"Only what the consumer did not manage: its dead letters, and documents that are still pending or expired (confirm) or failed (classify)."`
	FromBucket bool    `help:"Not events that were, but one made for each object in the bucket. --since and --until are then when it was stored."`
	Execute    bool    `help:"Do it."`
	Name       string  `help:"What to call it; default: the consumer and the time."`
	Reason     string  `placeholder:"TEXT" help:"Why it is done; kept with it. Needed with --execute."`
	Actor      string  `help:"Who does it; default: the user and host."`
	Rate       float64 `help:"At most so many events a second; default: as fast as live events allow."`
	replayRunFlags
}

// Help gives examples.
func (replayStartCommand) Help() string { return replayCommand{}.Help() }

func (c replayStartCommand) validate() error {
	switch {
	case c.To != replay.Confirm && c.To != replay.Classify:
		return errors.New("say with --to which consumer is meant: confirm or classify" +
			" (the end of the window is --until)")
	case c.Rate < 0:
		return errors.New("--rate is not negative")
	case c.Execute && strings.TrimSpace(c.Reason) == "":
		return errors.New("say with --reason what it is for: it is kept with the replay")
	case c.Name != "":
		return replay.ValidName(c.Name)
	}
	return nil
}

// Run plans the replay, and with --execute starts it and runs it to its end.
func (c replayStartCommand) Run(ctx context.Context) error {
	s, err := c.selection()
	if err != nil {
		return cli.Usage(err)
	}
	return withArchive(ctx, c.OperatorFlags, c.FromBucket, func(a replay.Archive) error {
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
			return printPlan(os.Stdout, plan, "Would replay", "Nothing was changed. --execute does it.")
		}
		return c.execute(ctx, a, s)
	})
}

// selection returns what the flags choose.
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

// prepare plans the replay, and stores it unless r is nil.
func (c replayStartCommand) prepare(
	ctx context.Context, a replay.Archive, s replay.Selection, r *postgres.Replay,
) (replay.Plan, error) {
	bar := cli.NewProgressBar("events chosen", -1)
	plan, err := a.Prepare(ctx, c.To, s, c.Rate, r, func(n int64) { bar.Set(n, "") })
	bar.Clear()
	if err == nil && plan.Cut {
		kept := "nothing is kept any more"
		if plan.Kept != nil {
			kept = "events are kept since " + plan.Kept.Format(time.RFC3339)
		}
		fmt.Fprintf(os.Stderr, "warning: the window begins before what is kept (%s);"+
			" --from-bucket makes events of what is in the bucket\n", kept)
	}
	return plan, err
}

// execute stores the replay, starts it and runs it to its end.
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
		fmt.Printf("This is replay %s.\n", r.Name)
	}
	return c.run(ctx, a, r.Name)
}

// replay returns the row of the replay that the flags ask for.
func (c replayStartCommand) replay(s replay.Selection) (*postgres.Replay, error) {
	selection, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	r := &postgres.Replay{Name: c.Name, Actor: c.Actor, Reason: c.Reason, Selection: selection, Rate: c.Rate}
	if r.Name == "" {
		r.Name = c.To + "-" + time.Now().UTC().Format("20060102-150405.000")
		r.Name = strings.ReplaceAll(r.Name, ".", "-")
	}
	if r.Actor == "" {
		r.Actor = "unknown"
		if u, err := user.Current(); err == nil {
			r.Actor = u.Username
		}
		if host, err := os.Hostname(); err == nil {
			r.Actor += "@" + host
		}
	}
	return r, nil
}

// printPlan writes a plan for people, begun by a verb and ended by a note.
func printPlan(w io.Writer, p replay.Plan, verb, note string) error {
	fmt.Fprintf(w, "%s %d events to %s.\n", verb, p.Matched, p.Target)
	if p.Matched == 0 {
		return nil
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "  by kind\t%s\n", tally(p.Kinds))
	fmt.Fprintf(table, "  by the document's status now\t%s\n", tally(p.Statuses))
	fmt.Fprintf(table, "  oldest\t%s\n", p.Oldest.Format(time.RFC3339))
	fmt.Fprintf(table, "  newest\t%s\n", p.Newest.Format(time.RFC3339))
	estimate := max(time.Second, time.Duration(p.Seconds*float64(time.Second)))
	fmt.Fprintf(table, "  takes about\t%s\n", estimate.Round(time.Second))
	if note != "" {
		fmt.Fprintln(table, note)
	}
	return table.Flush()
}

// tally writes counts, the largest first.
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
