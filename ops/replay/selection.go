package replay

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"intray/schema"
)

// Selection is a filter for events. A zero field matches every event.
type Selection struct {
	// From and To limit the time at which the stream stored the event.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
	// FirstSequence and LastSequence limit the sequence in the stream, both inclusive.
	FirstSequence uint64 `json:"first_sequence,omitempty"`
	LastSequence  uint64 `json:"last_sequence,omitempty"`
	// Email is the user's email address as the operator gave it. Events are matched by User, the
	// user's id.
	Email     string    `json:"user,omitempty"`
	User      uuid.UUID `json:"user_id,omitzero"`
	Document  uuid.UUID `json:"document_id,omitzero"`
	KeyPrefix string    `json:"key_prefix,omitempty"`
	Kinds     []string  `json:"kinds,omitempty"`
	// OnlyFailed matches the events that the target failed to handle: those that became dead letters,
	// and those of documents that are pending or expired (confirm) or failed (classify).
	OnlyFailed bool `json:"only_failed,omitempty"`
	// FromBucket selects objects of the bucket instead of stored events; an event is generated
	// for each object. From and To then limit the time at which the object was last modified.
	FromBucket bool `json:"from_bucket,omitempty"`
}

// String formats the selection as the flags of "intray events replay".
func (s Selection) String() string {
	flags := s.windowFlags()
	add := func(format string, args ...any) { flags = append(flags, fmt.Sprintf(format, args...)) }
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
		return "all stored events"
	}
	return strings.Join(flags, " ")
}

// windowFlags returns the flags that limit the time and the sequence.
func (s Selection) windowFlags() (flags []string) {
	if !s.From.IsZero() {
		flags = append(flags, "--since "+s.From.Format(time.RFC3339))
	}
	if !s.To.IsZero() {
		flags = append(flags, "--until "+s.To.Format(time.RFC3339))
	}
	switch {
	case s.FirstSequence == 0:
	case s.LastSequence == s.FirstSequence:
		flags = append(flags, fmt.Sprintf("--seq %d", s.FirstSequence))
	case s.LastSequence > 0:
		flags = append(flags, fmt.Sprintf("--seq %d-%d", s.FirstSequence, s.LastSequence))
	default:
		flags = append(flags, fmt.Sprintf("--seq %d-", s.FirstSequence))
	}
	return flags
}

// Validate returns an error if the selection is not valid for the target. An empty target
// means that events are only listed.
func (s Selection) Validate(target string) error {
	switch {
	case !s.To.IsZero() && s.To.Before(s.From):
		return errors.New("the end of the time window is before its start")
	case s.LastSequence > 0 && s.LastSequence < s.FirstSequence:
		return errors.New("the last sequence is before the first")
	case s.FromBucket && (s.FirstSequence > 0 || s.LastSequence > 0 || len(s.Kinds) > 0):
		return errors.New("objects of the bucket have neither sequences nor kinds")
	}
	allowed := allowedKinds(target)
	for _, k := range s.Kinds {
		if !slices.Contains(allowed, k) {
			return fmt.Errorf("unknown kind %q: choose from %s", k, strings.Join(allowed, ", "))
		}
	}
	return nil
}

// allowedKinds returns the kinds of events that can be selected for a target, sorted.
func allowedKinds(target string) []string {
	var kinds []string
	switch target {
	case Confirm:
		kinds = []string{KindCreated}
	case Classify:
		kinds = []string{
			string(schema.StatusUploaded), string(schema.StatusClassified), string(schema.StatusFailed),
		}
	default:
		kinds = slices.Concat(kindsOf(schema.StreamBucket), kindsOf(schema.StreamDocuments))
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}
