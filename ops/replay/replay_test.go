package replay_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"intray/consumers/confirm"
	"intray/consumers/consumertest"
	"intray/consumers/runner"
	"intray/infra/nats"
	"intray/infra/postgres"
	"intray/ops/replay"
	"intray/schema"
)

func TestMain(m *testing.M) { consumertest.Main(m) }

type bundle struct {
	*consumertest.Bundle
	archive replay.Archive
}

func setup(t testing.TB) *bundle {
	t.Helper()
	b := &bundle{Bundle: consumertest.New(t)}
	b.archive = replay.Archive{
		DB: b.Open(b.OwnerURL), Conn: b.Operator, Objects: b.Objects, BucketName: b.MinIO.Bucket,
	}
	return b
}

const maxAttempts = 3

// consume runs the confirm target with the handler until the test ends.
func (b *bundle) consume(t *testing.T, handle runner.Handler[[]schema.BucketRecord]) {
	t.Helper()
	c := runner.Config{
		Stream: schema.StreamReplay, Consumer: replay.Confirm, MaxAttempts: maxAttempts,
		MinDelay: time.Millisecond, MaxDelay: 2 * time.Millisecond,
	}
	handler := replay.Handler(b.DB, replay.BucketEvent, handle, maxAttempts)
	run, err := runner.New(b.Conn, b.DB, replay.Decode, handler, c, b.Log)
	if err != nil {
		t.Fatal(err)
	}
	b.Go(run.Run)
}

func (b *bundle) confirm() runner.Handler[[]schema.BucketRecord] {
	return confirm.New(b.DB, b.Objects, b.Publisher, b.Log).Handler(b.MinIO.Bucket)
}

// publishCreated publishes the bucket event for the creation of an object.
func (b *bundle) publishCreated(key string) {
	event := consumertest.BucketEvent(consumertest.Created, b.MinIO.Bucket, key)
	b.Publish(schema.SubjectCreatedDurable, event)
}

// pending creates a pending document and its object.
func (b *bundle) pending() schema.Document {
	d := b.Document(b.Alice, 3)
	b.Put(d.ObjectKey, "abc")
	return d
}

// created creates a pending document and its object, and publishes the object's event.
func (b *bundle) created() schema.Document {
	d := b.pending()
	b.publishCreated(d.ObjectKey)
	return d
}

