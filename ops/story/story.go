// Package story assembles the story of one document: everything that the database,
// the streams and the replays still have about it, in the order of time.
//
// The streams keep events for 30 days; failed attempts are deleted with the document.
package story

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"intray/infra/nats"
	"intray/infra/postgres"
	"intray/ops/deadletters"
	"intray/ops/replay"
	"intray/schema"
)

// Story is what is left of a document's history, in the form that
// `intray events show --json` prints.
type Story struct {
	ID uuid.UUID `json:"document_id"`
	// Status is the document's now; "gone" where its row has ended.
	Status       string     `json:"status"`
	Reason       string     `json:"reason,omitempty"`
	Email        string     `json:"user,omitempty"`
	Filename     string     `json:"filename,omitempty"`
	DetectedType string     `json:"detected_type,omitempty"` // where it differs from the declared one
	Size         int64      `json:"size"`
	ObjectKey    string     `json:"object_key"`
	Version      int64      `json:"version,omitempty"`
	Unpublished  *time.Time `json:"unpublished_since,omitempty"`
	Entries      []Entry    `json:"story"`
}

// Entry is one thing that happened. Stream and Sequence name the message that it
// comes from, where it comes from one.
type Entry struct {
	At       time.Time `json:"at"`
	What     string    `json:"what"`
	Detail   string    `json:"detail,omitempty"`
	Stream   string    `json:"stream,omitempty"`
	Sequence uint64    `json:"sequence,omitempty"`
}

// Assemble returns the story of a document. It has no entries if nothing is known of
// a document with the id.
func Assemble(ctx context.Context, archive replay.Archive, id uuid.UUID) (Story, error) {
	a := &assembler{
		Archive: archive, messages: make(map[message]bool),
		Story: Story{ID: id, Status: "gone", ObjectKey: schema.ObjectKey(id)},
	}
	for _, add := range []func(context.Context) error{
		a.addDocument, a.addEvents, a.addAttempts, a.addReplays, a.addReplayed, a.addDeadLetters,
		a.addDeletion,
	} {
		if err := add(ctx); err != nil {
			return a.Story, err
		}
	}
	slices.SortStableFunc(a.Entries, func(x, y Entry) int { return x.At.Compare(y.At) })
	return a.Story, nil
}

// assembler adds to the story from one source after the other.
type assembler struct {
	replay.Archive
	Story
	// messages are those about the document, by which its dead letters are found.
	messages map[message]bool
}

// message names one message of a stream.
type message struct {
	stream   string
	sequence uint64
}

var eventStreams = []string{schema.StreamBucket, schema.StreamDocuments}

func (s *Story) add(at time.Time, what, detail string) {
	s.Entries = append(s.Entries, Entry{At: at.UTC(), What: what, Detail: detail})
}

// addDocument adds the document's row, if there still is one.
func (a *assembler) addDocument(ctx context.Context) error {
	d, err := a.DB.DocumentByID(ctx, a.ID)
	if schema.CodeOf(err) == schema.CodeNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	a.Status, a.Reason, a.Version = string(d.Status), string(d.Reason), d.Version
	a.Unpublished = d.UnpublishedAt
	a.Filename, a.Size, a.ObjectKey = d.Filename, d.Size, d.ObjectKey
	a.add(d.CreatedAt, "asked for",
		fmt.Sprintf("an upload URL for %q, %d bytes, %s", d.Filename, d.Size, d.ContentType))
	if d.URLIssuedAt.After(d.CreatedAt) {
		a.add(d.URLIssuedAt, "asked for again", "the same upload, another URL")
	}
	a.DetectedType, err = a.DB.DetectedType(ctx, a.ID)
	return err
}

// addEvents adds the events of the bucket and of the document.
func (a *assembler) addEvents(ctx context.Context) error {
	selection := replay.Selection{Document: a.ID, From: replay.CreationTime(a.ID)}
	for _, stream := range eventStreams {
		for e, err := range a.Scan(ctx, stream, selection, false) {
			if err != nil {
				return err
			}
			a.messages[message{stream, e.Sequence}] = true
			a.Email = cmp.Or(a.Email, e.Email)
			a.Entries = append(a.Entries, eventEntry(e))
		}
	}
	return nil
}

func eventEntry(e replay.Event) Entry {
	entry := Entry{
		At: e.Time, What: "the bucket tells: " + e.Kind, Detail: e.Subject,
		Stream: e.Stream, Sequence: e.Sequence,
	}
	if e.Stream == schema.StreamDocuments {
		entry.What = "became " + e.Kind
		entry.Detail = fmt.Sprintf("version %d", e.Version)
		if e.At != nil {
			entry.At = *e.At
			entry.Detail += fmt.Sprintf(", told %s later", e.Time.Sub(*e.At).Round(time.Millisecond))
		}
		if e.Reason != "" {
			entry.What += " (" + e.Reason + ")"
		}
	}
	if e.RetryOf != "" {
		entry.Detail += ", a retry of " + e.RetryOf
	}
	return entry
}

