package schema

import (
	"strings"

	"github.com/google/uuid"
)

// Hint is a kind of hint: a message that says what has changed for a user, but not how. Hints are
// neither stored nor repeated, so a receiver may miss some.
type Hint string

const (
	// HintPending means that a document of the user was created or has a new upload URL, which no
	// document event says.
	HintPending Hint = "pending"
	// HintQuota means that the used bytes or the limit of the user have changed.
	HintQuota Hint = "quota"
	// HintTopics means that the topics that the user sees have changed.
	HintTopics Hint = "topics"
	// HintRemoved means that the user was removed.
	HintRemoved Hint = "removed"
)

// SubjectsHints are the subjects of hints, hints.<kind>.<user>.
const SubjectsHints = "hints.*.*"

// allUsers stands for the user in the subject of a hint for all users.
const allUsers = "all"

// Subject returns the subject of a hint for a user, or for all users if user is uuid.Nil.
func (h Hint) Subject(user uuid.UUID) string {
	to := allUsers
	if user != uuid.Nil {
		to = user.String()
	}
	return "hints." + string(h) + "." + to
}

// ParseHint returns the hint and the user that a subject names. The user is uuid.Nil if the hint is
// for all users. ok is false if the subject is not that of a hint.
func ParseHint(subject string) (h Hint, user uuid.UUID, ok bool) {
	prefix, rest, _ := strings.Cut(subject, ".")
	kind, to, _ := strings.Cut(rest, ".")
	if prefix != "hints" {
		return "", uuid.Nil, false
	}
	switch h = Hint(kind); h {
	case HintPending, HintQuota, HintTopics, HintRemoved:
	default:
		return "", uuid.Nil, false
	}
	if to == allUsers {
		return h, uuid.Nil, true
	}
	user, err := uuid.Parse(to)
	if err != nil || user == uuid.Nil {
		return "", uuid.Nil, false
	}
	return h, user, true
}
