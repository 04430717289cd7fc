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

type replayCommand struct {
	Start  replayStartCommand  `cmd:"" default:"withargs" help:"Say what a replay would do, and with --execute do it. \"start\" may be left out."`
	List   replayListCommand   `cmd:"" help:"List replays, the newest first."`
	Status replayStatusCommand `cmd:"" help:"Show one replay."`
	Pause  replayPauseCommand  `cmd:"" help:"Stop one for now."`
	Resume replayResumeCommand `cmd:"" help:"Go on with one that was paused, or whose command died."`
	Cancel replayCancelCommand `cmd:"" help:"Stop one for good."`
}

// pacing are the flags of what publishes events.
type pacing struct {
	MaxLag uint64 `default:"200" help:"Wait while more live events than these wait for the consumer."`
	JSON   bool   `help:"The report as one JSON object."`
}

type replayStartCommand struct {
	cli.OperatorFlags
	eventFlags
	Until      since   `placeholder:"WHEN" help:"Only those stored until then; default: now."`
	To         string  `placeholder:"CONSUMER" help:"The consumer to run again: confirm (events of the bucket) or classify (events of documents). No other one sees it."`
	OnlyFailed bool    `help:"Only what the consumer did not manage: its dead letters, and documents that are still pending or expired (confirm) or failed (classify)."`
	FromBucket bool    `help:"Not events that were, but one made for each object in the bucket. --since and --until are then when it was stored."`
	Execute    bool    `help:"Do it."`
	Name       string  `help:"What to call it; default: the consumer and the time."`
	Why        string  `placeholder:"TEXT" help:"Why it is done; kept with it. Needed with --execute."`
	Who        string  `help:"Who does it; default: the user and host."`
	Rate       float64 `help:"At most so many events a second; default: as fast as live events allow."`
	pacing
}

const replayHelp = `A replay gives events of the past to one consumer once more, through a stream of its own (REPLAY). It is safe at any
time: each consumer looks at the document and the object, so what was right stays as it is, and deleted documents do not
come back. "classify" classifies again, takes up documents that had failed, and keeps topics that a person set.

While it runs, events that just happened go first. The selection is fixed when it starts. If the command dies,
"resume" goes on where it was. Two replays of the same events to the same consumer at the same time are refused.
In the report each event is applied (a document changed), unchanged (nothing was to be done) or failed (it is a dead letter,
or its message was not kept); "intray consume" runs the consumers and must be up.

`

// Help gives examples.
func (replayCommand) Help() string {
	return replayHelp + `"intray events replay start --help" lists what chooses the events.

  intray events replay --to confirm --since 2h                      what would be done
  intray events replay --to confirm --since 2h --execute --why "queue was lost"
  intray events replay --to classify --only-failed --execute --why "AI was down" --rate 5
  intray events replay --to confirm --from-bucket --execute --why "restored the database"

` + eventsHelp
}

// Help gives examples.
func (replayStartCommand) Help() string { return replayCommand{}.Help() }

func (c replayStartCommand) validate() error {
	switch {
	case c.To != replay.Confirm && c.To != replay.Classify:
		return errors.New("say with --to which consumer is meant: confirm or classify (the end of the window is --until)")
	case c.Rate < 0:
		return errors.New("--rate is not negative")
	case c.Execute && strings.TrimSpace(c.Why) == "":
		return errors.New("say with --why what it is for: it is kept with the replay")
	case c.Name != "":
		return replay.ValidName(c.Name)
	}
	return nil
}

// Run plans, and with --execute starts the replay and sees it through.
func (c replayStartCommand) Run(ctx context.Context) error {
	if err := c.validate(); err != nil {
		return cli.Usage(err)
	}
	s, err := c.selection(c.To, c.Until, func(s *replay.Selection) {
		s.OnlyFailed, s.FromBucket = c.OnlyFailed, c.FromBucket
	})
	if err != nil {
		return err
	}
	a, closeAll, err := archive(ctx, c.OperatorFlags, c.FromBucket)
	if err != nil {
		return err
	}
	defer closeAll()
	if err := whose(ctx, a.DB, &s); err != nil {
		return err
	}
	var r *postgres.Replay
	if c.Execute {
		if r, err = c.replay(s); err != nil {
			return err
		}
	}
	bar := cli.NewProgressBar("events chosen", -1)
	plan, err := a.Prepare(ctx, c.To, s, c.Rate, r, func(n int64) { bar.Set(n, "") })
	bar.Clear()
	if err != nil {
		return err
	}
	if plan.Cut {
		kept := "nothing is kept any more"
		if plan.Kept != nil {
			kept = "events are kept since " + plan.Kept.Format(time.RFC3339)
		}
		fmt.Fprintf(os.Stderr, "warning: the window begins before what is kept (%s); --from-bucket makes events of what is in the bucket\n", kept)
	}
	if !c.Execute {
		if c.JSON {
			return json.NewEncoder(os.Stdout).Encode(plan)
		}
		return printPlan(os.Stdout, plan, "Would replay")
	}
	if err := a.Start(ctx, r.Name); err != nil {
		return err
	}
	if !c.JSON {
		if err := printPlan(os.Stdout, plan, "Replaying"); err != nil {
			return err
		}
		fmt.Printf("This is replay %s.\n", r.Name)
	}
	return c.run(ctx, a, r.Name)
}

