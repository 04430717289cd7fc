package main

import (
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"intray/cmd/internal/cli"
	"intray/infra/postgres"
	"intray/ops/backlog"
	"intray/ops/replay"
	"intray/ops/status"
)

// printStatus writes the status as text.
func printStatus(out io.Writer, s status.Status) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%s\n\n", s.At.Format(time.RFC3339))
	printComponents(w, s.Components)
	if len(s.Consumers) > 0 {
		printStreams(w, s.Consumers, s.Streams)
	}
	if s.Backlog != nil {
		printBacklog(w, *s.Backlog)
		if s.Queue != nil {
			printQueue(w, *s.Queue)
		}
	}
	if s.Recent != nil {
		printRecent(w, *s.Recent)
	}
	printLeaders(w, s.Leaders)
	printReplays(w, s.Replays)
	fmt.Fprintln(w)
	for _, p := range s.Problems {
		fmt.Fprintf(w, "PROBLEM: %s\n", cli.Shorten(p, 300))
	}
	if s.Healthy {
		fmt.Fprintln(w, "Healthy.")
	}
	return w.Flush()
}

func printComponents(w io.Writer, components []status.Component) {
	for _, p := range components {
		state := "up"
		if !p.Up {
			state = "UNREACHABLE  " + cli.Shorten(p.Error, 140)
		}
		fmt.Fprintf(w, "%s\t%s\n", p.Name, state)
	}
}

func printStreams(w io.Writer, consumers []backlog.Consumer, streams []backlog.Stream) {
	fmt.Fprintln(w, "\nSTREAM\tCONSUMER\tPENDING\tACK PENDING\tREDELIVERED\tPULLS")
	for _, c := range consumers {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\n",
			c.Stream, c.Name, c.Pending, c.AckPending, c.Redelivered, c.Pulls)
	}
	fmt.Fprintln(w, "\nSTREAM\tMESSAGES\tMB\tMAX MB")
	for _, m := range streams {
		fmt.Fprintf(w, "%s\t%d\t%.1f\t%.0f\n",
			m.Name, m.Messages, float64(m.Bytes)/1e6, float64(m.MaxBytes)/1e6)
	}
}

func printBacklog(w io.Writer, b status.Backlog) {
	fmt.Fprintln(w, "\nBACKLOG\tCOUNT\tOLDEST")
	for _, row := range []struct {
		name   string
		n      int64
		oldest status.Seconds
		note   string
	}{
		{"pending documents", b.Pending, b.OldestPending, b.OldestPendingID},
		{"unclassified documents", b.Unclassified, b.OldestUnclassified, ""},
		{"unpublished changes", b.Unpublished, b.OldestUnpublished, ""},
		{"object deletions", b.Deletions, b.OldestDeletion, ""},
		{"recent failed attempts", b.FailedAttempts, 0, cli.Shorten(b.LastFailure, 80)},
		{"dead letters", b.DeadLetters, 0, ""},
	} {
		age := ""
		if row.n > 0 && row.oldest > 0 {
			age = row.oldest.String()
		}
		count := strconv.FormatInt(row.n, 10)
		if row.n >= postgres.BacklogLimit {
			count += "+"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", row.name, count, age, row.note)
	}
	reconciled := "never reconciled"
	if b.ReconciledAt != nil {
		reconciled = "reconciled " + b.ReconciledAt.Format(time.RFC3339)
	}
	fmt.Fprintf(w, "unrepaired differences\t%d\t\t%s\n", b.Drift, reconciled)
}

func printQueue(w io.Writer, q status.Queue) {
	age := ""
	if q.Files > 0 {
		age = q.Oldest.String()
	}
	fmt.Fprintf(w, "MinIO's event queue\t%d\t%s\t%d set aside\n", q.Files, age, q.SetAside)
}

func printRecent(w io.Writer, r status.Recent) {
	fmt.Fprintf(w, "\nLAST %.0f MINUTES\tDOCUMENTS\tPER MINUTE\n", r.Minutes)
	for _, name := range []string{"uploaded", "classified", "failed", "rejected", "deleted"} {
		fmt.Fprintf(w, "%s\t%d\t%.1f\n", name, r.Counts[name], float64(r.Counts[name])/r.Minutes)
	}
}

func printLeaders(w io.Writer, leaders []status.Leader) {
	for i, l := range leaders {
		if i == 0 {
			fmt.Fprintln(w, "\nROLE\tREPLICA\tSINCE")
		}
		replica, since := "none", ""
		if l.Holder != "" {
			replica, since = cli.Printable(l.Holder), l.Since.Format(time.RFC3339)
		}
		if l.Holder != "" && !l.Active {
			replica += " (does not answer)"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", l.Role, replica, since)
	}
}

func printReplays(w io.Writer, replays []replay.Report) {
	for i, r := range replays {
		if i == 0 {
			fmt.Fprintln(w, "\nREPLAY\tTO\tSTATUS\tREMAINING\tMATCHED")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\n",
			cli.Printable(r.Name), r.Target, r.DisplayStatus(), r.Remaining, r.Matched)
	}
}
