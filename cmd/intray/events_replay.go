package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
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
  intray events replay --to confirm --since 2h --execute --reason "queue was lost"
  intray events replay --to classify --only-failed --execute --reason "AI was down" --rate 5
  intray events replay --to confirm --from-bucket --execute --reason "restored the database"

` + eventsHelp
}

// replayName is the argument that names a replay.
type replayName struct {
	Name string `arg:"" help:"The replay's name, which list shows."`
}

// replayRunFlags are the flags of the commands that publish events.
type replayRunFlags struct {
	MaxLag uint64 `default:"200" help:"Wait while more live events than these wait for the consumer."`
	JSON   bool   `help:"The report as one JSON object."`
}

// run runs a replay to its end, with its progress, and reports.
func (f replayRunFlags) run(ctx context.Context, a replay.Archive, name string) error {
	var bar replayProgress
	r, err := replay.Runner{Archive: a, MaxLag: f.MaxLag, Progress: bar.set}.Run(ctx, name)
	bar.clear()
	switch {
	case err == nil:
	case errors.Is(err, replay.ErrAttended) || errors.Is(err, replay.ErrOver):
		return err
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		fmt.Fprintf(os.Stderr, "\"intray events replay resume %s\" goes on with it\n", name)
		return err
	default:
		return fmt.Errorf("%w\n\"intray events replay resume %s\" goes on with it", err, name)
	}
	if err := showReplay(r, f.JSON); err != nil {
		return err
	}
	switch {
	case r.Status == postgres.ReplayPaused:
		return fmt.Errorf("replay %s was paused; \"intray events replay resume %s\" goes on with it",
			name, name)
	case r.Status == postgres.ReplayCanceled:
		return fmt.Errorf("replay %s was canceled", name)
	case r.Failed > 0:
		return fmt.Errorf("%d events failed; \"intray deadletters list --consumer %s\" says why",
			r.Failed, r.Target)
	}
	return nil
}

// replayProgress is the progress bar of a replay, which appears with the first event.
type replayProgress struct{ bar *cli.ProgressBar }

func (p *replayProgress) set(r postgres.Replay, waiting string) {
	if p.bar == nil {
		p.bar = cli.NewProgressBar("events replayed", r.Matched)
	}
	note := fmt.Sprintf("applied %d, unchanged %d, failed %d", r.Applied, r.Unchanged, r.Failed)
	if r.LastOutcomeAt != nil {
		note += ", last " + r.LastOutcomeAt.UTC().Format(time.TimeOnly)
	}
	if waiting != "" {
		note += ", waits for " + waiting
	}
	p.bar.Set(r.Matched-r.Remaining(), note)
}

func (p *replayProgress) clear() {
	if p.bar != nil {
		p.bar.Clear()
	}
}

// showReplay prints a replay as it stands.
func showReplay(r postgres.Replay, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(os.Stdout).Encode(replay.ReportOf(r))
	}
	return printReplay(os.Stdout, replay.ReportOf(r))
}

// printReplay writes a replay for people.
func printReplay(w io.Writer, r replay.Report) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "replay\t%s\nstatus\t%s\nto\t%s\nactor\t%s\nreason\t%s\nselection\t%s\n",
		cli.Printable(r.Name), r.State(), r.Target, cli.Printable(r.Actor), cli.Printable(r.Reason),
		cli.Printable(r.Flags()))
	if r.Rate > 0 {
		fmt.Fprintf(table, "rate\t%g a second\n", r.Rate)
	}
	fmt.Fprintf(table, "matched\t%d\n  applied\t%d\n  unchanged\t%d\n  failed\t%d\n",
		r.Matched, r.Applied, r.Unchanged, r.Failed)
	if r.Left > 0 {
		word := "left"
		if r.EndedAt != nil {
			word = "not replayed"
		}
		fmt.Fprintf(table, "  %s\t%d\n", word, r.Left)
	}
	for _, t := range []struct {
		name string
		at   *time.Time
	}{
		{"planned", &r.CreatedAt}, {"started", r.StartedAt}, {"last event", r.LastAt},
		{"ended", r.EndedAt},
	} {
		if t.at != nil {
			fmt.Fprintf(table, "%s\t%s\n", t.name, t.at.UTC().Format(time.RFC3339))
		}
	}
	return table.Flush()
}
