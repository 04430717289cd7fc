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
	Until  moment `aliases:"to" placeholder:"WHEN" help:"Only those stored until then. Also --to."`
	Stream string `enum:"all,bucket,documents" default:"all" help:"Which stream: bucket, documents or all."`
	Limit  int    `help:"At most so many; 0: all of them."`
	Follow bool   `short:"f" help:"Then wait for others, until interrupted."`
	JSON   bool   `help:"One JSON object a line."`
}

// Help says what events there are and what the exit status means.
func (eventsListCommand) Help() string {
	return `Without --since, --seq or --document: those of the last hour. The status is the document's as it is
now: "gone" where it has ended, "unknown" where the database never had it.

  intray events list --since 2h --user alice@example.org
  intray events list --kind failed --since 24h --json | jq .document_id
  intray events list --follow

` + eventsHelp
}

// streams are those that the command names.
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

// Run lists them.
func (c eventsListCommand) Run(ctx context.Context) error {
	s, err := c.selection()
	if err != nil {
		return err
	}
	return withArchive(ctx, c.OperatorFlags, false, func(a replay.Archive) error {
		if err := findOwner(ctx, a.DB, &s); err != nil {
			return err
		}
		if c.Follow {
			err := c.print(a.Follow(ctx, c.streams(), s))
			if ctx.Err() != nil {
				return nil // to interrupt it is how it ends
			}
			return err
		}
		return c.print(a.List(ctx, c.streams(), s))
	})
}

// selection returns what the flags choose.
func (c eventsListCommand) selection() (replay.Selection, error) {
	if c.Limit < 0 {
		return replay.Selection{}, cli.Usage(errors.New("--limit is not negative"))
	}
	s, err := c.eventFlags.selection(c.Until)
	if err != nil {
		return s, err
	}
	if err := s.Validate(""); err != nil {
		return s, cli.Usage(err)
	}
	if c.Follow && (!s.To.IsZero() || s.LastSequence > 0) {
		return s, cli.Usage(errors.New("--follow has no end:" +
			" leave out --until, and the last sequence of --seq"))
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

// print prints events, --limit at most.
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

// printer writes events as lines of a table, or of JSON.
func (c eventsListCommand) printer(w io.Writer) func(replay.Event) error {
	if c.JSON {
		out := json.NewEncoder(w)
		return func(e replay.Event) error { return out.Encode(e) }
	}
	// Columns of a fixed width: what follows is not known yet.
	const row = "%-24s  %-9s  %8v  %-11s  %-36s  %-22s  %s\n"
	begun := false
	return func(e replay.Event) error {
		if !begun {
			begun = true
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