// replay is what is kept of it.
func (c replayStartCommand) replay(s replay.Selection) (*postgres.Replay, error) {
	selection, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	r := &postgres.Replay{Name: c.Name, Who: c.Who, Why: c.Why, Selection: selection, Rate: c.Rate}
	if r.Name == "" {
		r.Name = c.To + "-" + time.Now().UTC().Format("20060102-150405.000")
		r.Name = strings.ReplaceAll(r.Name, ".", "-")
	}
	if r.Who == "" {
		r.Who = "unknown"
		if u, err := user.Current(); err == nil {
			r.Who = u.Username
		}
		if host, err := os.Hostname(); err == nil {
			r.Who += "@" + host
		}
	}
	return r, nil
}

func printPlan(w io.Writer, p replay.Plan, verb string) error {
	fmt.Fprintf(w, "%s %d events to %s.\n", verb, p.Matched, p.Target)
	if p.Matched == 0 {
		return nil
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "  by kind\t%s\n  by the document's status now\t%s\n  oldest\t%s\n  newest\t%s\n  takes about\t%s\n",
		tally(p.Kinds), tally(p.Statuses), p.Oldest.Format(time.RFC3339), p.Newest.Format(time.RFC3339),
		max(time.Second, time.Duration(p.Seconds*float64(time.Second))).Round(time.Second))
	if verb != "Replaying" {
		fmt.Fprintln(table, "Nothing was changed. --execute does it.")
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

// run sees a replay through, with its progress, and reports.
func (p pacing) run(ctx context.Context, a replay.Archive, name string) error {
	var bar *cli.ProgressBar
	runner := replay.Runner{Archive: a, MaxLag: p.MaxLag, Progress: func(r postgres.Replay, waiting string) {
		if bar == nil {
			bar = cli.NewProgressBar("events replayed", r.Matched)
		}
		note := fmt.Sprintf("applied %d, unchanged %d, failed %d", r.Applied, r.Unchanged, r.Failed)
		if r.LastAt != nil {
			note += ", last " + r.LastAt.UTC().Format(time.TimeOnly)
		}
		if waiting != "" {
			note += ", waits for " + waiting
		}
		bar.Set(r.Matched-r.Left(), note)
	}}
	r, err := runner.Run(ctx, name)
	if bar != nil {
		bar.Clear()
	}
	if err != nil {
		if errors.Is(err, replay.ErrAttended) || errors.Is(err, replay.ErrOver) {
			return err
		}
		if errors.Is(err, context.Canceled) && ctx.Err() != nil {
			fmt.Fprintf(os.Stderr, "\"intray events replay resume %s\" goes on with it\n", name)
			return err
		}
		return fmt.Errorf("%w\n\"intray events replay resume %s\" goes on with it", err, name)
	}
	if err := p.report(r); err != nil {
		return err
	}
	switch {
	case r.Status == postgres.ReplayPaused:
		return fmt.Errorf("replay %s was paused; \"intray events replay resume %s\" goes on with it", name, name)
	case r.Status == postgres.ReplayCanceled:
		return fmt.Errorf("replay %s was canceled", name)
	case r.Failed > 0:
		return fmt.Errorf("%d events failed; \"intray deadletters list --consumer %s\" says why", r.Failed, r.Target)
	}
	return nil
}

func (p pacing) report(r postgres.Replay) error {
	if p.JSON {
		return json.NewEncoder(os.Stdout).Encode(replayAsJSON(r))
	}
	return printReplay(os.Stdout, r)
}
