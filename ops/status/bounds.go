package status

import "time"

//go:generate go run ./make ../../infra/prometheus/alerts.yaml.tmpl ../../infra/prometheus/alerts.yaml

// The bounds beyond which Judge reports a problem and an alert fires. An alert also
// has a duration for which the bound must be exceeded; infra/prometheus/alerts.yaml.tmpl
// sets it. After a change here run "go generate ./ops/status".
const (
	// MaxPendingAge bounds the age of a pending document. The sweeper ends one an hour
	// after its last URL was issued; the second hour allows for URLs issued again.
	MaxPendingAge = 2 * time.Hour
	// MaxUnclassifiedAge bounds how long an uploaded document is queued for classify.
	MaxUnclassifiedAge = time.Hour
	// MaxUnpublishedAge bounds how long a committed change is without its event. The
	// sweeper publishes what was left behind well before.
	MaxUnpublishedAge = 5 * time.Minute
	// MaxDeletionAge bounds how long an object that was given up is still there.
	MaxDeletionAge = time.Hour
	// MaxDeadLetters and MaxDrift: any is one too many, for each needs a person.
	MaxDeadLetters = 0
	MaxDrift       = 0
	// MaxStreamFill bounds how full a stream is: a full one refuses new events.
	MaxStreamFill = 0.9
)

// The bounds of Judge alone: no metric shows what they are about.
const (
	// MaxQueueAge bounds the age of the oldest event in MinIO's own queue.
	MaxQueueAge = time.Minute
	// MaxFailedAttempts bounds the failed attempts of the last ten minutes for documents
	// that are still queued. More are not bad luck: a provider that fails three times in
	// a row is left alone for a while.
	MaxFailedAttempts = 2
)

// The bounds of alerts alone: one check cannot see a rate, and what it sees of a lag
// may be a burst.
const (
	// MaxPendingMessages bounds the messages that are queued for one consumer.
	MaxPendingMessages = 1000
	// MaxProviderFailures bounds the share of calls of an AI provider that fail.
	MaxProviderFailures = 0.5
	// MaxServerErrors bounds the share of the API's answers with a status of 500 or more.
	MaxServerErrors = 0.01
)
