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
	Start  replayStartCommand  `cmd:"" default:"withargs" help:"Show what a replay would do, or run it with --execute. This is the default command."`
	List   replayListCommand   `cmd:"" help:"List replays, newest first."`
	Status replayStatusCommand `cmd:"" help:"Show one replay."`
	Pause  replayPauseCommand  `cmd:"" help:"Pause a replay."`
	Resume replayResumeCommand `cmd:"" help:"Resume a replay that was paused or interrupted."`
	Cancel replayCancelCommand `cmd:"" help:"Cancel a replay permanently."`
}

const replayHelp = `A replay delivers past events again to one consumer, through a stream of its
own (REPLAY). It is always safe: each consumer decides by the current state of the document and
the object, so correct documents do not change and deleted documents do not come back. Replaying
to classify classifies documents again, including failed ones, and keeps topics that were set
manually.

Live events have priority over replayed ones. The selection of events is fixed when the replay
starts. If the command dies, "resume" continues where it stopped. Two concurrent replays of the
same events to the same consumer are refused. The report counts the events that were applied (a
document changed), unchanged, or failed (dead-lettered, or no longer stored). The replay needs a
running "intray consume" with the consumer.

`

const replayExamples = `Examples:

  intray events replay --to confirm --since 2h
  intray events replay --to confirm --since 2h --execute --reason "queue was lost"
  intray events replay --to classify --only-failed --execute --reason "AI was down" --rate 5
  intray events replay --to confirm --from-bucket --execute --reason "restored the database"

`

// Help describes replays and gives examples.
func (replayCommand) Help() string {
	const flags = "\"intray events replay start --help\" lists the flags that select events.\n\n"
	return replayHelp + flags + replayExamples + eventsHelp
}

// replayName is the argument that names a replay.
type replayName struct {
	Name string `arg:"" help:"Name of the replay, as \"list\" shows it."`
}

// replayRunFlags are the flags of the commands that run a replay.
type replayRunFlags struct {
	MaxLag uint64 `default:"200" help:"Wait while more live events than this are pending for the consumer."`
	JSON   bool   `help:"Print the report as one JSON object."`
}

// run runs a replay until it ends, shows its progress and prints its report.
func (f replayRunFlags) run(ctx context.Context, a replay.Archive, name string) error {
	var bar replayProgress
	r, err := replay.Runner{Archive: a, MaxLag: f.MaxLag, Progress: bar.set}.Run(ctx, name)
	bar.clear()
	switch {
	case err == nil:
	case errors.Is(err, replay.ErrAlreadyRunning) || errors.Is(err, replay.ErrNotResumable):
		return err
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		fmt.Fprintf(os.Stderr, "To continue, run \"intray events replay resume %s\".\n", name)
		return err
	default:
		return fmt.Errorf("%w\nto continue, run \"intray events replay resume %s\"", err, name)
	}
	if err := showReplay(r, f.JSON); err != nil {
		return err
	}
	switch {
	case r.Status == postgres.ReplayPaused:
		return fmt.Errorf("replay %s was paused; to continue, run \"intray events replay resume %s\"",
			name, name)
	case r.Status == postgres.ReplayCanceled:
		return fmt.Errorf("replay %s was canceled", name)
	case r.Failed > 0:
		return fmt.Errorf("%d events failed; see \"intray deadletters list --consumer %s\"",
			r.Failed, r.Target)
	}
	return nil
}

// replayProgress is the progress bar of a replay. It is created with the first progress report.
type replayProgress struct{ bar *cli.ProgressBar }

func (p *replayProgress) set(r postgres.Replay, waitsFor string) {
	if p.bar == nil {
		p.bar = cli.NewProgressBar("events replayed", r.Matched)
	}
	note := fmt.Sprintf("applied %d, unchanged %d, failed %d", r.Applied, r.Unchanged, r.Failed)
	if r.LastOutcomeAt != nil {
		note += ", last " + r.LastOutcomeAt.UTC().Format(time.TimeOnly)
	}
	if waitsFor != "" {
		note += ", waiting for " + waitsFor
	}
	p.bar.Set(r.Matched-r.Remaining(), note)
}

func (p *replayProgress) clear() {
	if p.bar != nil {
		p.bar.Clear()
	}
}

// showReplay prints the state of a replay.
func showReplay(r postgres.Replay, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(os.Stdout).Encode(replay.NewReport(r))
	}
	return printReplay(os.Stdout, replay.NewReport(r))
}

// printReplay writes the state of a replay as text.
func printReplay(w io.Writer, r replay.Report) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "replay\t%s\nstatus\t%s\nto\t%s\nactor\t%s\nreason\t%s\nselection\t%s\n",
		cli.Printable(r.Name), r.DisplayStatus(), r.Target,
		cli.Printable(r.Actor), cli.Printable(r.Reason), cli.Printable(r.Flags()))
	if r.Rate > 0 {
		fmt.Fprintf(table, "rate\t%g per second\n", r.Rate)
	}
	fmt.Fprintf(table, "matched\t%d\n  applied\t%d\n  unchanged\t%d\n  failed\t%d\n",
		r.Matched, r.Applied, r.Unchanged, r.Failed)
	if r.Remaining > 0 {
		label := "remaining"
		if r.EndedAt != nil {
			label = "not replayed"
		}
		fmt.Fprintf(table, "  %s\t%d\n", label, r.Remaining)
	}
	for _, t := range []struct {
		name string
		at   *time.Time
	}{
		{"planned", &r.CreatedAt}, {"started", r.StartedAt}, {"last event", r.LastOutcomeAt},
		{"ended", r.EndedAt},
	} {
		if t.at != nil {
			fmt.Fprintf(table, "%s\t%s\n", t.name, t.at.UTC().Format(time.RFC3339))
		}
	}
	return table.Flush()
}
