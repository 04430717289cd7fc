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
	"sync"
	"time"

	"github.com/google/uuid"

	"intray/cmd/internal/cli"
	"intray/ops/replay"
	"intray/schema"
)

type eventsListCommand struct {
	cli.OperatorFlags
	eventFlags
	Until  since  `aliases:"to" placeholder:"WHEN" help:"Only those stored until then. Also --to."`
	Stream string `enum:"all,bucket,documents" default:"all" help:"Which stream: bucket, documents or all."`
	Limit  int    `help:"At most so many; 0: all of them."`
	Follow bool   `short:"f" help:"Then wait for others, until interrupted."`
	JSON   bool   `help:"One JSON object a line."`
}

// Help says what events there are and what is read from the environment.
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
	if c.Limit < 0 {
		return cli.Usage(errors.New("--limit is not negative"))
	}
	s, err := c.selection("", c.Until, nil)
	if err != nil {
		return err
	}
	if c.Follow && (!s.To.IsZero() || s.LastSequence > 0) {
		return cli.Usage(errors.New("--follow has no end: leave out --until, and the last sequence of --seq"))
	}
	a, closeAll, err := archive(ctx, c.OperatorFlags, false)
	if err != nil {
		return err
	}
	defer closeAll()
	if err := whose(ctx, a.DB, &s); err != nil {
		return err
	}
	if s.From.IsZero() && s.FirstSequence == 0 {
		s.From = time.Now().Add(-time.Hour).UTC()
		if s.Document != uuid.Nil {
			s.From = born(s.Document)
		}
	}
	show := c.printer(os.Stdout)
	if c.Follow {
		if err := c.follow(ctx, a, s, show); !errors.Is(err, context.Canceled) || ctx.Err() == nil {
			return err
		}
		return nil // interrupting it is how it ends
	}
	n := 0
	for e, err := range byTime(c.scans(ctx, a, s)) {
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

// born is shortly before an id was made: the first 48 bits of a UUIDv7 are the time
// in milliseconds (RFC 9562). Others have no time.
func born(id uuid.UUID) time.Time {
	if id.Version() != 7 {
		return time.Time{}
	}
	seconds, nanoseconds := id.Time().UnixTime()
	return time.Unix(seconds, nanoseconds).Add(-time.Minute).UTC()
}

func (c eventsListCommand) scans(ctx context.Context, a replay.Archive, s replay.Selection) (scans []iter.Seq2[replay.Event, error]) {
	for _, stream := range c.streams() {
		scans = append(scans, a.Scan(ctx, stream, s, false))
	}
	return scans
}

// byTime merges scans, each of which is in the order of time.
func byTime(scans []iter.Seq2[replay.Event, error]) iter.Seq2[replay.Event, error] {
	return func(yield func(replay.Event, error) bool) {
		type head struct {
			event replay.Event
			next  func() (replay.Event, error, bool)
		}
		var heads []*head
		advance := func(h *head) (ok bool, err error) {
			h.event, err, ok = h.next()
			return ok, err
		}
		for _, scan := range scans {
			next, stop := iter.Pull2(scan)
			defer stop()
			h := &head{next: next}
			ok, err := advance(h)
			if err != nil {
				yield(replay.Event{}, err)
				return
			}
			if ok {
				heads = append(heads, h)
			}
		}
		for len(heads) > 0 {
			first := 0
			for i, h := range heads {
				if h.event.Time.Before(heads[first].event.Time) {
					first = i
				}
			}
			if !yield(heads[first].event, nil) {
				return
			}
			ok, err := advance(heads[first])
			if err != nil {
				yield(replay.Event{}, err)
				return
			}
			if !ok {
				heads = append(heads[:first], heads[first+1:]...)
			}
		}
	}
}

// follow prints what is there, by time, then what comes.
func (c eventsListCommand) follow(ctx context.Context, a replay.Archive, s replay.Selection, show func(replay.Event) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var before []iter.Seq2[replay.Event, error]
	after := make(map[string]replay.Selection)
	for _, stream := range c.streams() {
		state, err := a.Conn.State(ctx, stream)
		if err != nil {
			return err
		}
		old := s
		if old.LastSequence = state.LastSequence; state.LastSequence >= max(1, s.FirstSequence) {
			before = append(before, a.Scan(ctx, stream, old, false))
		}
		s.FirstSequence = max(s.FirstSequence, state.LastSequence+1)
		after[stream] = s
		s.FirstSequence = old.FirstSequence
	}
	n := 0
	for e, err := range byTime(before) {
		if err == nil {
			err = show(e)
		}
		if n++; err != nil || n == c.Limit {
			return err
		}
	}
	var one sync.Mutex
	var all sync.WaitGroup
	for stream, s := range after {
		all.Go(func() {
			for e, err := range a.Scan(ctx, stream, s, true) {
				one.Lock()
				if err == nil && ctx.Err() == nil {
					err = show(e)
					n++
				}
				if err != nil || (c.Limit > 0 && n >= c.Limit) {
					cancel(err)
				}
				one.Unlock()
			}
		})
	}
	all.Wait()
	if n == c.Limit && c.Limit > 0 {
		return nil
	}
	return context.Cause(ctx)
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
			if _, err := fmt.Fprintf(w, row, "TIME", "STREAM", "SEQUENCE", "KIND", "DOCUMENT", "STATUS NOW", "USER"); err != nil {
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
		_, err := fmt.Fprintf(w, row, e.Time.Format("2006-01-02T15:04:05.000Z"), e.Stream, e.Sequence, cli.Printable(e.Kind), cli.Shorten(document, 60), e.Status, cli.Printable(note))
		return err
	}
}
