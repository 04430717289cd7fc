package bench

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"intray/schema"
)

// drain lets the system's own consumers at the backlog and measures them between
// two measurements of MinIO's HEAD rate.
func (b *bench) drain(ctx context.Context, what string, docs []schema.Document) (d Drain, err error) {
	before, err := b.headRate(ctx, docs)
	if err != nil {
		return d, err
	}
	watched := watchMemory(b.ConsumePID)
	d.Rate, err = b.drainRate(ctx, what, len(docs))
	d.Memory = watched()
	if err != nil {
		return d, err
	}
	after, err := b.headRate(ctx, docs)
	d.Head = (before + after) / 2
	return d, err
}

// headRate is how many HEADs a second MinIO answers, 16 in flight.
func (b *bench) headRate(ctx context.Context, docs []schema.Document) (float64, error) {
	docs = docs[:min(len(docs), 5000)]
	began := time.Now()
	err := b.sideBySide(ctx, "HEADs", len(docs), func(ctx context.Context, i int) error {
		_, err := b.objects.Stat(ctx, docs[i].ObjectKey)
		return err
	})
	return float64(len(docs)) / time.Since(began).Seconds(), err
}

// drainRate lets confirm go and waits until every document is uploaded and
// announced. It counts the events, which is cheap, and then asks the database. The
// time begins with the first delivery: a consumer that was paused is delivered
// nothing until its client's next pull, which takes up to 0.5 s.
func (b *bench) drainRate(ctx context.Context, what string, n int) (float64, error) {
	stream, err := b.conn.JetStream().Stream(ctx, schema.StreamDocuments)
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", schema.StreamDocuments, err)
	}
	first := stream.CachedInfo().State.LastSeq
	consumer, err := b.conn.JetStream().Consumer(ctx, schema.StreamBucket, schema.ConsumerConfirm)
	if err != nil {
		return 0, fmt.Errorf("consumer %s of stream %s: %w", schema.ConsumerConfirm, schema.StreamBucket, err)
	}
	delivered := consumer.CachedInfo().Delivered.Consumer
	if err := b.resumeOne(ctx, schema.StreamBucket, schema.ConsumerConfirm); err != nil {
		return 0, err
	}
	err = poll(ctx, 5*time.Millisecond, func() (bool, error) {
		info, err := consumer.Info(ctx)
		return err == nil && info.Delivered.Consumer > delivered, err
	})
	if err != nil {
		return 0, fmt.Errorf("consumer %s of stream %s: %w", schema.ConsumerConfirm, schema.StreamBucket, err)
	}
	began := time.Now()
	err = poll(ctx, 20*time.Millisecond, func() (bool, error) {
		info, err := stream.Info(ctx)
		if err != nil {
			return false, fmt.Errorf("stream %s: %w", schema.StreamDocuments, err)
		}
		told := int(info.State.LastSeq - first)
		b.Progress(what+" drained", told, n)
		if told < n {
			return false, nil
		}
		waiting, err := b.db.Waiting(ctx, b.users)
		return waiting == 0, err
	})
	return float64(n) / time.Since(began).Seconds(), err
}

// watchMemory returns a function that ends the watching and gives the most that
// the process had in memory, in MiB.
func watchMemory(pid int) func() float64 {
	if pid == 0 {
		return func() float64 { return 0 }
	}
	end := make(chan struct{})
	var most float64
	var watching sync.WaitGroup
	watching.Go(func() {
		ticker := time.NewTicker(50 * time.Millisecond)
		defer ticker.Stop()
		for {
			most = max(most, resident(pid))
			select {
			case <-end:
				return
			case <-ticker.C:
			}
		}
	})
	return func() float64 {
		close(end)
		watching.Wait()
		return most
	}
}

// resident is a process's memory in MiB, or 0 where that cannot be read
// (proc_pid_statm(5): the second field, in pages).
func resident(pid int) float64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, err := strconv.Atoi(fields[1])
	if err != nil {
		return 0
	}
	return float64(pages*os.Getpagesize()) / (1 << 20)
}

// loadAverage is that of the last minute, or 0 where there is none.
func loadAverage() float64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	load, _ := strconv.ParseFloat(strings.Fields(string(text) + " 0")[0], 64)
	return load
}

// oneByOne measures a handler as one would write it first: for each message a
// HEAD, a transaction, the announcement, the acknowledgment; then the next. It
// hears the same events, both tellings of each, through a consumer of its own.
func (b *bench) oneByOne(ctx context.Context) (rate float64, floor Times, err error) {
	js := b.conn.JetStream()
	stream, err := js.Stream(ctx, schema.StreamBucket)
	if err != nil {
		return 0, floor, fmt.Errorf("stream %s: %w", schema.StreamBucket, err)
	}
	from := stream.CachedInfo().State.LastSeq + 1
	docs, _, err := b.backlog(ctx, b.Single, b.dense)
	if err != nil {
		return 0, floor, err
	}
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		FilterSubject: schema.SubjectsBucketCreated, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from,
		AckPolicy: jetstream.AckExplicitPolicy, InactiveThreshold: time.Minute,
	})
	if err != nil {
		return 0, floor, fmt.Errorf("consumer for the one-by-one handler: %w", err)
	}
	defer func() {
		_ = stream.DeleteConsumer(context.WithoutCancel(ctx), consumer.CachedInfo().Name) // it ends by itself otherwise
	}()
	messages, err := consumer.Messages()
	if err != nil {
		return 0, floor, fmt.Errorf("messages for the one-by-one handler: %w", err)
	}
	defer messages.Stop()

	var took []time.Duration
	began := time.Now()
	for len(took) < len(docs) {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return 0, floor, fmt.Errorf("next message: %w", err)
		}
		records, err := schema.DecodeBucketEvent(m.Data())
		if err != nil {
			return 0, floor, err
		}
		for _, r := range records {
			t, changed, err := b.confirmOne(ctx, r.Key)
			if err != nil {
				return 0, floor, err
			}
			if changed {
				took = append(took, t)
				b.Progress("one by one", len(took), len(docs))
			}
		}
		if err := m.Ack(); err != nil {
			return 0, floor, fmt.Errorf("acknowledge: %w", err)
		}
	}
	rate = float64(len(docs)) / time.Since(began).Seconds()
	return rate, percentiles(took), nil
}

// confirmOne confirms one document and returns how long HEAD, commit and publish
// took.
func (b *bench) confirmOne(ctx context.Context, key string) (took time.Duration, changed bool, err error) {
	found, err := b.db.DocumentsByKey(ctx, []string{key})
	if err != nil || len(found) == 0 {
		return 0, false, err
	}
	began := time.Now()
	object, err := b.objects.Stat(ctx, key)
	if err != nil {
		return 0, false, err
	}
	now := schema.Now()
	docs, err := b.db.Transition(ctx, []uuid.UUID{found[0].ID}, func(d *schema.Document, q *schema.Quota) schema.Decision {
		decision := d.Confirm(object, q, now)
		changed = decision.Changed
		return decision
	})
	if err != nil || !changed {
		return 0, false, err
	}
	if _, err := b.conn.Publish(ctx, docs); err != nil {
		return 0, false, err
	}
	took = time.Since(began)
	return took, true, b.db.MarkPublished(ctx, docs)
}

func percentiles(took []time.Duration) Times {
	if len(took) == 0 {
		return Times{}
	}
	slices.Sort(took)
	at := func(p float64) float64 { return took[int(p*float64(len(took)-1))].Seconds() * 1000 }
	return Times{P50: at(0.5), P90: at(0.9), P99: at(0.99), N: len(took)}
}
