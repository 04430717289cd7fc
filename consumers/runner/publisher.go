package runner

import (
	"context"

	"intray/schema"
)

// Publisher publishes the events of documents. *nats.Publisher implements it.
type Publisher interface {
	// TryPublish publishes the events of those docs whose event is unpublished. It reports whether the
	// events of all docs are published now. The sweeper publishes the remaining ones later.
	TryPublish(ctx context.Context, docs []schema.Document) bool
}
