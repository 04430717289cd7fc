package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"intray/infra/nats"
	"intray/infra/postgres"
)

// Message is a decoded message as a handler sees it.
type Message[T any] struct {
	Event T
	// Sequence is the message's place in its stream.
	Sequence uint64
	// Tries is how many tries failed before this one while every dependency
	// answered. It is kept in memory: a restart, or another replica, begins at 0
	// again, which costs some more tries before a message is given up.
	Tries int
}

// Handler decides a batch and returns one error for each message, in order: nil
// acknowledges it; ErrPermanent buries it; an Outage makes the runner wait and
// counts no try; anything else is tried again later, until MaxTries failed. What
// a handler did before it returned nil must be committed and published.
//
// A failed message of a larger batch is handled again in smaller ones, at last
// alone, before its failure counts, so it fails no other.
type Handler[T any] func(ctx context.Context, batch []Message[T]) []error

// Config says what a runner consumes and how. Zero fields stand for the defaults.
type Config struct {
	Stream, Consumer string // of JetStream; no default
	// Batch is the most messages that are handled at once; default 256. The
	// runner never waits for a batch to fill.
	Batch int
	// Workers is how many batches are in hand at the same time; default 1.
	Workers int
	// Timeout bounds the handling of a batch; default 1 minute. Meanwhile the
	// server is told that work goes on, so AckWait need not be as long.
	Timeout time.Duration
	// MaxTries is after how many failed tries a message becomes a dead letter;
	// default 8.
	MaxTries int
	// MinDelay and MaxDelay bound the delay before a message is tried again,
	// which doubles from one to the other; defaults 1 s and 5 minutes.
	MinDelay, MaxDelay time.Duration
	// DrainTimeout is how long what is in hand may take after the run was
	// ended; default 15 s. What is not finished then is given back.
	DrainTimeout time.Duration
}

func (c Config) withDefaults() Config {
	c.Batch = cmp.Or(c.Batch, 256)
	c.Workers = cmp.Or(c.Workers, 1)
	c.Timeout = cmp.Or(c.Timeout, time.Minute)
	c.MaxTries = cmp.Or(c.MaxTries, 8)
	c.MinDelay = cmp.Or(c.MinDelay, time.Second)
	c.MaxDelay = cmp.Or(c.MaxDelay, 5*time.Minute)
	c.DrainTimeout = cmp.Or(c.DrainTimeout, 15*time.Second)
	return c
}

func (c Config) validate() error {
	if c.Stream == "" || c.Consumer == "" {
		return errors.New("stream and consumer are needed")
	}
	if c.Batch < 0 || c.Workers < 0 || c.Timeout < 0 || c.MaxTries < 0 || c.DrainTimeout < 0 ||
		c.MinDelay < 0 || c.MaxDelay < c.MinDelay {
		return fmt.Errorf("a setting is negative, or MaxDelay below MinDelay: %+v", c)
	}
	return nil
}

// Runner consumes one durable consumer.
type Runner[T any] struct {
	config Config
	conn   *nats.Conn
	db     *postgres.DB
	probe  func(context.Context) error
	decode func([]byte) (T, error)
	handle Handler[T]
	laneOf func(context.Context, T) Lane // nil: in the stream's order
	log    *slog.Logger
	tries  tries
	health health
}

// New returns a runner that takes messages through conn, decodes their
// data (a failure is permanent) and gives them to handle. Dead letters go into
// db. After an outage it pulls again when probe, such as Probe, returns nil.
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
		log: log, health: health{log: log},
	}, nil
}

// Run consumes until ctx ends; then it finishes what is in hand, acknowledges
// it, and returns. No failure ends it earlier.
func (r *Runner[T]) Run(ctx context.Context) {
	if r.laneOf != nil {
		r.runInLanes(ctx)
	} else {
		var workers sync.WaitGroup
		for range r.config.Workers {
			workers.Go(func() { r.work(ctx) })
		}
		workers.Wait()
	}
	// The acks must have left before the caller closes the connection. Where they
	// cannot, the messages are delivered again.
	flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = r.conn.Ping(flush)
}

// work pulls and handles batches, one at a time, until ctx ends.
func (r *Runner[T]) work(ctx context.Context) {
	var wait backoff
	var consumer jetstream.Consumer
	for ctx.Err() == nil {
		messages, err := r.pull(ctx, &consumer, r.config.Batch)
		if err != nil {
			consumer = nil // it may have been deleted, with or without its stream
			if ctx.Err() == nil {
				r.health.bad("cannot pull", err)
			}
			wait.sleep(ctx)
			continue
		}
		if len(messages) > 0 {
			if err := r.process(ctx, messages, consumer.CachedInfo().Config.AckWait, false); err != nil {
				r.waitOut(ctx, err)
				continue
			}
		}
		r.health.good()
		wait.reset()
	}
}

// waitOut returns when the probe succeeds, or ctx ends.
func (r *Runner[T]) waitOut(ctx context.Context, cause error) {
	r.health.bad("pulling pauses: a dependency does not answer", cause)
	var wait backoff
	for wait.sleep(ctx) {
		probe, cancel := context.WithTimeout(ctx, probeTimeout)
		err := r.probe(probe)
		cancel()
		if err == nil {
			return
		}
	}
}

const (
	probeTimeout = 5 * time.Second
	// pullWait is how long one pull waits for a message. It is short because
	// the end of a run waits for it: a pull that is given up while a message is on
	// its way would leave that message to its AckWait.
	pullWait = 500 * time.Millisecond
)

// pull takes one message, waiting for it a little, then those that are there
// already, at most so many: a batch that waits to fill would delay the first. It
// looks the consumer up where it is nil.
func (r *Runner[T]) pull(ctx context.Context, consumer *jetstream.Consumer, most int) ([]jetstream.Msg, error) {
	if !r.conn.Connected() {
		return nil, nats.ErrUnavailable
	}
	if *consumer == nil {
		find, cancel := context.WithTimeout(ctx, probeTimeout)
		defer cancel()
		found, err := r.conn.JetStream().Consumer(find, r.config.Stream, r.config.Consumer)
		if err != nil {
			return nil, fmt.Errorf("find consumer %s of stream %s: %w", r.config.Consumer, r.config.Stream, err)
		}
		*consumer = found
	}
	messages, err := collect((*consumer).Fetch(1, jetstream.FetchMaxWait(pullWait)))
	if err != nil || len(messages) == 0 || most == 1 {
		return messages, err
	}
	if meta, err := messages[0].Metadata(); err == nil && meta.NumPending == 0 {
		return messages, nil
	}
	// A failure now is met again by the next pull; what is there is handled first.
	more, _ := collect((*consumer).FetchNoWait(most - 1))
	return append(messages, more...), nil
}

func collect(batch jetstream.MessageBatch, err error) ([]jetstream.Msg, error) {
	if err != nil {
		return nil, err
	}
	var messages []jetstream.Msg
	for m := range batch.Messages() {
		messages = append(messages, m)
	}
	if len(messages) > 0 {
		return messages, nil // an error after them is met again by the next pull
	}
	return nil, batch.Error()
}
