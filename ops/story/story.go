// Package story assembles the history of one document from the database, the streams and the
// replays, in chronological order.
//
// The history is limited to what is still stored: the streams keep events for 30 days, and failed
// attempts are deleted with the document.
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

	"intray/consumers/classify/extract"
	"intray/infra/nats"
	"intray/infra/postgres"
	"intray/ops/deadletters"
	"intray/ops/replay"
	"intray/schema"
)

// Story is the stored history of a document, in the form in which "intray events show --json"
// prints it.
type Story struct {
	ID uuid.UUID `json:"document_id"`
	// Status is the current status, or "gone" if the database has no such document.
	Status   string `json:"status"`
	Reason   string `json:"reason,omitempty"`
	Email    string `json:"user,omitempty"`
	Filename string `json:"filename,omitempty"`
	// DetectedType is the media type of the content if it differs from the declared one.
	DetectedType string `json:"detected_type,omitempty"`
	Size         int64  `json:"size"`
	ObjectKey    string `json:"object_key"`
	Version      int64  `json:"version,omitempty"`
	// Unpublished is the time of the last change if its event is not published yet.
	Unpublished *time.Time `json:"unpublished_since,omitempty"`
	Entries     []Entry    `json:"story"`
}

// Entry is one step of the history. Stream and Sequence identify the message that it was read
// from, if it was read from one.
type Entry struct {
	At       time.Time `json:"at"`
	What     string    `json:"what"`
	Detail   string    `json:"detail,omitempty"`
	Stream   string    `json:"stream,omitempty"`
	Sequence uint64    `json:"sequence,omitempty"`
}

// Assemble returns the history of a document. It has no entries if nothing is stored about the
// document.
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

// assembler adds entries to the story from one source after another.
type assembler struct {
	replay.Archive
	Story
	// messages holds the messages about the document, to find their dead letters.
	messages map[message]bool
}

// message identifies a message of a stream.
type message struct {
	stream   string
	sequence uint64
}

var eventStreams = []string{schema.StreamBucket, schema.StreamDocuments}

func (s *Story) add(at time.Time, what, detail string) {
	s.Entries = append(s.Entries, Entry{At: at.UTC(), What: what, Detail: detail})
}

// addDocument adds the row of the document, if there is one.
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
	a.add(d.CreatedAt, "upload URL issued",
		fmt.Sprintf("%q, %d bytes, %s", d.Filename, d.Size, d.ContentType))
	if d.URLIssuedAt.After(d.CreatedAt) {
		a.add(d.URLIssuedAt, "upload URL issued again", "for the same upload")
	}
	if t := d.DetectedType; t != nil && extract.TypesDiffer(d.ContentType, *t) {
		a.DetectedType = *t
	}
	return nil
}

// addEvents adds the events of the document and of its object.
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
		At: e.Time, What: "bucket event: " + e.Kind, Detail: e.Subject,
		Stream: e.Stream, Sequence: e.Sequence,
	}
	if e.Stream == schema.StreamDocuments {
		entry.What = "became " + e.Kind
		entry.Detail = fmt.Sprintf("version %d", e.Version)
		if e.At != nil {
			entry.At = *e.At
			delay := e.Time.Sub(*e.At).Round(time.Millisecond)
			entry.Detail += fmt.Sprintf(", published after %s", delay)
		}
		if e.Reason != "" {
			entry.What += " (" + e.Reason + ")"
		}
	}
	if e.RetryOf != "" {
		entry.Detail += ", retry of " + e.RetryOf
	}
	return entry
}

// addAttempts adds the failed attempts to handle messages about the document.
func (a *assembler) addAttempts(ctx context.Context) error {
	attempts, err := a.DB.Attempts(ctx, a.ID)
	for _, attempt := range attempts {
		a.Entries = append(a.Entries, attemptEntry(attempt, a.ID))
	}
	return err
}

func attemptEntry(attempt postgres.Attempt, document uuid.UUID) Entry {
	entry := Entry{
		At:     attempt.At.UTC(),
		What:   fmt.Sprintf("%s: attempt %d failed", attempt.Consumer, attempt.Number),
		Detail: attempt.Reason,
	}
	if _, cause, ok := strings.Cut(attempt.Reason, document.String()+": "); ok {
		entry.Detail = cause // the reader already knows the id of the document
	}
	if attempt.Number == 0 {
		entry.What = attempt.Consumer + ": postponed"
	}
	if !attempt.NextAt.IsZero() {
		entry.Detail += "; next attempt at " + attempt.NextAt.UTC().Format("15:04:05Z")
	}
	if attempt.Stream == schema.StreamReplay {
		entry.Detail += " (replay)"
	}
	return entry
}

// addReplays adds the replays that selected events of the document, with the outcomes.
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
				Detail: fmt.Sprintf("replay %s by %s: %s", r.Replay, r.Actor, r.Reason),
			})
		}
	}
	return nil
}

// addReplayed adds the messages about the document that the REPLAY stream stores. They are purged
// from the stream once they have been handled.
func (a *assembler) addReplayed(ctx context.Context) error {
	messages := nats.Range{Stream: schema.StreamReplay, From: replay.CreationTime(a.ID)}
	for stored, err := range a.Conn.Read(ctx, messages) {
		if err != nil {
			return err
		}
		m, err := replay.Decode(stored.Data)
		if err != nil || !a.concerns(m) {
			continue
		}
		a.messages[message{stored.Stream, stored.Sequence}] = true
		a.Entries = append(a.Entries, Entry{
			At: stored.Time, What: "replay published", Detail: stored.Subject,
			Stream: stored.Stream, Sequence: stored.Sequence,
		})
	}
	return nil
}

// concerns reports whether a replayed message is about the document.
func (a *assembler) concerns(m replay.Message) bool {
	return slices.Contains(m.Keys, a.ObjectKey) || (m.Document != nil && *m.Document == a.ID)
}

// addDeadLetters adds the dead letters of messages about the document, and those whose data
// contains the document's id.
func (a *assembler) addDeadLetters(ctx context.Context) error {
	id := []byte(a.ID.String())
	filter := postgres.DeadLetterFilter{Since: replay.CreationTime(a.ID)}
	for l, err := range deadletters.List(ctx, a.DB, filter) {
		if err != nil {
			return err
		}
		if a.messages[message{l.Stream, l.Sequence}] || bytes.Contains(l.Data, id) {
			a.Entries = append(a.Entries, Entry{
				At: l.DeadAt.UTC(), What: l.Consumer + ": dead-lettered",
				Detail: fmt.Sprintf("dead letter %d after %d attempts: %s", l.ID, l.Attempts, l.Reason),
				Stream: l.Stream, Sequence: l.Sequence,
			})
		}
	}
	return nil
}

// addDeletion adds the steps of the deletion of the document's object.
func (a *assembler) addDeletion(ctx context.Context) error {
	d, deletedAt, ok, err := a.DB.Deletion(ctx, a.ObjectKey)
	if err != nil || !ok {
		return err
	}
	a.add(d.RequestedAt, "object marked for deletion", d.ObjectKey)
	if d.Attempts > 0 && deletedAt == nil {
		a.add(time.Now(), "object not deleted yet",
			fmt.Sprintf("%d attempts failed, the last with: %s; next attempt at %s",
				d.Attempts, d.LastError, d.NextAttemptAt.UTC().Format(time.RFC3339)))
	}
	if deletedAt != nil {
		a.add(*deletedAt, "object deleted", "if it is uploaded again, it is deleted again")
	}
	return nil
}