// plan plans a replay to confirm, and stores it under the name unless the name is empty.
func (b *bundle) plan(t testing.TB, name string, s replay.Selection) replay.Plan {
	t.Helper()
	var r *postgres.Replay
	if name != "" {
		r = &postgres.Replay{Name: name, Selection: []byte(`{}`)}
	}
	plan, err := b.archive.Prepare(t.Context(), replay.Confirm, s, 0, r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// start plans and starts a replay to confirm.
func (b *bundle) start(t testing.TB, name string, s replay.Selection) replay.Plan {
	t.Helper()
	plan := b.plan(t, name, s)
	if err := b.archive.Start(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	return plan
}

// noMaxLag is higher than the number of live messages in these tests, which no consumer handles.
const noMaxLag = 1 << 20

func (b *bundle) run(t *testing.T, name string) postgres.Replay {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), consumertest.Timeout)
	defer cancel()
	r, err := replay.Runner{Archive: b.archive, MaxLag: noMaxLag}.Run(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// runInBackground runs a started replay until the replay or the test ends, and sends the replay's
// final state.
func (b *bundle) runInBackground(
	t *testing.T, name string, runner replay.Runner,
) <-chan postgres.Replay {
	runner.Archive = b.archive
	ended := make(chan postgres.Replay, 1)
	b.Go(func(ctx context.Context) {
		r, err := runner.Run(ctx, name)
		if err != nil && ctx.Err() == nil {
			t.Error(err)
		}
		ended <- r
	})
	return ended
}

// counts holds how many events of a replay matched, and how many of them had each outcome.
type counts struct{ matched, applied, unchanged, failed int64 }

func expectDone(t *testing.T, r postgres.Replay, want counts) {
	t.Helper()
	got := counts{r.Matched, r.Applied, r.Unchanged, r.Failed}
	if r.Status != postgres.ReplayDone || got != want {
		t.Errorf("replay %s: got status %s, events %+v, want done, %+v", r.Name, r.Status, got, want)
	}
}

func TestEachEventGetsOneOutcome(t *testing.T) {
	b := setup(t)
	d := b.created()
	b.created()
	broken, poisoned := b.created(), b.created()
	b.publishCreated(d.ObjectKey)
	for _, unsupported := range []struct {
		subject string
		data    []byte
	}{
		{schema.SubjectCreatedDurable, consumertest.BucketEvent(consumertest.Created, "other", d.ObjectKey)},
		{schema.SubjectCreatedDurable, []byte("no event")},
		{schema.SubjectRemovedDurable, consumertest.BucketEvent(consumertest.Removed, b.MinIO.Bucket, d.ObjectKey)},
	} {
		b.Publish(unsupported.subject, unsupported.data)
	}

	var once sync.Once
	handle := b.confirm()
	b.consume(t, func(ctx context.Context, batch []runner.Message[[]schema.BucketRecord]) []error {
		var outage error
		once.Do(func() { outage = fmt.Errorf("first batch: %w", postgres.ErrUnavailable) })
		errs := handle(ctx, batch)
		for i, m := range batch {
			switch m.Event[0].Key {
			case poisoned.ObjectKey:
				panic("poisoned message")
			case broken.ObjectKey:
				errs[i] = runner.Permanent(errors.New("broken document"))
			}
			if outage != nil {
				errs[i] = outage
			}
		}
		return errs
	})

	t.Run("supported events get one outcome each", func(t *testing.T) {
		plan := b.start(t, "all", replay.Selection{})
		if plan.Matched != 5 || plan.Statuses["pending"] != 5 || plan.Truncated {
			t.Errorf("got plan %+v, want 5 events of pending documents, not truncated", plan)
		}
		r := b.run(t, "all")
		// What the first batch changed before the outage counts as unchanged when the batch is
		// delivered again, so only the sum is known.
		if r.Status != postgres.ReplayDone || r.Matched != 5 || r.Failed != 2 ||
			r.Applied+r.Unchanged != 3 {
			t.Errorf("got %+v, want it done with 5 matched, 2 failed, 3 applied or unchanged", r)
		}
		b.Expect(d.ID, "uploaded")
		const query = `SELECT count(*) FROM dead_letters
			WHERE stream = 'REPLAY' AND consumer = 'confirm'`
		if got := b.Count(query); got != 2 {
			t.Errorf("got %d dead letters, want 2", got)
		}
	})
	t.Run("a second replay changes nothing", func(t *testing.T) {
		b.start(t, "again", replay.Selection{KeyPrefix: d.ObjectKey})
		expectDone(t, b.run(t, "again"), counts{matched: 2, unchanged: 2})
	})
	t.Run("dead letters of the REPLAY stream are not selected", func(t *testing.T) {
		b.start(t, "failed", replay.Selection{OnlyFailed: true})
		expectDone(t, b.run(t, "failed"), counts{})
	})
}

func TestLostMessagesArePublishedAgain(t *testing.T) {
	b := setup(t)
	var docs []schema.Document
	for range 5 {
		docs = append(docs, b.created())
	}
	b.start(t, "r", replay.Selection{})
	ended := b.runInBackground(t, "r", replay.Runner{MaxLag: noMaxLag})
	b.Eventually("the events are published", func() bool {
		return b.ConsumerInfo(schema.StreamReplay, replay.Confirm).NumPending == 5
	})
	_, err := replay.Runner{Archive: b.archive}.Run(t.Context(), "r")
	if !errors.Is(err, replay.ErrAlreadyRunning) {
		t.Errorf("second run: got error %v, want ErrAlreadyRunning", err)
	}
	subject := nats.ReplaySubject(replay.Confirm, "r")
	if err := b.Operator.PurgeReplay(t.Context(), subject, 0); err != nil {
		t.Fatal(err)
	}
	b.consume(t, b.confirm())
	expectDone(t, <-ended, counts{matched: 5, applied: 5})
	for _, d := range docs {
		b.Expect(d.ID, "uploaded")
	}
}

func TestEventsThatAreNoLongerStoredFail(t *testing.T) {
	b := setup(t)
	for range 5 {
		b.created()
	}
	b.start(t, "r", replay.Selection{})
	stream, err := b.Operator.JetStream().Stream(t.Context(), schema.StreamBucket)
	if err != nil {
		t.Fatal(err)
	}
	for _, sequence := range []uint64{1, 4} {
		if err := stream.DeleteMsg(t.Context(), sequence); err != nil {
			t.Fatal(err)
		}
	}
	b.consume(t, b.confirm())
	expectDone(t, b.run(t, "r"), counts{matched: 5, applied: 3, failed: 2})
	plan := b.plan(t, "", replay.Selection{From: time.Now().Add(-time.Hour)})
	if !plan.Truncated || plan.Matched != 3 {
		t.Errorf("got plan %+v, want 3 events and a truncated window", plan)
	}
}

func TestReplayOfLostStreamIsNotResumable(t *testing.T) {
	b := setup(t)
	b.created()
	b.start(t, "r", replay.Selection{})
	if err := b.Operator.JetStream().DeleteStream(t.Context(), schema.StreamBucket); err != nil {
		t.Fatal(err)
	}
	if err := nats.Provision(t.Context(), b.Operator, nats.StreamLimits{}); err != nil {
		t.Fatal(err)
	}
	r := replay.Runner{Archive: b.archive}
	if _, err := r.Run(t.Context(), "r"); !errors.Is(err, replay.ErrNotResumable) {
		t.Errorf("run: got error %v, want ErrNotResumable", err)
	}
	got, err := r.Cancel(t.Context(), "r")
	if err != nil || got.Status != postgres.ReplayCanceled {
		t.Errorf("cancel: got status %s, error %v, want canceled", got.Status, err)
	}
}

func TestLiveEventsHavePriority(t *testing.T) {
	b := setup(t)
	for range 5 {
		b.created()
	}
	b.consume(t, b.confirm())
	b.start(t, "r", replay.Selection{})
	reports := make(chan string, 100)
	ended := b.runInBackground(t, "r", replay.Runner{
		MaxLag: 4,
		Progress: func(_ postgres.Replay, waitsFor string) {
			select {
			case reports <- waitsFor:
			default:
			}
		},
	})
	for waitsFor := ""; waitsFor != "5 live events"; {
		select {
		case waitsFor = <-reports:
		case <-time.After(consumertest.Timeout):
			t.Fatal("got no progress report that the replay waits for 5 live events")
		}
	}
	info := b.ConsumerInfo(schema.StreamReplay, replay.Confirm)
	if got := info.Delivered.Consumer; got != 0 {
		t.Errorf("got %d replayed events before the live ones, want 0", got)
	}
	live, err := runner.New(b.Conn, b.DB, schema.DecodeBucketEvent, b.confirm(),
		runner.Config{Stream: schema.StreamBucket, Consumer: schema.ConsumerConfirm}, b.Log)
	if err != nil {
		t.Fatal(err)
	}
	b.Go(live.Run)
	expectDone(t, <-ended, counts{matched: 5, unchanged: 5})
}

func TestReplayFromBucketIsResumed(t *testing.T) {
	b := setup(t)
	for range 3 {
		b.pending()
	}
	fromBucket := replay.Selection{FromBucket: true}
	plan := b.start(t, "r", fromBucket)
	if plan.Matched != 3 || plan.Kinds[replay.KindCreated] != 3 {
		t.Errorf("got plan %+v, want 3 events of kind created", plan)
	}
	later := b.pending()

	t.Run("a concurrent replay from the bucket is refused", func(t *testing.T) {
		b.plan(t, "other", fromBucket)
		if err := b.archive.Start(t.Context(), "other"); !errors.Is(err, replay.ErrOverlap) {
			t.Errorf("got error %v, want ErrOverlap", err)
		}
	})
	t.Run("an interrupted run is resumed", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := (replay.Runner{Archive: b.archive}).Run(ctx, "r"); err == nil {
			t.Error("got no error from a run with a canceled context, want one")
		}
		b.consume(t, b.confirm())
		expectDone(t, b.run(t, "r"), counts{matched: 3, applied: 3})
	})
	t.Run("later objects are not replayed", func(t *testing.T) { b.Expect(later.ID, "pending") })
	t.Run("the generated events are deleted at the end", func(t *testing.T) {
		if got := b.Count(`SELECT count(*) FROM replay_generated_events`); got != 0 {
			t.Errorf("got %d generated events, want 0", got)
		}
	})
}

func TestOnlyFailedSelectsByStatusAndDeadLetters(t *testing.T) {
	b := setup(t)
	b.created()
	for range 2 {
		b.publishCreated(b.Uploaded(b.Alice, "abc").ObjectKey)
	}
	b.Exec(`INSERT INTO dead_letters
			(stream, sequence, consumer, subject, data, reason, attempts, first_at)
		VALUES ('BUCKET', 3, 'confirm', 's', '', 'test', 1, now()),
			('REPLAY', 2, 'confirm', 's', '', 'test', 1, now())`)
	type byStatus map[string]int64
	for name, c := range map[string]struct {
		selection replay.Selection
		want      byStatus
	}{
		"all events":     {replay.Selection{}, byStatus{"pending": 1, "uploaded": 2}},
		"failed events":  {replay.Selection{OnlyFailed: true}, byStatus{"pending": 1, "uploaded": 1}},
		"all objects":    {replay.Selection{FromBucket: true}, byStatus{"pending": 1, "uploaded": 2}},
		"failed objects": {replay.Selection{FromBucket: true, OnlyFailed: true}, byStatus{"pending": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := b.plan(t, "", c.selection).Statuses; !maps.Equal(got, c.want) {
				t.Errorf("got events by status %v, want %v", got, c.want)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		"", "null", "{}",
		`{"replay":"r","position":1,"keys":["a"]}`,
		`{"replay":"r","document":"0190b5a0-0000-7000-8000-000000000000"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := replay.Decode(data)
		if err != nil {
			if !errors.Is(err, schema.ErrUndecodable) {
				t.Errorf("%q: got error %v, want ErrUndecodable", data, err)
			}
			return
		}
		if m.Replay == "" || len(replay.BucketEvent(m)) != len(m.Keys) {
			t.Errorf("%q: got %+v, want a replay and a record for each key", data, m)
		}
		if m.Document != nil && replay.DocumentEvent(m).DocumentID != *m.Document {
			t.Errorf("%q: got event %+v, want document %s", data, replay.DocumentEvent(m), m.Document)
		}
	})
}
