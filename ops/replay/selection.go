package replay

import (
	"context"
	"errors"
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

// Selection chooses events. Zero fields choose all.
type Selection struct {
	From time.Time `json:"from,omitzero"` // when the stream stored them
	To   time.Time `json:"to,omitzero"`
	// FirstSequence and LastSequence bound the sequence in the stream, both included.
	FirstSequence uint64    `json:"first_sequence,omitempty"`
	LastSequence  uint64    `json:"last_sequence,omitempty"`
	Email         string    `json:"user,omitempty"`
	User          uuid.UUID `json:"user_id,omitzero"`
	Document      uuid.UUID `json:"document_id,omitzero"`
	KeyPrefix     string    `json:"key_prefix,omitempty"`
	Kinds         []string  `json:"kinds,omitempty"`
	// OnlyFailed: what the target gave up (its dead letters), and documents that it
	// did not bring on: pending or expired for confirm, failed for classify.
	OnlyFailed bool `json:"only_failed,omitempty"`
	// FromBucket: not events that were, but one for each object. From and To are then
	// when the object was stored.
	FromBucket bool `json:"from_bucket,omitempty"`
}

// String is the selection as the flags that choose it.
func (s Selection) String() string {
	var flags []string
	add := func(format string, args ...any) { flags = append(flags, fmt.Sprintf(format, args...)) }
	if !s.From.IsZero() {
		add("--since %s", s.From.Format(time.RFC3339))
	}
	if !s.To.IsZero() {
		add("--until %s", s.To.Format(time.RFC3339))
	}
	switch {
	case s.FirstSequence > 0 && s.LastSequence == s.FirstSequence:
		add("--seq %d", s.FirstSequence)
	case s.FirstSequence > 0 && s.LastSequence > 0:
		add("--seq %d-%d", s.FirstSequence, s.LastSequence)
	case s.FirstSequence > 0:
		add("--seq %d-", s.FirstSequence)
	}
	if s.Email != "" {
		add("--user %s", s.Email)
	}
	if s.Document != uuid.Nil {
		add("--document %s", s.Document)
	}
	if s.KeyPrefix != "" {
		add("--prefix %s", s.KeyPrefix)
	}
	if len(s.Kinds) > 0 {
		add("--kind %s", strings.Join(s.Kinds, ","))
	}
	if s.OnlyFailed {
		add("--only-failed")
	}
	if s.FromBucket {
		add("--from-bucket")
	}
	if len(flags) == 0 {
		return "all events that are kept"
	}
	return strings.Join(flags, " ")
}

// Source is where a target's events are.
func Source(target string) (stream string, kind string) {
	if target == Confirm {
		return schema.StreamBucket, KindCreated
	}
	return schema.StreamDocuments, string(schema.StatusUploaded)
}

// subjects are those of a stream that hold the kinds.
func (s Selection) subjects(stream string) []string {
	if len(s.Kinds) == 0 || slices.Contains(s.Kinds, KindUnreadable) {
		return nil
	}
	var subjects []string
	for _, k := range s.Kinds {
		switch {
		case !slices.Contains(Kinds(stream), k):
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

// matches says whether the selection wants the event, as far as the event and its
// documents tell.
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
	return slices.ContainsFunc(e.Keys, func(key string) bool { return strings.HasPrefix(key, s.KeyPrefix) })
}

// Bucket lists objects; *minio.Objects does.
type Bucket interface {
	List(ctx context.Context, prefix, startAfter string) iter.Seq2[schema.Object, error]
}

// Archive is where events are looked for. The database's role is the owner, the
// connection's user the operator. Objects and BucketName are needed for what is
// made from the bucket only.
type Archive struct {
	DB         *postgres.DB
	Conn       *nats.Conn
	Objects    Bucket
	BucketName string
}

// scanBatch is how many events' documents are looked up at once.
const scanBatch = 500

// Scan yields the events of a stream that the selection chooses, in order and in
// constant memory; with follow it then waits for others, until the context ends.
// Its OnlyFailed is for FailedOnly.
func (a Archive) Scan(ctx context.Context, stream string, s Selection, follow bool) iter.Seq2[Event, error] {
	r := nats.Range{Stream: stream, Subjects: s.subjects(stream), From: s.From, To: s.To, Through: s.LastSequence, Follow: follow}
	if s.FirstSequence > 0 {
		r.After = s.FirstSequence - 1
	}
	if len(s.Kinds) > 0 && len(r.Subjects) == 0 && !slices.ContainsFunc(s.Kinds, func(k string) bool { return slices.Contains(Kinds(stream), k) }) {
		return func(func(Event, error) bool) {}
	}
	return a.known(ctx, s, func(yield func(Event, error) bool) {
		for m, err := range a.Conn.Read(ctx, r) {
			if !yield(decode(m), err) || err != nil {
				return
			}
		}
	})
}

// Objects yields an event for each object that the selection chooses.
func (a Archive) objects(ctx context.Context, s Selection) iter.Seq2[Event, error] {
	prefix := s.KeyPrefix
	if s.Document != uuid.Nil && prefix == "" {
		prefix = schema.ObjectKey(s.Document)
	}
	if prefix == "" {
		prefix = schema.ObjectPrefix
	}
	return a.known(ctx, s, func(yield func(Event, error) bool) {
		for o, err := range a.Objects.List(ctx, prefix, "") {
			if err != nil {
				yield(Event{}, err)
				return
			}
			if o.LastModified.Before(s.From) || (!s.To.IsZero() && o.LastModified.After(s.To)) {
				continue
			}
			if !yield(Event{Kind: KindCreated, Time: o.LastModified.UTC(), Bucket: a.BucketName, Keys: []string{o.Key}}, nil) {
				return
			}
		}
	})
}

// known adds what is known of the events' documents and yields those that the
// selection wants.
func (a Archive) known(ctx context.Context, s Selection, events iter.Seq2[Event, error]) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		batch := make([]Event, 0, scanBatch)
		flush := func() bool {
			if err := a.lookUp(ctx, batch); err != nil {
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
			if (e.last || len(batch) == scanBatch) && !flush() {
				return
			}
		}
		flush()
	}
}

// lookUp fills in the documents of events.
func (a Archive) lookUp(ctx context.Context, events []Event) error {
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
	facts, err := a.DB.DocumentFacts(ctx, ids, keys)
	if err != nil {
		return fmt.Errorf("look up the documents of %d events: %w", len(events), err)
	}
	byID, byKey := make(map[uuid.UUID]postgres.DocumentFact, len(facts)), make(map[string]postgres.DocumentFact, len(facts))
	for _, f := range facts {
		byID[f.ID], byKey[f.ObjectKey] = f, f
	}
	for i := range events {
		events[i].tell(byID, byKey)
	}
	return nil
}

func (e *Event) tell(byID map[uuid.UUID]postgres.DocumentFact, byKey map[string]postgres.DocumentFact) {
	e.Status = "unknown"
	var fact postgres.DocumentFact
	var ok bool
	if e.Document != nil {
		e.Status = "gone" // its event was told once
		fact, ok = byID[*e.Document]
	}
	for _, key := range e.Keys {
		if fact, ok = byKey[key]; ok {
			break
		}
		if id, named := schema.DocumentID(key); named && e.Document == nil {
			e.Document = &id
		}
	}
	if !ok {
		return
	}
	e.Document, e.Email, e.Status = &fact.ID, fact.Email, fact.Status
	if fact.UserID.Valid {
		e.User = &fact.UserID.UUID
	}
	if fact.Reason != "" {
		e.Status += " " + fact.Reason
	}
}

// Choose yields the events that the selection chooses for a target, FailedOnly
// and FromBucket included. What the target cannot handle is not among them.
func (a Archive) Choose(ctx context.Context, target string, s Selection) iter.Seq2[Event, error] {
	stream, kind := Source(target)
	if len(s.Kinds) == 0 && !s.FromBucket {
		s.Kinds = []string{kind}
	}
	events := a.Scan(ctx, stream, s, false)
	if s.FromBucket {
		s.Kinds = nil
		events = a.objects(ctx, s)
	}
	return func(yield func(Event, error) bool) {
		batch := make([]Event, 0, scanBatch)
		flush := func() bool {
			failed, err := a.failed(ctx, target, stream, s, batch)
			if err != nil {
				yield(Event{}, err)
				return false
			}
			for i, e := range batch {
				if failed[i] && !yield(e, nil) {
					return false
				}
			}
			batch = batch[:0]
			return true
		}
		for e, err := range events {
			if err != nil {
				yield(Event{}, err)
				return
			}
			if _, ok := e.message(target, ""); !ok || (target == Confirm && e.Bucket != a.BucketName) {
				continue
			}
			if batch = append(batch, e); len(batch) == scanBatch && !flush() {
				return
			}
		}
		flush()
	}
}

// failed says of each event whether it is wanted where only failed ones are.
func (a Archive) failed(ctx context.Context, target, stream string, s Selection, events []Event) ([]bool, error) {
	wanted := make([]bool, len(events))
	var sequences []uint64
	for i, e := range events {
		status, _, _ := strings.Cut(e.Status, " ")
		switch schema.Status(status) {
		case schema.StatusPending, schema.StatusExpired:
			wanted[i] = target == Confirm
		case schema.StatusFailed:
			wanted[i] = target == Classify
		}
		wanted[i] = wanted[i] || !s.OnlyFailed
		sequences = append(sequences, e.Sequence)
	}
	if !s.OnlyFailed || s.FromBucket || len(events) == 0 {
		return wanted, nil
	}
	dead, err := a.DB.DeadSequences(ctx, stream, target, sequences)
	for i, e := range events {
		wanted[i] = wanted[i] || dead[e.Sequence]
	}
	return wanted, err
}

// Validate says what is wrong with a selection for a target ("" for none).
func (s Selection) Validate(target string) error {
	switch {
	case !s.To.IsZero() && s.To.Before(s.From):
		return errors.New("the window ends before it begins")
	case s.LastSequence > 0 && s.LastSequence < s.FirstSequence:
		return errors.New("the last sequence is before the first")
	case s.FromBucket && (s.FirstSequence > 0 || s.LastSequence > 0 || len(s.Kinds) > 0):
		return errors.New("objects of the bucket have neither sequences nor kinds")
	}
	allowed := slices.Concat(Kinds(schema.StreamBucket), Kinds(schema.StreamDocuments))
	switch target {
	case Confirm:
		allowed = []string{KindCreated}
	case Classify:
		allowed = []string{string(schema.StatusUploaded), string(schema.StatusClassified), string(schema.StatusFailed)}
	}
	for _, k := range s.Kinds {
		if !slices.Contains(allowed, k) {
			return fmt.Errorf("the kind %q is none of %s", k, strings.Join(slices.Compact(slices.Sorted(slices.Values(allowed))), ", "))
		}
	}
	return nil
}
