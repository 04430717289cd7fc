package runner

import (
	"context"

	"github.com/google/uuid"

	"intray/schema"
)

// Publisher publishes the events of documents, and hints. *nats.Publisher implements it.
type Publisher interface {
	// TryPublish publishes the events of those docs whose event is unpublished. It reports whether the
	// events of all docs are published now. The sweeper publishes the remaining ones later.
	TryPublish(ctx context.Context, docs []schema.Document) bool
	// Hint publishes a hint for each of the users after a commit. Hints may be lost.
	Hint(h schema.Hint, users ...uuid.UUID)
}
