package replay

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"intray/infra/nats"
	"intray/infra/postgres"
	"intray/schema"
)

// Bucket lists objects. *minio.Objects implements it.
type Bucket interface {
	List(ctx context.Context, prefix, startAfter string) iter.Seq2[schema.Object, error]
}

// Archive reads stored events. DB must be connected as the database owner, and Conn as the NATS
// user operator. Objects is needed only to generate events from the bucket.
type Archive struct {
	DB         *postgres.DB
	Conn       *nats.Conn
	Objects    Bucket
	BucketName string
}

// batchSize is the number of events whose documents are read from the database with one query.
const batchSize = 500

// Scan yields the events of a stream that match the selection, in order and in constant
// memory. If follow is true, it then waits for new events until ctx is canceled. It ignores
// OnlyFailed and FromBucket, which only Select honors.
func (a Archive) Scan(
	ctx context.Context, stream string, s Selection, follow bool,
) iter.Seq2[Event, error] {
	r := nats.Range{
		Stream: stream, Subjects: s.subjects(stream), From: s.From, To: s.To,
		Through: s.LastSequence, Follow: follow,
	}
	if s.FirstSequence > 0 {
		r.After = s.FirstSequence - 1
	}
	if !s.mayMatch(stream) {
		return func(func(Event, error) bool) {}
	}
	return a.withDocuments(ctx, s, func(yield func(Event, error) bool) {
		for m, err := range a.Conn.Read(ctx, r) {
			if !yield(decode(m), err) || err != nil {
				return
			}
		}
	})
}

// objects yields an event for each object that matches the selection.
func (a Archive) objects(ctx context.Context, s Selection) iter.Seq2[Event, error] {
	prefix := s.KeyPrefix
	if s.Document != uuid.Nil && prefix == "" {
		prefix = schema.ObjectKey(s.Document)
	}
	if prefix == "" {
		prefix = schema.ObjectPrefix
	}
	return a.withDocuments(ctx, s, func(yield func(Event, error) bool) {
		for o, err := range a.Objects.List(ctx, prefix, "") {
			if err != nil {
				yield(Event{}, err)
				return
			}
			if o.LastModified.Before(s.From) || (!s.To.IsZero() && o.LastModified.After(s.To)) {
				continue
			}
			e := Event{
				Kind: KindCreated, Time: o.LastModified.UTC(), Bucket: a.BucketName,
				Keys: []string{o.Key},
			}
			if !yield(e, nil) {
				return
			}
		}
	})
}

// withDocuments adds the current state of the documents to events, and yields the events that
// match the selection.
func (a Archive) withDocuments(
	ctx context.Context, s Selection, events iter.Seq2[Event, error],
) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		batch := make([]Event, 0, batchSize)
		flush := func() bool {
			if err := a.addDocuments(ctx, batch); err != nil {
				yield(Event{}, err)
				return false
			}
			for _, e := range batch {
				if s.matches(e) && !yield(e, nil) {
					return false
				}
			}
			batch = batch[:0]
			return true
		}
		for e, err := range events {
			if err != nil {
				if flush() {
					yield(Event{}, err)
				}
				return
			}
			batch = append(batch, e)
			if (e.last || len(batch) == batchSize) && !flush() {
				return
			}
		}
		flush()
	}
}

// addDocuments reads the documents of the events from the database and adds the documents' current
// state to the events.
func (a Archive) addDocuments(ctx context.Context, events []Event) error {
	if len(events) == 0 {
		return nil
	}
	var ids []uuid.UUID
	var keys []string
	for _, e := range events {
		keys = append(keys, e.Keys...)
		if e.Document != nil {
			ids, keys = append(ids, *e.Document), append(keys, schema.ObjectKey(*e.Document))
		}
	}
	infos, err := a.DB.DocumentInfos(ctx, ids, keys)
	if err != nil {
		return fmt.Errorf("read the documents of %d events: %w", len(events), err)
	}
	byID := make(map[uuid.UUID]postgres.DocumentInfo, len(infos))
	byKey := make(map[string]postgres.DocumentInfo, len(infos))
	for _, info := range infos {
		byID[info.ID], byKey[info.ObjectKey] = info, info
	}
	for i := range events {
		events[i].addDocument(byID, byKey)
	}
	return nil
}

// addDocument adds the state of the first document of the event that the maps contain.
func (e *Event) addDocument(
	byID map[uuid.UUID]postgres.DocumentInfo, byKey map[string]postgres.DocumentInfo,
) {
	e.Status = "unknown"
	var info postgres.DocumentInfo
	var ok bool
	if e.Document != nil {
		e.Status = "gone" // the document existed, because an event about it was published
		info, ok = byID[*e.Document]
	}
	for _, key := range e.Keys {
		if info, ok = byKey[key]; ok {
			break
		}
		if id, named := schema.DocumentID(key); named && e.Document == nil {
			e.Document = &id
		}
	}
	if !ok {
		return
	}
	e.Document, e.Email, e.Status = &info.ID, info.Email, info.Status
	if info.UserID.Valid {
		e.User = &info.UserID.UUID
	}
	if info.Reason != "" {
		e.Status += " " + info.Reason
	}
}

// CreationTime returns a time one minute before a document's id was generated, so that all events
// of the document are later. The first 48 bits of a UUIDv7 are the time in milliseconds (RFC 9562);
// for an id of a different version CreationTime returns the zero time.
func CreationTime(id uuid.UUID) time.Time {
	if id.Version() != 7 {
		return time.Time{}
	}
	seconds, nanoseconds := id.Time().UnixTime()
	return time.Unix(seconds, nanoseconds).Add(-time.Minute).UTC()
}

// subjects returns the subjects of a stream that can hold events of the selection's kinds. It
// returns nil if all subjects have to be read.
func (s Selection) subjects(stream string) []string {
	if len(s.Kinds) == 0 || slices.Contains(s.Kinds, KindUnreadable) {
		return nil
	}
	var subjects []string
	for _, k := range s.Kinds {
		switch {
		case !slices.Contains(kindsOf(stream), k):
		case stream == schema.StreamDocuments:
			subjects = append(subjects, "documents."+k)
		case k == KindRemoved:
			subjects = append(subjects, schema.SubjectsBucketRemoved)
		case k == KindOther:
			return nil
		default:
			subjects = append(subjects, schema.SubjectsBucketCreated)
		}
	}
	return subjects
}

// mayMatch reports whether the stream can hold events of the selection's kinds.
func (s Selection) mayMatch(stream string) bool {
	if len(s.Kinds) == 0 {
		return true
	}
	return slices.ContainsFunc(s.Kinds, func(k string) bool {
		return slices.Contains(kindsOf(stream), k)
	})
}

// matches reports whether the selection matches an event to which addDocument has been applied.
func (s Selection) matches(e Event) bool {
	if len(s.Kinds) > 0 && !slices.Contains(s.Kinds, e.Kind) {
		return false
	}
	if s.User != uuid.Nil && (e.User == nil || *e.User != s.User) {
		return false
	}
	if s.Document != uuid.Nil && (e.Document == nil || *e.Document != s.Document) {
		return false
	}
	if s.KeyPrefix == "" {
		return true
	}
	if len(e.Keys) == 0 && e.Document != nil {
		return strings.HasPrefix(schema.ObjectKey(*e.Document), s.KeyPrefix)
	}
	return slices.ContainsFunc(e.Keys, func(key string) bool {
		return strings.HasPrefix(key, s.KeyPrefix)
	})
}
