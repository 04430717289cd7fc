package nats

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"intray/schema"
)

// StreamLimits bound the streams. The zero value stands for the defaults.
//
// What is older or more than the limits is the end of what can be replayed; it
// is no loss, for reconciliation compares the bucket with the database. A full
// stream refuses new messages, which MinIO keeps in its queue meanwhile.
type StreamLimits struct {
	// MaxAge is how long messages are kept; default 30 days.
	MaxAge time.Duration
	// BucketBytes, DocumentsBytes and ReplayBytes are what each stream may take
	// of the disk, which the server sets aside when it makes the stream.
	// Defaults: 1 GiB (about 400,000 uploads, each with two events), 1 GiB (about
	// 2,000,000 events) and 512 MiB.
	BucketBytes, DocumentsBytes, ReplayBytes int64
	// Replicas is how many servers of a cluster keep each message; default 1.
	// A cluster needs 3 to survive the loss of a server.
	Replicas int
}

// WithDefaults returns the limits with each zero replaced by its default.
func (l StreamLimits) WithDefaults() StreamLimits {
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

// duplicateWindow is how long a stream drops messages whose id it has seen. It
// outlives the 30 s after which the sweeper publishes an event again, so that one
// published again by a redelivery is never stored twice.
const duplicateWindow = 2 * time.Minute

// AckWait is how long a message may be in hand before it is delivered again.
// Confirm and remove take a batch's HEADs, a transaction and the publishes, each
// of which ends or fails within about 10 s; 30 s lie well over that, and a
// worker that died delays its messages by no more. Classify takes longer and
// extends it with InProgress.
const AckWait = 30 * time.Second

// consumersOf are the durable consumers: on which stream, for which subjects, and
// how many messages may be in hand at once over all replicas.
var consumersOf = []struct {
	stream, name, filter string
	maxAckPending        int
}{
	// Eight batches of 1024 and of 256: enough that no replica waits for another's acks.
	{schema.StreamBucket, schema.ConsumerConfirm, schema.SubjectsBucketCreated, 8192},
	{schema.StreamBucket, schema.ConsumerRemove, schema.SubjectsBucketRemoved, 2048},
	// A message that waits for an AI that is away counts as in hand too: the
	// bound must not let a few hundred of those hold up the others.
	{schema.StreamDocuments, schema.ConsumerClassify, schema.SubjectDocumentUploaded, 100_000},
	// What is replayed has few in hand, so that it never keeps a worker from what
	// just happened for long.
	{schema.StreamReplay, schema.ConsumerConfirm, schema.SubjectsReplayConfirm, 1024},
	{schema.StreamReplay, schema.ConsumerClassify, schema.SubjectsReplayClassify, 64},
}

// Provision makes the streams and their durable consumers, or brings them to
// this version's settings; what they hold stays. It may be run again at any
// time, by the operator's connection. It fails with ErrUnavailable while NATS
// is away.
func Provision(ctx context.Context, c *Conn, limits StreamLimits) error {
	limits = limits.WithDefaults()
	for _, s := range []struct {
		name, subjects, description string
		bytes                       int64
	}{
		{schema.StreamBucket, schema.SubjectsBucket, "What MinIO says about the bucket", limits.BucketBytes},
		{schema.StreamDocuments, schema.SubjectsDocuments, "What happened to documents", limits.DocumentsBytes},
		{schema.StreamReplay, schema.SubjectsReplay, "Events that an operator asked for again", limits.ReplayBytes},
	} {
		config := jetstream.StreamConfig{
			Name: s.name, Subjects: []string{s.subjects}, Description: s.description,
			Storage:   jetstream.FileStorage,
			Retention: jetstream.LimitsPolicy, // what was read can be replayed
			Discard:   jetstream.DiscardNew,   // rather refuse than drop what nobody has read
			MaxBytes:  s.bytes, MaxAge: limits.MaxAge,
			Duplicates: min(duplicateWindow, limits.MaxAge),
			Replicas:   limits.Replicas,
		}
		// Publish and Replay store many events at once.
		config.AllowAtomicPublish = s.name != schema.StreamBucket
		if s.name == schema.StreamDocuments {
			config.AllowDirect = true // Follow reads what it missed
			config.RePublish = &jetstream.RePublish{Source: storedSource, Destination: storedDestination}
		}
		if _, err := c.js.CreateOrUpdateStream(ctx, config); err != nil {
			return fmt.Errorf("provision stream %s: %w", s.name, unavailable(err))
		}
	}
	for _, d := range consumersOf {
		_, err := c.js.CreateOrUpdateConsumer(ctx, d.stream, jetstream.ConsumerConfig{
			Durable: d.name, FilterSubject: d.filter,
			DeliverPolicy: jetstream.DeliverAllPolicy,
			AckPolicy:     jetstream.AckExplicitPolicy,
			AckWait:       AckWait,
			MaxDeliver:    -1, // the runner counts attempts, and an outage is none
			MaxAckPending: d.maxAckPending,
			Replicas:      limits.Replicas,
		})
		if err != nil {
			return fmt.Errorf("provision consumer %s of stream %s: %w", d.name, d.stream, unavailable(err))
		}
	}
	return nil
}
