package runner

import (
	"context"

	"intray/schema"
)

// Publisher publishes documents' events; *nats.Publisher does.
type Publisher interface {
	// TryPublish publishes the events of those of docs that are unpublished, and reports whether
	// the events of all docs are published now. The sweeper publishes the others later.
	TryPublish(ctx context.Context, docs []schema.Document) bool
}
