package nats

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"intray/schema"
)

// StreamLimits are the limits of the streams. A zero field means the default of a new stream, and
// leaves a stream that exists as it is. Provision never lowers the limits of a stream that exists:
// to lower one, use the nats command.
//
// Messages beyond the limits can no longer be replayed. Their loss does no further harm, because
// reconciliation compares the bucket with the database. A full stream rejects new messages; MinIO
// keeps its events in its queue until the stream accepts them.
type StreamLimits struct {
	// MaxAge is how long messages are kept. Default 30 days.
	MaxAge time.Duration
	// BucketBytes, DocumentsBytes and ReplayBytes are the largest sizes of the streams. The server
	// reserves this disk space. Defaults: 1 GiB (about 400,000 uploads with two events each), 1 GiB
	// (about 2,000,000 events) and 512 MiB.
	BucketBytes, DocumentsBytes, ReplayBytes int64
	// Replicas is how many servers of a cluster store each message. Default 1. A cluster needs 3 to
	// survive the loss of a server.
	Replicas int
}

// withDefaults returns the limits with defaults in place of zero fields.
func (l StreamLimits) withDefaults() StreamLimits {
	if l.MaxAge == 0 {
		l.MaxAge = 30 * 24 * time.Hour
	}
	if l.BucketBytes == 0 {
		l.BucketBytes = 1 << 30
	}
	if l.DocumentsBytes == 0 {
		l.DocumentsBytes = 1 << 30
	}
	if l.ReplayBytes == 0 {
		l.ReplayBytes = 512 << 20
	}
	if l.Replicas == 0 {
		l.Replicas = 1
	}
	return l
}

// duplicateWindow is how long a stream remembers message IDs, to drop duplicates. It is longer than
// the 30 s after which the sweeper republishes an event. If the sweeper and a redelivery both
// publish an event again, the stream therefore stores it only once.
const duplicateWindow = 2 * time.Minute

// AckWait is how long a delivered message may stay unacknowledged before it is redelivered. For a
// batch, confirm and remove send HEADs, run a transaction and publish events. Each of these steps
// ends or fails within about 10 s, so 30 s are enough. If a consumer process crashes, its messages
// are delayed by AckWait. Classify takes longer and extends the time with InProgress.
const AckWait = 30 * time.Second

// bytes returns the size of a stream.
func (l StreamLimits) bytes(stream string) int64 {
	switch stream {
	case schema.StreamBucket:
		return l.BucketBytes
	case schema.StreamDocuments:
		return l.DocumentsBytes
	default:
		return l.ReplayBytes
	}
}

// durableConsumers are the durable consumers that Provision creates. maxAckPending is the largest
// number of delivered but unacknowledged messages over all replicas of a consumer, which Provision
// raises and never lowers.
var durableConsumers = []struct {
	stream, name, filter string
	maxAckPending        int
}{
	// The limits allow for eight batches of 1024 or 256 messages, so that no replica waits for the
	// acknowledgments of another.
	{schema.StreamBucket, schema.ConsumerConfirm, schema.SubjectsBucketCreated, 8192},
	{schema.StreamBucket, schema.ConsumerRemove, schema.SubjectsBucketRemoved, 2048},
	// Messages that wait for an unreachable AI provider also count, of which each replica keeps up to
	// 1000 in the stream, and so do those that classify returns because of a backlog.
	{schema.StreamDocuments, schema.ConsumerClassify, schema.SubjectDocumentUploaded, 100_000},
	// Replays keep few messages waiting (ops/replay), so that they do not delay live events for long.
	{schema.StreamReplay, schema.ConsumerConfirm, schema.SubjectsReplayConfirm, 1024},
	{schema.StreamReplay, schema.ConsumerClassify, schema.SubjectsReplayClassify, 100_000},
}

