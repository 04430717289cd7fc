// Package runner delivers the messages of durable JetStream consumers to handlers. It is the only
// place that acknowledges messages: a Runner pulls them, has a handler decide them, and acknowledges,
// retries or dead-letters each by the handler's error.
//
//	bucket.created.*     confirm   pending → uploaded or rejected
//	documents.uploaded   classify  uploaded → classified or failed
//	bucket.removed.*     remove    deleting or counted → ended
//
// A handler reads the document and stats its object; an event is only a hint. So duplicates,
// reordering and full replays end in the same state.
//
// There are two ways of delivery: batches in the order of the stream (batch.go), and lanes, which
// share the workers fairly between users (lanes.go). Both pull in the same loop (pull.go).
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

// Message is a decoded message as a handler sees it.
type Message[T any] struct {
	Event T
	// Sequence is the message's place in its stream.
	Sequence uint64
	// Attempts is how many attempts failed before this one while every dependency was up. It is
	// kept in memory: after a restart, or on another replica, it begins at 0 again, which costs some
	// more attempts before a message is given up.
	Attempts int
}

// Handler decides a batch and returns one error for each message, in order: nil acknowledges it;
// ErrPermanent dead-letters it; after an Outage the runner waits, and the attempt does not count;
// after any other error the message is retried later, until MaxAttempts failed. What a handler did
// before it returned nil must be committed.
//
// A failed message of a larger batch is handled again in smaller ones, at last alone, before its
// failure counts, so it fails no other.
type Handler[T any] func(ctx context.Context, batch []Message[T]) []error

// Config configures a Runner. Zero fields stand for the defaults.
type Config struct {
	Stream, Consumer string // of JetStream; no default
	// Batch is the most messages that are handled at once; default 256. The runner never waits for a
	// batch to fill.
	Batch int
	// Workers is how many batches are handled at the same time; default 1.
	Workers int
	// Timeout bounds the handling of a batch; default 1 minute. The runner extends the messages'
	// time for an ack meanwhile, so Timeout may be longer than AckWait.
	Timeout time.Duration
	// MaxAttempts is how many failed attempts make a message a dead letter; default 8.
	MaxAttempts int
	// MinDelay and MaxDelay bound the delay before a message is retried, which doubles from one to
	// the other; defaults 1 s and 5 minutes.
	MinDelay, MaxDelay time.Duration
	// DrainTimeout is how long Run may take to finish its work after its context has ended; default
	// 15 s. What is not finished by then is given back.
	DrainTimeout time.Duration
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
		return errors.New("stream and consumer are needed")
	}
	if c.Batch < 0 || c.Workers < 0 || c.Timeout < 0 || c.MaxAttempts < 0 || c.DrainTimeout < 0 ||
		c.MinDelay < 0 || c.MaxDelay < c.MinDelay {
		return fmt.Errorf("a setting is negative, or MaxDelay below MinDelay: %+v", c)
	}
	return nil
}

// Runner consumes one durable consumer.
type Runner[T any] struct {
	config   Config
	conn     *nats.Conn
	db       *postgres.DB
	probe    func(context.Context) error
	decode   func([]byte) (T, error)
	handle   Handler[T]
	laneOf   func(context.Context, T) Lane // nil: in the stream's order
	log      *slog.Logger
	attempts *attempts
	health   health
}

// New returns a runner that pulls messages through conn, decodes their data (a failure is permanent)
// and gives them to handle. Dead letters are kept in db. After an outage it continues when probe,
// such as Probe, returns nil.
func New[T any](conn *nats.Conn, db *postgres.DB, probe func(context.Context) error,
	decode func([]byte) (T, error), handle Handler[T], config Config, log *slog.Logger,
) (*Runner[T], error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, fmt.Errorf("runner of %s: %w", config.Consumer, err)
	}
	log = log.With("consumer", config.Consumer)
	return &Runner[T]{
		config: config, conn: conn, db: db, probe: probe, decode: decode, handle: handle,
		log: log, attempts: newAttempts(), health: health{log: log},
	}, nil
}

// Run consumes until ctx ends. Then it finishes and acknowledges the messages that are being
// handled, and returns. No failure ends it earlier.
func (r *Runner[T]) Run(ctx context.Context) {
	if r.laneOf != nil {
		r.runLanes(ctx)
	} else {
		r.runBatches(ctx)
	}
	// The acks must have been sent before the caller closes the connection. If they cannot be, the
	// messages are redelivered.
	flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = r.conn.Ping(flush)
}
