package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"intray/cmd/internal/cli"
	"intray/infra/nats"
	"intray/infra/postgres"
	"intray/ops/replay"
	"intray/schema"
)

type eventsShowCommand struct {
	cli.OperatorFlags
	Document string `arg:"" help:"The document's id."`
	JSON     bool   `help:"One JSON object."`
}

// Help says what is told and what is read from the environment.
func (eventsShowCommand) Help() string {
	return `Everything that is known of one document, in order: what the bucket told of its object, each status that it
came to and why, each try that failed and what it waits for, tries that were given up (dead letters), replays that took
it up again, and what became of the deletion of its object. What is older than the streams keep (30 days) is not there
any more; failed tries go with the document.

` + eventsHelp
}

// storyLine is one thing that happened.
type storyLine struct {
	At       time.Time `json:"at"`
	What     string    `json:"what"`
	Detail   string    `json:"detail,omitempty"`
	Stream   string    `json:"stream,omitempty"`
	Sequence uint64    `json:"sequence,omitempty"`
}

// story is what is known of a document.
type story struct {
	ID uuid.UUID `json:"document_id"`
	// Status is the document's now; "gone" where its row has ended.
	Status    string      `json:"status"`
	Reason    string      `json:"reason,omitempty"`
	Email     string      `json:"user,omitempty"`
	Filename  string      `json:"filename,omitempty"`
	FoundType string      `json:"found_type,omitempty"` // where the declared one is wrong
	Size      int64       `json:"size"`
	ObjectKey string      `json:"object_key"`
	Version   int64       `json:"version,omitempty"`
	Waiting   *time.Time  `json:"unannounced_since,omitempty"`
	Lines     []storyLine `json:"story"`
}

func (s *story) add(at time.Time, what, detail string) {
	s.Lines = append(s.Lines, storyLine{At: at.UTC(), What: what, Detail: detail})
}

// Run tells it.
func (c eventsShowCommand) Run(ctx context.Context) error {
	id, err := uuid.Parse(c.Document)
	if err != nil {
		return cli.Usage(fmt.Errorf("%q is no document's id", c.Document))
	}
	a, closeAll, err := archive(ctx, c.OperatorFlags, false)
	if err != nil {
		return err
	}
	defer closeAll()
	s, err := tell(ctx, a, id)
	if err != nil {
		return err
	}
	if len(s.Lines) == 0 {
		return fmt.Errorf("nothing is known of a document %s", id)
	}
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(s)
	}
	return s.print()
}

// tell collects the story.
func tell(ctx context.Context, a replay.Archive, id uuid.UUID) (story, error) {
	s := story{ID: id, Status: "gone", ObjectKey: schema.ObjectKey(id)}
	d, err := a.DB.DocumentByID(ctx, id)
	switch {
	case err == nil:
		s.Status, s.Reason, s.Version, s.Waiting = string(d.Status), string(d.Reason), d.Version, d.UnpublishedAt
		s.Filename, s.Size, s.ObjectKey = d.Filename, d.Size, d.ObjectKey
		s.add(d.CreatedAt, "asked for", fmt.Sprintf("an upload URL for %q, %d bytes, %s", d.Filename, d.Size, d.ContentType))
		if d.URLIssuedAt.After(d.CreatedAt) {
			s.add(d.URLIssuedAt, "asked for again", "the same upload, another URL")
		}
		if s.FoundType, err = a.DB.FoundType(ctx, id); err != nil {
			return s, err
		}
	case schema.CodeOf(err) != schema.CodeNotFound:
		return s, err
	}
	seen := make(map[string]bool) // the messages of its events
	for _, stream := range []string{schema.StreamBucket, schema.StreamDocuments} {
		selection := replay.Selection{Document: id, From: born(id)}
		for e, err := range a.Scan(ctx, stream, selection, false) {
			if err != nil {
				return s, err
			}
			seen[fmt.Sprint(stream, ":", e.Sequence)] = true
			s.Email = cmp.Or(s.Email, e.Email)
			s.Lines = append(s.Lines, lineOf(e))
		}
	}
	if err := s.tellTries(ctx, a); err != nil {
		return s, err
	}
	if err := s.tellOutcomes(ctx, a); err != nil {
		return s, err
	}
	if err := s.tellReplays(ctx, a, seen); err != nil {
		return s, err
	}
	if err := s.tellDeadLetters(ctx, a, seen); err != nil {
		return s, err
	}
	if err := s.tellDeletion(ctx, a); err != nil {
		return s, err
	}
	slices.SortStableFunc(s.Lines, func(a, b storyLine) int { return a.At.Compare(b.At) })
	return s, nil
}

func lineOf(e replay.Event) storyLine {
	l := storyLine{At: e.Time, What: "the bucket tells: " + e.Kind, Detail: e.Subject, Stream: e.Stream, Sequence: e.Sequence}
	if e.Stream == schema.StreamDocuments {
		l.What = "became " + e.Kind
		l.Detail = fmt.Sprintf("version %d", e.Version)
		if e.At != nil {
			l.At = *e.At
			l.Detail += fmt.Sprintf(", told %s later", e.Time.Sub(*e.At).Round(time.Millisecond))
		}
		if e.Reason != "" {
			l.What += " (" + e.Reason + ")"
		}
	}
	if e.RetryOf != "" {
		l.Detail += ", a retry of " + e.RetryOf
	}
	return l
}

