package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"intray/cmd/internal/cli"
)

// print writes the status for people.
func (s status) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%s\n\n", s.At.Format(time.RFC3339))
	for _, p := range s.Parts {
		state := "up"
		if !p.Up {
			state = "OUT OF REACH  " + cli.Shorten(p.Error, 140)
		}
		fmt.Fprintf(w, "%s\t%s\n", p.Name, state)
	}
	if len(s.Lag) > 0 {
		fmt.Fprintln(w, "\nSTREAM\tCONSUMER\tWAITING\tIN HAND\tREDELIVERED\tPULLS")
		for _, c := range s.Lag {
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\n", c.Stream, c.Consumer, c.Waiting, c.InHand, c.Redelivered, c.Pulls)
		}
		fmt.Fprintln(w, "\nSTREAM\tMESSAGES\tMB\tOF MB")
		for _, m := range s.Streams {
			fmt.Fprintf(w, "%s\t%d\t%.1f\t%.0f\n", m.Name, m.Messages, float64(m.Bytes)/1e6, float64(m.MaxBytes)/1e6)
		}
	}
	if b := s.Backlog; b != nil {
		fmt.Fprintln(w, "\nWAITS\tHOW MANY\tTHE OLDEST")
		for _, row := range []struct {
			name string
			n    int64
			age  float64
			note string
		}{
			{"pending documents", b.Pending, b.OldestPending, b.OldestPendingID},
			{"to be classified", b.Unclassified, b.OldestUnclassified, ""},
			{"to be announced", b.Unannounced, b.OldestUnannounced, ""},
			{"object deletions", b.Deletions, b.OldestDeletion, ""},
			{"tries that failed lately", b.FailedTries, 0, cli.Shorten(b.FailedTry, 80)},
			{"dead letters", b.DeadLetters, 0, ""},
		} {
			age := ""
			if row.n > 0 && row.age > 0 {
				age = seconds(row.age)
			}
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\n", row.name, row.n, age, row.note)
		}
		reconciled := "never reconciled"
		if b.Reconciled != nil {
			reconciled = "reconciled " + b.Reconciled.Format(time.RFC3339)
		}
		fmt.Fprintf(w, "differences left\t%d\t\t%s\n", b.Drift, reconciled)
		if q := s.Queue; q != nil {
			age := ""
			if q.Files > 0 {
				age = seconds(q.Oldest)
			}
			fmt.Fprintf(w, "MinIO's event queue\t%d\t%s\t%d set aside\n", q.Files, age, q.Aside)
		}
	}
	if r := s.Recent; r != nil {
		fmt.Fprintf(w, "\nLAST %.0f MINUTES\tDOCUMENTS\tA MINUTE\n", r.Minutes)
		for _, name := range []string{"uploaded", "classified", "failed", "rejected", "deleted"} {
			fmt.Fprintf(w, "%s\t%d\t%.1f\n", name, r.Counts[name], float64(r.Counts[name])/r.Minutes)
		}
	}
	for i, r := range s.Replays {
		if i == 0 {
			fmt.Fprintln(w, "\nREPLAY\tTO\tSTATUS\tLEFT\tOF")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\n", cli.Printable(r.Name), r.To, r.standing(), r.Left, r.Matched)
	}
	fmt.Fprintln(w)
	for _, p := range s.Problems {
		fmt.Fprintf(w, "WRONG: %s\n", p)
	}
	if s.Fine {
		fmt.Fprintln(w, "All is well.")
	}
	return w.Flush()
}
