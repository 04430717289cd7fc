package schema

import "github.com/google/uuid"

// Scope distinguishes system topics from users' own topics.
type Scope string

const (
	// ScopeSystem topics have no owner. Every user sees them; only administrators change them.
	ScopeSystem Scope = "system"
	// ScopeUser topics belong to one user. Only that user sees and changes them.
	ScopeUser Scope = "user"
)

// Topic is a label that the classifier can assign to a document. Ignoring case (see FoldCase),
// names are unique among the system topics, and among the topics of each user.
type Topic struct {
	ID uuid.UUID `db:"id"`
	// UserID is nil for a system topic.
	UserID      *uuid.UUID `db:"user_id"`
	Name        string     `db:"name"`
	Description string     `db:"description"`
	Keywords    []string   `db:"keywords"`
	// Suggested reports whether an AI provider proposed the topic.
	Suggested bool `db:"suggested"`
}

// Scope returns ScopeSystem if the topic has no owner, and ScopeUser otherwise.
func (t Topic) Scope() Scope {
	if t.UserID == nil {
		return ScopeSystem
	}
	return ScopeUser
}

// DocumentTopic is the assignment of a topic to a document.
type DocumentTopic struct {
	TopicID uuid.UUID `db:"topic_id"`
	// Confidence is between 0 and 100. It is 100 if a user set the topic manually.
	Confidence int `db:"confidence"`
}

// Limits of a topic: the length of its name, description and each keyword in characters, and the
// number of its keywords.
const (
	MaxTopicName        = 40
	MaxTopicDescription = 500
	MaxTopicKeywords    = 50
	MaxTopicKeyword     = 40
)

// MaxTopics is the largest number of topics of a user, and of system topics. A document is compared
// with both, so with at most 1000 topics, which is also the limit of a prompt. The database
// enforces it when a topic is created.
const MaxTopics = 500