// Provision creates the streams and their durable consumers, or updates their settings. It keeps
// all messages, settings that it does not need itself (such as the placement in a cluster), and
// limits that are higher than the given ones. The connection's user must be the operator. Provision
// can be repeated at any time. It returns ErrUnavailable if NATS is unreachable.
func Provision(ctx context.Context, c *Conn, limits StreamLimits) error {
	for _, s := range []struct{ name, subjects, description string }{
		{schema.StreamBucket, schema.SubjectsBucket, "Bucket events of MinIO"},
		{schema.StreamDocuments, schema.SubjectsDocuments, "Document events"},
		{schema.StreamReplay, schema.SubjectsReplay, "Events that are replayed"},
	} {
		config, limits, err := existingStream(ctx, c.js, s.name, limits)
		if err != nil {
			return fmt.Errorf("provision stream %s: %w", s.name, unavailable(err))
		}
		config.Description = s.description
		config.Subjects = []string{s.subjects}
		config.Storage = jetstream.FileStorage
		config.Retention = jetstream.LimitsPolicy // keep acknowledged messages for replays
		config.Discard = jetstream.DiscardNew     // reject messages instead of dropping unread ones
		config.MaxBytes = raised(config.MaxBytes, limits.bytes(s.name))
		config.MaxAge = raised(config.MaxAge, limits.MaxAge)
		config.Replicas = max(config.Replicas, limits.Replicas)
		config.Duplicates = max(config.Duplicates, duplicateWindow)
		if config.MaxAge > 0 {
			config.Duplicates = min(config.Duplicates, config.MaxAge)
		}
		// Publish and Replay use atomic batches. MinIO, which publishes to BUCKET, does not.
		config.AllowAtomicPublish = s.name != schema.StreamBucket
		if s.name == schema.StreamDocuments {
			config.AllowDirect = true // for Follow's reads of missed events
			config.RePublish = &jetstream.RePublish{
				Source: storedSource, Destination: storedDestination,
			}
		}
		if _, err := c.js.CreateOrUpdateStream(ctx, config); err != nil {
			return fmt.Errorf("provision stream %s: %w%s", s.name, unavailable(err), hint(err))
		}
	}
	for _, d := range durableConsumers {
		config, err := existingConsumer(ctx, c.js, d.stream, d.name)
		if err == nil {
			config.FilterSubject, config.FilterSubjects = d.filter, nil
			config.DeliverPolicy = jetstream.DeliverAllPolicy
			config.AckPolicy = jetstream.AckExplicitPolicy
			config.AckWait = max(config.AckWait, AckWait)
			config.BackOff = nil   // the runner delays retries, and relies on AckWait
			config.MaxDeliver = -1 // unlimited: the runner counts attempts, because outages do not count
			config.HeadersOnly = false
			config.InactiveThreshold = 0 // keep it while no replica runs
			config.MaxAckPending = raised(config.MaxAckPending, d.maxAckPending)
			// The runner limits what it requests.
			config.MaxRequestBatch, config.MaxRequestExpires, config.MaxRequestMaxBytes = 0, 0, 0
			_, err = c.js.CreateOrUpdateConsumer(ctx, d.stream, config)
		}
		if err != nil {
			return fmt.Errorf("provision consumer %s of stream %s: %w", d.name, d.stream, unavailable(err))
		}
	}
	return nil
}

// existingStream returns the configuration of a stream and the limits to raise it to. For a stream
// that does not exist, the configuration has only the name and the lowest limits, and those to
// raise it to include the defaults.
func existingStream(
	ctx context.Context, js jetstream.JetStream, name string, limits StreamLimits,
) (jetstream.StreamConfig, StreamLimits, error) {
	stream, err := js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return jetstream.StreamConfig{Name: name, MaxBytes: 1, MaxAge: 1}, limits.withDefaults(), nil
	}
	if err != nil {
		return jetstream.StreamConfig{}, limits, err
	}
	return stream.CachedInfo().Config, limits, nil
}

// existingConsumer returns the configuration of a durable consumer. For one that does not exist, it
// has only the name and the lowest limits.
func existingConsumer(
	ctx context.Context, js jetstream.JetStream, stream, name string,
) (jetstream.ConsumerConfig, error) {
	consumer, err := js.Consumer(ctx, stream, name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return jetstream.ConsumerConfig{Durable: name, MaxAckPending: 1}, nil
	}
	if err != nil {
		return jetstream.ConsumerConfig{}, err
	}
	return consumer.CachedInfo().Config, nil
}

// raised returns the higher of two limits, of which the existing one is unlimited if it is 0 or
// negative.
func raised[T int | int64 | time.Duration](existing, wanted T) T {
	if existing <= 0 {
		return existing
	}
	return max(existing, wanted)
}

// The server's error codes for limits that it cannot provide, which package jetstream does not
// define.
const (
	errCodeInsufficientStorage  = 10047
	errCodeReplicasNotSupported = 10074 // the server is not part of a cluster
	errCodeNoSuitablePeers      = 10005
)

// hint returns what an operator can do about an error of CreateOrUpdateStream, as the end of an
// error message.
func hint(err error) string {
	var e *jetstream.APIError
	if !errors.As(err, &e) {
		return ""
	}
	switch e.ErrorCode {
	case errCodeInsufficientStorage:
		return "; give NATS more disk space, or reserve less for the streams (NATS_…_BYTES)"
	case errCodeReplicasNotSupported, errCodeNoSuitablePeers:
		return "; NATS_REPLICAS must not exceed the number of servers in the NATS cluster"
	default:
		return ""
	}
}
