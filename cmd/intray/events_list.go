package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"

	"intray/cmd/internal/cli"
	"intray/ops/replay"
	"intray/schema"
)

type eventsListCommand struct {
	cli.OperatorFlags
	eventFlags
	Until  timeFlag `aliases:"to" placeholder:"TIME" help:"Only events stored at or before this time. Alias: --to."`
	Stream string   `enum:"all,bucket,documents" default:"all" help:"Stream to read: bucket, documents or all."`
	Limit  int      `placeholder:"N" help:"Maximum number of events; 0 means no limit."`
	Follow bool     `short:"f" help:"Continue with new events until interrupted."`
	JSON   bool     `help:"Print one JSON object per line."`
}

// Help describes the defaults, the columns and the exit status.
func (eventsListCommand) Help() string {
	return `Without --since, --seq or --document the command lists the events of the last hour.
STATUS NOW is the current status of the document. It is "gone" or "unknown" if the database no
longer has the document, or never had it.

  intray events list --since 2h --user alice@example.org
  intray events list --kind failed --since 24h --json | jq .document_id
  intray events list --follow

` + eventsHelp
}

// streams returns the streams that the flag selects.
func (c eventsListCommand) streams() []string {
	switch c.Stream {
	case "bucket":
		return []string{schema.StreamBucket}
	case "documents":
		return []string{schema.StreamDocuments}
	default:
		return []string{schema.StreamBucket, schema.StreamDocuments}
	}
}

// Run lists events.
func (c eventsListCommand) Run(ctx context.Context) error {
	s, err := c.selection()
	if err != nil {
		return err
	}
	return withArchive(ctx, c.OperatorFlags, cli.AuditFlags{}, false, func(a replay.Archive) error {
		if err := findOwner(ctx, a.DB, &s); err != nil {
			return err
		}
		if c.Follow {
			err := c.print(a.Follow(ctx, c.streams(), s))
			if ctx.Err() != nil {
				return nil // an interrupt is the normal end of --follow
			}
			return err
		}
		return c.print(a.List(ctx, c.streams(), s))
	})
}

// selection returns the selection of the flags.
func (c eventsListCommand) selection() (replay.Selection, error) {
	if c.Limit < 0 {
		return replay.Selection{}, cli.Usage(errors.New("--limit must not be negative"))
	}
	s, err := c.eventFlags.selection(c.Until)
	if err != nil {
		return s, err
	}
	if err := s.Validate(""); err != nil {
		return s, cli.Usage(err)
	}
	if c.Follow && (!s.To.IsZero() || s.LastSequence > 0) {
		return s, cli.Usage(errors.New("--follow cannot be combined with --until," +
			" or with a --seq that has a last sequence"))
	}
	switch {
	case !s.From.IsZero() || s.FirstSequence > 0:
	case s.Document != uuid.Nil:
		s.From = replay.CreationTime(s.Document)
	default:
		s.From = time.Now().Add(-time.Hour).UTC()
	}
	return s, nil
}

// print prints at most --limit events.
func (c eventsListCommand) print(events iter.Seq2[replay.Event, error]) error {
	show := c.printer(os.Stdout)
	n := 0
	for e, err := range events {
		if err != nil {
			return err
		}
		if err := show(e); err != nil {
			return err
		}
		if n++; n == c.Limit {
			return nil
		}
	}
	if n == 0 && !c.JSON {
		fmt.Println("No events.")
	}
	return nil
}

// printer returns a function that writes one event as a line of a table, or of JSON.
func (c eventsListCommand) printer(w io.Writer) func(replay.Event) error {
	if c.JSON {
		out := json.NewEncoder(w)
		return func(e replay.Event) error { return out.Encode(e) }
	}
	// The columns have fixed widths, because later events are not known yet.
	const row = "%-24s  %-9s  %8v  %-11s  %-36s  %-22s  %s\n"
	started := false
	return func(e replay.Event) error {
		if !started {
			started = true
			_, err := fmt.Fprintf(w, row,
				"TIME", "STREAM", "SEQUENCE", "KIND", "DOCUMENT", "STATUS NOW", "USER")
			if err != nil {
				return err
			}
		}
		document := strings.Join(e.Keys, " ")
		if e.Document != nil {
			document = e.Document.String()
		}
		note := e.Email
		if e.RetryOf != "" {
			note += " (retry of " + e.RetryOf + ")"
		}
		_, err := fmt.Fprintf(w, row, e.Time.Format("2006-01-02T15:04:05.000Z"), e.Stream, e.Sequence,
			cli.Printable(e.Kind), cli.Shorten(document, 60), e.Status, cli.Printable(note))
		return err
	}
}
