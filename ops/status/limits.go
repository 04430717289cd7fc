package status

import "time"

//go:generate go run ./make ../../infra/prometheus/alerts.yaml.tmpl ../../infra/prometheus/alerts.yaml

// The limits above which Judge reports a problem and an alert fires. An alert fires only if its
// limit is exceeded for some time, which infra/prometheus/alerts.yaml.tmpl sets. After changing
// a limit, run "go generate ./ops/status".
const (
	// MaxPendingAge limits the age of a pending document. The sweeper confirms or expires a
	// document one hour after its last upload URL was issued. The second hour allows for URLs
	// that are issued again.
	MaxPendingAge = 2 * time.Hour
	// MaxUnclassifiedAge limits the time that an uploaded document waits to be classified.
	MaxUnclassifiedAge = time.Hour
	// MaxUnpublishedAge limits the time between the commit of a change and the publication of
	// its event. The sweeper publishes unpublished events much earlier.
	MaxUnpublishedAge = 5 * time.Minute
	// MaxDeletionAge limits the time until an object that is marked for deletion is deleted.
	MaxDeletionAge = time.Hour
	// MaxDeadLetters and MaxDrift are 0, because an operator must handle each dead letter and each
	// difference that a reconciliation did not repair.
	MaxDeadLetters = 0
	MaxDrift       = 0
	// MaxReconcileAge limits the time since the last reconciliation. The sweeper reconciles once a
	// day, and an hour after an attempt that failed.
	MaxReconcileAge = 26 * time.Hour
	// MaxStreamFill limits the fraction of a stream's maximum size that is used. A full stream
	// refuses new events.
	MaxStreamFill = 0.9
)

// The limits that only Judge uses, because no metric exports these values.
const (
	// MaxQueueAge limits the age of the oldest event in MinIO's own event queue.
	MaxQueueAge = time.Minute
	// MaxFailedAttempts limits the number of attempts that failed in the last 10 minutes for documents
	// that are still queued. The circuit breaker of an AI provider opens after three consecutive
	// failures.
	MaxFailedAttempts = 2
)

// The limits that only alerts use. A single check cannot measure a rate, and a high number of
// pending messages in a single check may be a burst.
const (
	// MaxPendingMessages limits the number of messages that are pending for one consumer.
	MaxPendingMessages = 1000
	// MaxProviderFailures limits the fraction of the calls to an AI provider that fail.
	MaxProviderFailures = 0.5
	// MaxServerErrors limits the fraction of the API's responses with status 500 or above.
	MaxServerErrors = 0.01
)
