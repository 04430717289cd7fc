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
	// OnlyFailed chooses the target's dead letters, and events of documents that it did
	// not bring on: pending or expired ones for confirm, failed ones for classify.
	OnlyFailed bool `json:"only_failed,omitempty"`
	// FromBucket chooses objects instead of stored events, and an event is made for
	// each. From and To are then when the object was stored.
	FromBucket bool `json:"from_bucket,omitempty"`
}

// String is the selection as the flags that choose it.
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
		return "all events that are kept"
	}
	return strings.Join(flags, " ")
}

// windowFlags returns the flags for the bounds of time and sequence.
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

// Validate returns what is wrong with the selection for a target; "" stands for none,
// where events are only listed.
func (s Selection) Validate(target string) error {
	switch {
	case !s.To.IsZero() && s.To.Before(s.From):
		return errors.New("the window ends before it begins")
	case s.LastSequence > 0 && s.LastSequence < s.FirstSequence:
		return errors.New("the last sequence is before the first")
	case s.FromBucket && (s.FirstSequence > 0 || s.LastSequence > 0 || len(s.Kinds) > 0):
		return errors.New("objects of the bucket have neither sequences nor kinds")
	}
	allowed := allowedKinds(target)
	for _, k := range s.Kinds {
		if !slices.Contains(allowed, k) {
			return fmt.Errorf("the kind %q is none of %s", k, strings.Join(allowed, ", "))
		}
	}
	return nil
}

// allowedKinds returns the kinds of events that a target can be given, sorted.
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
