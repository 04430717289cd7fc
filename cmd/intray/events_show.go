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
	Document string `arg:"" help:"The document's id."`
	JSON     bool   `help:"One JSON object."`
}

// Help describes a story and the environment.
func (eventsShowCommand) Help() string {
	return `Everything that is known of one document, in order: what the bucket told of its object, each status that it
came to and why, each try that failed and what it waits for, tries that were given up (dead letters), replays that took
it up again, and what became of the deletion of its object. What is older than the streams keep (30 days) is not there
any more; failed tries go with the document.

` + eventsHelp
}

// Run shows it.
func (c eventsShowCommand) Run(ctx context.Context) error {
	id, err := documentID(c.Document)
	if err != nil {
		return err
	}
	return withArchive(ctx, c.OperatorFlags, false, func(a replay.Archive) error {
		s, err := story.Assemble(ctx, a, id)
		if err != nil {
			return err
		}
		if len(s.Entries) == 0 {
			return fmt.Errorf("nothing is known of a document %s", id)
		}
		if c.JSON {
			return json.NewEncoder(os.Stdout).Encode(s)
		}
		return printStory(os.Stdout, s)
	})
}

// printStory writes the story for people.
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
		fmt.Fprintf(table, "content\tis %s, which is not what was declared\n",
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
