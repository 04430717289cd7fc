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

// replayJSON is a replay as --json tells it.
type replayJSON struct {
	Name      string          `json:"name"`
	Status    string          `json:"status"`
	Attended  bool            `json:"attended"`
	To        string          `json:"to"`
	Who       string          `json:"who"`
	Why       string          `json:"why"`
	Selection json.RawMessage `json:"selection"`
	Rate      float64         `json:"rate,omitempty"`
	Matched   int64           `json:"matched"`
	Published int64           `json:"published"`
	Applied   int64           `json:"applied"`
	Unchanged int64           `json:"unchanged"`
	Failed    int64           `json:"failed"`
	Left      int64           `json:"left"`
	Position  int64           `json:"position"`
	CreatedAt time.Time       `json:"created_at"`
	StartedAt *time.Time      `json:"started_at"`
	LastAt    *time.Time      `json:"last_at"`
	EndedAt   *time.Time      `json:"ended_at"`
}

func replayAsJSON(r postgres.Replay) replayJSON {
	return replayJSON{
		Name: r.Name, Status: r.Status, Attended: r.Attended, To: r.Target, Who: r.Who, Why: r.Why, Selection: r.Selection, Rate: r.Rate,
		Matched: r.Matched, Published: r.Published, Applied: r.Applied, Unchanged: r.Unchanged, Failed: r.Failed, Left: r.Left(),
		Position: r.Position, CreatedAt: r.CreatedAt.UTC(), StartedAt: r.StartedAt, LastAt: r.LastAt, EndedAt: r.EndedAt,
	}
}

// standing is a replay's status in words.
func standing(r postgres.Replay) string { return replayAsJSON(r).standing() }

func (r replayJSON) standing() string {
	if r.interrupted() {
		return r.Status + ", interrupted"
	}
	return r.Status
}

// interrupted says that the command of a replay has died.
func (r replayJSON) interrupted() bool {
	return r.EndedAt == nil && !r.Attended && (r.Status == postgres.ReplayRunning || r.Status == postgres.ReplayPlanning)
}

// chosen is a replay's selection for people.
func chosen(r postgres.Replay) string {
	var s replay.Selection
	if err := json.Unmarshal(r.Selection, &s); err != nil {
		return string(r.Selection)
	}
	return s.String()
}

func printReplay(w io.Writer, r postgres.Replay) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "replay\t%s\nstatus\t%s\nto\t%s\nwho\t%s\nwhy\t%s\nselection\t%s\n",
		cli.Printable(r.Name), standing(r), r.Target, cli.Printable(r.Who), cli.Printable(r.Why), cli.Printable(chosen(r)))
	if r.Rate > 0 {
		fmt.Fprintf(table, "rate\t%g a second\n", r.Rate)
	}
	fmt.Fprintf(table, "matched\t%d\n  applied\t%d\n  unchanged\t%d\n  failed\t%d\n", r.Matched, r.Applied, r.Unchanged, r.Failed)
	if left := r.Left(); left > 0 {
		word := "left"
		if r.EndedAt != nil {
			word = "not replayed"
		}
		fmt.Fprintf(table, "  %s\t%d\n", word, left)
	}
	times := []struct {
		name string
		at   *time.Time
	}{{"planned", &r.CreatedAt}, {"started", r.StartedAt}, {"last event", r.LastAt}, {"ended", r.EndedAt}}
	for _, t := range times {
		if t.at != nil {
			fmt.Fprintf(table, "%s\t%s\n", t.name, t.at.UTC().Format(time.RFC3339))
		}
	}
	return table.Flush()
}

type replayListCommand struct {
	cli.OperatorFlags
	Limit int  `default:"50" help:"At most so many."`
	JSON  bool `help:"One JSON object a line."`
}

// Help says what is read from the environment.
func (replayListCommand) Help() string { return eventsHelp }

// Run lists replays.
func (c replayListCommand) Run(ctx context.Context) error {
	if c.Limit < 1 {
		return cli.Usage(errors.New("--limit is 1 or more"))
	}
	db, err := c.OpenOwner(ctx)
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
			if err := out.Encode(replayAsJSON(r)); err != nil {
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
	fmt.Fprintln(table, "NAME\tTO\tSTATUS\tMATCHED\tAPPLIED\tUNCHANGED\tFAILED\tPLANNED\tWHO\tWHY")
	for _, r := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%s\t%s\t%s\n", cli.Printable(r.Name), r.Target, standing(r), r.Matched,
			r.Applied, r.Unchanged, r.Failed, r.CreatedAt.UTC().Format(time.RFC3339), cli.Shorten(r.Who, 30), cli.Shorten(r.Why, 60))
	}
	return table.Flush()
}

// named is a replay's name.
type named struct {
	Name string `arg:"" help:"The replay's name, which list shows."`
}

type replayStatusCommand struct {
	cli.OperatorFlags
	named
	JSON bool `help:"One JSON object."`
}

// Help says what is read from the environment.
func (replayStatusCommand) Help() string { return eventsHelp }

// Run shows one.
func (c replayStatusCommand) Run(ctx context.Context) error {
	db, err := c.OpenOwner(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	r, err := db.Replay(ctx, c.Name)
	if err != nil {
		return err
	}
	return pacing{JSON: c.JSON}.report(r)
}

type replayPauseCommand struct {
	cli.OperatorFlags
	named
}

// Help says what becomes of a paused replay.
func (replayPauseCommand) Help() string {
	return "Its command ends within a second or so; what it has published is handled still. \"resume\" goes on.\n\n" + eventsHelp
}

// Run pauses one.
func (c replayPauseCommand) Run(ctx context.Context) error {
	db, err := c.OpenOwner(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	r, err := db.Replay(ctx, c.Name)
	if err != nil {
		return err
	}
	done, err := db.TurnReplay(ctx, c.Name, postgres.ReplayPaused)
	if err != nil {
		return err
	}
	if !done {
		return fmt.Errorf("replay %s is %s", c.Name, r.Status)
	}
	fmt.Printf("Replay %s is paused.\n", c.Name)
	return nil
}

type replayResumeCommand struct {
	cli.OperatorFlags
	named
	pacing
}

// Help says where a replay goes on.
func (replayResumeCommand) Help() string {
	return "It goes on after the last event that was published, at the rate it was started with.\n\n" + eventsHelp
}

// Run goes on with one.
func (c replayResumeCommand) Run(ctx context.Context) error {
	a, closeAll, err := archive(ctx, c.OperatorFlags, false)
	if err != nil {
		return err
	}
	defer closeAll()
	if _, err := a.DB.Replay(ctx, c.Name); err != nil {
		return err
	}
	return c.run(ctx, a, c.Name)
}

type replayCancelCommand struct {
	cli.OperatorFlags
	named
}

// Help says what becomes of a canceled replay.
func (replayCancelCommand) Help() string {
	return "What it has not delivered yet never is. What it did stays done.\n\n" + eventsHelp
}

// Run cancels one.
func (c replayCancelCommand) Run(ctx context.Context) error {
	a, closeAll, err := archive(ctx, c.OperatorFlags, false)
	if err != nil {
		return err
	}
	defer closeAll()
	r, err := replay.Runner{Archive: a}.Cancel(ctx, c.Name)
	if err != nil {
		return err
	}
	return printReplay(os.Stdout, r)
}
