package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"intray/cmd/internal/cli"
	"intray/ops/replay"
	"intray/ops/story"
)

type eventsShowCommand struct {
	cli.OperatorFlags
	Document string `arg:"" help:"Id of the document."`
	JSON     bool   `help:"Print one JSON object."`
}

// Help describes what the history contains.
func (eventsShowCommand) Help() string {
	return `Shows the stored history of one document in chronological order: upload URLs, the events
of its object, each status with its reason, failed and postponed attempts, dead letters, replays,
and the deletion of its object. Events are stored for 30 days. Failed attempts are deleted with
the document.

` + eventsHelp
}

// Run shows the history of the document.
func (c eventsShowCommand) Run(ctx context.Context) error {
	id, err := documentID(c.Document)
	if err != nil {
		return err
	}
	return withArchive(ctx, c.OperatorFlags, cli.AuditFlags{}, false, func(a replay.Archive) error {
		s, err := story.Assemble(ctx, a, id)
		if err != nil {
			return err
		}
		if len(s.Entries) == 0 {
			return fmt.Errorf("nothing is stored about document %s", id)
		}
		if c.JSON {
			return json.NewEncoder(os.Stdout).Encode(s)
		}
		return printStory(os.Stdout, s)
	})
}

// printStory writes the history of a document as text.
func printStory(w io.Writer, s story.Story) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "document\t%s\nstatus\t%s\n", s.ID, strings.TrimSpace(s.Status+" "+s.Reason))
	if s.Email != "" {
		fmt.Fprintf(table, "user\t%s\n", cli.Printable(s.Email))
	}
	if s.Filename != "" {
		fmt.Fprintf(table, "file\t%s, %d bytes\n", cli.Printable(s.Filename), s.Size)
	}
	if s.DetectedType != "" {
		fmt.Fprintf(table, "detected type\t%s, which differs from the declared type\n",
			cli.Printable(s.DetectedType))
	}
	fmt.Fprintf(table, "object\t%s\n", cli.Printable(s.ObjectKey))
	if s.Unpublished != nil {
		fmt.Fprintf(table, "unpublished\tsince %s\n", s.Unpublished.UTC().Format(time.RFC3339Nano))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, e := range s.Entries {
		source := ""
		if e.Stream != "" {
			source = fmt.Sprintf("%s %d", e.Stream, e.Sequence)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", e.At.Format("2006-01-02T15:04:05.000000Z"),
			cli.Printable(e.What), source, cli.Printable(e.Detail))
	}
	return table.Flush()
}