// tellTries adds the tries that failed before a message was given up or went well.
func (s *story) tellTries(ctx context.Context, a replay.Archive) error {
	tries, err := a.DB.Attempts(ctx, s.ID)
	for _, t := range tries {
		l := storyLine{At: t.At.UTC(), What: fmt.Sprintf("%s failed, try %d", t.Consumer, t.Number), Detail: t.Reason}
		if _, cause, ok := strings.Cut(t.Reason, s.ID.String()+": "); ok {
			l.Detail = cause // which document it is, the story has said
		}
		if t.Number == 0 {
			l.What = t.Consumer + " waits"
		}
		if !t.NextAt.IsZero() {
			l.Detail += "; again at " + t.NextAt.UTC().Format("15:04:05Z")
		}
		if t.Stream == schema.StreamReplay {
			l.Detail += " (a replay)"
		}
		s.Lines = append(s.Lines, l)
	}
	return err
}

// tellOutcomes adds what became of the document's events in the replays that chose them.
func (s *story) tellOutcomes(ctx context.Context, a replay.Archive) error {
	for _, stream := range []string{schema.StreamBucket, schema.StreamDocuments} {
		var sequences []int64
		for _, l := range s.Lines {
			if l.Stream == stream {
				sequences = append(sequences, int64(l.Sequence))
			}
		}
		state, err := a.Conn.State(ctx, stream)
		if err != nil {
			return err
		}
		replayed, err := a.DB.ReplaysOf(ctx, stream, state.Created, sequences)
		if err != nil {
			return err
		}
		for _, r := range replayed {
			s.Lines = append(s.Lines, storyLine{
				At: r.By.UTC(), What: fmt.Sprintf("replay to %s: %s", r.Target, r.Outcome), Stream: stream, Sequence: uint64(r.Position),
				Detail: fmt.Sprintf("%s, by %s: %s", r.Replay, r.Who, r.Why),
			})
		}
	}
	return nil
}

// tellReplays adds the replays that name the document, as far as the stream still
// has them: until they are done.
func (s *story) tellReplays(ctx context.Context, a replay.Archive, seen map[string]bool) error {
	for stored, err := range a.Conn.Read(ctx, nats.Range{Stream: schema.StreamReplay, From: born(s.ID)}) {
		if err != nil {
			return err
		}
		m, err := replay.Decode(stored.Data)
		if err != nil || (!slices.Contains(m.Keys, s.ObjectKey) && (m.Document == nil || *m.Document != s.ID)) {
			continue
		}
		seen[fmt.Sprint(stored.Stream, ":", stored.Sequence)] = true
		s.Lines = append(s.Lines, storyLine{At: stored.Time, What: "replayed", Detail: stored.Subject, Stream: stored.Stream, Sequence: stored.Sequence})
	}
	return nil
}

func (s *story) tellDeadLetters(ctx context.Context, a replay.Archive, seen map[string]bool) error {
	id := []byte(s.ID.String())
	return eachLetter(ctx, a.DB, postgres.DeadLetterFilter{Since: born(s.ID)}, func(l postgres.DeadLetter) error {
		if seen[fmt.Sprint(l.Stream, ":", l.Sequence)] || bytes.Contains(l.Data, id) {
			s.Lines = append(s.Lines, storyLine{
				At: l.DeadAt.UTC(), What: fmt.Sprintf("%s gave up", l.Consumer), Stream: l.Stream, Sequence: l.Sequence,
				Detail: fmt.Sprintf("after %d tries: %s (dead letter %d)", l.Attempts, l.Reason, l.ID),
			})
		}
		return nil
	})
}

func (s *story) tellDeletion(ctx context.Context, a replay.Archive) error {
	d, deletedAt, ok, err := a.DB.DeletionOf(ctx, s.ObjectKey)
	if err != nil || !ok {
		return err
	}
	s.add(d.RequestedAt, "object given up", d.ObjectKey)
	if d.Attempts > 0 && deletedAt == nil {
		s.add(time.Now(), "object not deleted yet", fmt.Sprintf("%d attempts failed: %s; the next at %s", d.Attempts, d.LastError, d.NextAttemptAt.UTC().Format(time.RFC3339)))
	}
	if deletedAt != nil {
		s.add(*deletedAt, "object deleted", "an object put there again is deleted again")
	}
	return nil
}

func (s story) print() error {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "document\t%s\nstatus\t%s\n", s.ID, strings.TrimSpace(s.Status+" "+s.Reason))
	if s.Email != "" {
		fmt.Fprintf(table, "user\t%s\n", cli.Printable(s.Email))
	}
	if s.Filename != "" {
		fmt.Fprintf(table, "file\t%s, %d bytes\n", cli.Printable(s.Filename), s.Size)
	}
	if s.FoundType != "" {
		fmt.Fprintf(table, "content\tis %s, which is not what was declared\n", cli.Printable(s.FoundType))
	}
	fmt.Fprintf(table, "object\t%s\n", cli.Printable(s.ObjectKey))
	if s.Waiting != nil {
		fmt.Fprintf(table, "unannounced\tsince %s\n", s.Waiting.UTC().Format(time.RFC3339Nano))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Println()
	for _, l := range s.Lines {
		source := ""
		if l.Stream != "" {
			source = fmt.Sprintf("%s %d", l.Stream, l.Sequence)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", l.At.Format("2006-01-02T15:04:05.000000Z"), cli.Printable(l.What), source, cli.Printable(l.Detail))
	}
	return table.Flush()
}
