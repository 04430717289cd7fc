// Package runner delivers the messages of durable JetStream consumers to handlers. It is the only
// package that acknowledges messages: a Runner pulls messages, passes them to a handler, and
// acknowledges, retries or dead-letters each message according to the handler's error.
//
//	bucket.created.*     confirm   pending → uploaded or rejected
//	documents.uploaded   classify  uploaded → classified or failed
//	bucket.removed.*     remove    deleting or counted → row deleted
//
// An event is only a hint. A handler reads the document from the database and stats its object, so
// duplicate events, reordered events and full replays all lead to the same state.
//
// A Runner delivers in one of two ways: in batches, in stream order (batch.go), or in lanes, which
// share the workers fairly between users (lanes.go). Both use the same pull loop (pull.go).
package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"intray/infra/nats"
	"intray/infra/postgres"
)

// Message is a decoded message, as passed to a handler.
type Message[T any] struct {
	Event T
	// Sequence is the message's sequence number in its stream.
	Sequence uint64
	// Attempts is the number of earlier attempts that failed while every dependency was up. It is
	// stored in the database, so restarts and replicas share it.
	Attempts int
}

// Handler handles a batch and returns one error for each message, in order. The runner treats each
// error as follows:
//
//   - nil: the message is acknowledged. All effects of handling it must be committed by then.
//   - ErrPermanent: the message is dead-lettered.
//   - an Outage: the runner waits until the dependency is up. The attempt does not count.
//   - a postgres.ErrLocked: the message is redelivered after a few seconds. The attempt does not
//     count.
//   - any other error: the message is retried later, and dead-lettered after MaxAttempts failed
//     attempts.
//
// A message that fails in a batch of several is handled again in smaller batches, and finally
// alone, before its failure counts, unless its error says which object or row has caused it:
// minio.ErrInaccessible or a *postgres.LockedError. One message therefore cannot make the others in
// its batch fail.
type Handler[T any] func(ctx context.Context, batch []Message[T]) []error

// Config configures a Runner. Zero fields take the defaults.
type Config struct {
	// Stream and Consumer are the names of the JetStream stream and its durable consumer. Both are
	// required.
	Stream, Consumer string
	// Batch is the maximum number of messages per batch; default 256. The runner never waits for a
	// batch to fill up.
	Batch int
	// Workers is the number of batches that are handled concurrently; default 1.
	Workers int
	// Timeout limits the time of one call of the handler; default 1 minute. A batch that takes longer
	// has failed and is handled again in smaller batches, unless a dependency is unavailable. Timeout
	// may be longer than the consumer's AckWait, because the runner extends the ack deadline of the
	// messages while they are handled.
	Timeout time.Duration
	// MaxPostponed is the number of messages that this runner keeps in the stream while they are
	// postponed; default no limit. They count towards the consumer's MaxAckPending. Further ones are
	// parked: they are recorded in the database and acknowledged, and their events must be published
	// again when they are due, as package sweep and package replay do.
	MaxPostponed int
	// MaxAttempts is the number of failed attempts after which a message is dead-lettered; default 8.
	MaxAttempts int
	// MinDelay and MaxDelay limit the delay before a retry; defaults 1 s and 5 minutes. The delay
	// doubles with each failed attempt.
	MinDelay, MaxDelay time.Duration
	// DrainTimeout is how long Run may take to finish messages in progress after its context is
	// canceled; default 15 s. Messages that are not finished by then are redelivered later.
	DrainTimeout time.Duration
	// Probe returns nil if the dependencies of the handler are available; default db.Writable. A
	// failed attempt counts only if Probe returns nil, and after an outage the runner resumes once it
	// does.
	Probe func(context.Context) error
}

func (c Config) withDefaults() Config {
	c.Batch = cmp.Or(c.Batch, 256)
	c.Workers = cmp.Or(c.Workers, 1)
	c.Timeout = cmp.Or(c.Timeout, time.Minute)
	c.MaxAttempts = cmp.Or(c.MaxAttempts, 8)
	c.MinDelay = cmp.Or(c.MinDelay, time.Second)
	c.MaxDelay = cmp.Or(c.MaxDelay, 5*time.Minute)
	c.DrainTimeout = cmp.Or(c.DrainTimeout, 15*time.Second)
	return c
}

func (c Config) validate() error {
	if c.Stream == "" || c.Consumer == "" {
		return errors.New("stream and consumer are required")
	}
	if c.Batch < 0 || c.Workers < 0 || c.Timeout < 0 || c.MaxAttempts < 0 || c.DrainTimeout < 0 ||
		c.MinDelay < 0 || c.MaxDelay < c.MinDelay || c.MaxPostponed < 0 {
		return errors.New("a setting is negative, or MaxDelay is below MinDelay")
	}
	return nil
}

// Runner delivers the messages of one durable consumer.
type Runner[T any] struct {
	config Config
	conn   *nats.Conn
	db     *postgres.DB
	decode func([]byte) (T, error)
	handle Handler[T]
	laneOf func(context.Context, T) Lane // nil: deliver batches in stream order
	log    *slog.Logger
	health health

	postponements *postponements
}

// New returns a Runner that pulls messages through conn, decodes their data with decode and passes
// them to handle. A message that cannot be decoded is dead-lettered. Dead letters are stored in db.
func New[T any](
	conn *nats.Conn, db *postgres.DB, decode func([]byte) (T, error), handle Handler[T],
	config Config, log *slog.Logger,
) (*Runner[T], error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, fmt.Errorf("runner of %s: %w", config.Consumer, err)
	}
	if config.Probe == nil {
		config.Probe = func(ctx context.Context) error { return db.Writable(ctx, 0) }
	}
	log = log.With("consumer", config.Consumer)
	return &Runner[T]{
		config: config, conn: conn, db: db, decode: decode, handle: handle,
		log: log, health: health{log: log}, postponements: newPostponements(config.MaxPostponed),
	}, nil
}

// Run delivers messages until ctx is canceled. It then finishes and acknowledges the messages in
// progress and returns. It does not return earlier for any error.
func (r *Runner[T]) Run(ctx context.Context) {
	if r.laneOf != nil {
		r.runLanes(ctx)
	} else {
		r.runBatches(ctx)
	}
	// The acks must be sent before the caller closes the connection. If sending them fails, the
	// messages are redelivered.
	flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = r.conn.Ping(flush)
}