// addAttempts adds the failed attempts at the document's messages.
func (a *assembler) addAttempts(ctx context.Context) error {
	attempts, err := a.DB.Attempts(ctx, a.ID)
	for _, t := range attempts {
		a.Entries = append(a.Entries, attemptEntry(t, a.ID))
	}
	return err
}

func attemptEntry(t postgres.Attempt, document uuid.UUID) Entry {
	entry := Entry{
		At: t.At.UTC(), What: fmt.Sprintf("%s failed, try %d", t.Consumer, t.Number), Detail: t.Reason,
	}
	if _, cause, ok := strings.Cut(t.Reason, document.String()+": "); ok {
		entry.Detail = cause // the story is about this document alone
	}
	if t.Number == 0 {
		entry.What = t.Consumer + " waits"
	}
	if !t.NextAt.IsZero() {
		entry.Detail += "; again at " + t.NextAt.UTC().Format("15:04:05Z")
	}
	if t.Stream == schema.StreamReplay {
		entry.Detail += " (a replay)"
	}
	return entry
}

// addReplays adds the replays that chose the document's events, with their outcomes.
func (a *assembler) addReplays(ctx context.Context) error {
	for _, stream := range eventStreams {
		var sequences []int64
		for _, e := range a.Entries {
			if e.Stream == stream {
				sequences = append(sequences, int64(e.Sequence))
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
			a.Entries = append(a.Entries, Entry{
				At: r.At.UTC(), What: fmt.Sprintf("replay to %s: %s", r.Target, r.Outcome),
				Stream: stream, Sequence: uint64(r.Position),
				Detail: fmt.Sprintf("%s, by %s: %s", r.Replay, r.Actor, r.Reason),
			})
		}
	}
	return nil
}

// addReplayed adds the replayed messages about the document that the stream still
// has; they are purged once they are handled.
func (a *assembler) addReplayed(ctx context.Context) error {
	stretch := nats.Range{Stream: schema.StreamReplay, From: replay.CreationTime(a.ID)}
	for stored, err := range a.Conn.Read(ctx, stretch) {
		if err != nil {
			return err
		}
		m, err := replay.Decode(stored.Data)
		if err != nil || !a.concerns(m) {
			continue
		}
		a.messages[message{stored.Stream, stored.Sequence}] = true
		a.Entries = append(a.Entries, Entry{
			At: stored.Time, What: "replayed", Detail: stored.Subject,
			Stream: stored.Stream, Sequence: stored.Sequence,
		})
	}
	return nil
}

// concerns reports whether a replayed message is about the document.
func (a *assembler) concerns(m replay.Message) bool {
	return slices.Contains(m.Keys, a.ObjectKey) || (m.Document != nil && *m.Document == a.ID)
}

// addDeadLetters adds the dead letters of the document's messages, and those that
// name the document.
func (a *assembler) addDeadLetters(ctx context.Context) error {
	id := []byte(a.ID.String())
	filter := postgres.DeadLetterFilter{Since: replay.CreationTime(a.ID)}
	for l, err := range deadletters.List(ctx, a.DB, filter) {
		if err != nil {
			return err
		}
		if a.messages[message{l.Stream, l.Sequence}] || bytes.Contains(l.Data, id) {
			a.Entries = append(a.Entries, Entry{
				At: l.DeadAt.UTC(), What: l.Consumer + " gave up", Stream: l.Stream, Sequence: l.Sequence,
				Detail: fmt.Sprintf("after %d tries: %s (dead letter %d)", l.Attempts, l.Reason, l.ID),
			})
		}
	}
	return nil
}

// addDeletion adds the deletion of the document's object.
func (a *assembler) addDeletion(ctx context.Context) error {
	d, deletedAt, ok, err := a.DB.Deletion(ctx, a.ObjectKey)
	if err != nil || !ok {
		return err
	}
	a.add(d.RequestedAt, "object given up", d.ObjectKey)
	if d.Attempts > 0 && deletedAt == nil {
		a.add(time.Now(), "object not deleted yet", fmt.Sprintf("%d attempts failed: %s; the next at %s",
			d.Attempts, d.LastError, d.NextAttemptAt.UTC().Format(time.RFC3339)))
	}
	if deletedAt != nil {
		a.add(*deletedAt, "object deleted", "an object put there again is deleted again")
	}
	return nil
}
