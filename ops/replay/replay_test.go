package replay_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
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

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{Bundle: consumertest.New(t)}
	b.archive = replay.Archive{DB: b.Open(b.OwnerURL), Conn: b.Operator, Objects: b.Objects, BucketName: b.MinIO.Bucket}
	return b
}

const maxAttempts = 3

// consume runs the target confirm with the handler until the test ends.
func (b *bundle) consume(t *testing.T, handle runner.Handler[[]schema.BucketRecord]) (stop func()) {
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
	return b.Go(run.Run)
}

func (b *bundle) confirm() runner.Handler[[]schema.BucketRecord] {
	return confirm.New(b.DB, b.Objects, b.Publisher, b.Log).Handler(b.MinIO.Bucket)
}

// created stores an object of a new pending document and publishes its event.
func (b *bundle) created(t *testing.T) schema.Document {
	t.Helper()
	d := b.Document(b.Alice, 3)
	b.Put(d.ObjectKey, "abc")
	b.Publish(schema.SubjectCreatedDurable, consumertest.BucketEvent(consumertest.Created, b.MinIO.Bucket, d.ObjectKey))
	return d
}

func (b *bundle) prepare(t *testing.T, name string, s replay.Selection) replay.Plan {
	t.Helper()
	plan, err := b.archive.Prepare(t.Context(), replay.Confirm, s, 0, &postgres.Replay{Name: name, Selection: []byte(`{}`)}, nil)
	if err == nil {
		err = b.archive.Start(t.Context(), name)
	}
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// many is a bound on live messages that nobody handles in these tests.
const many = 1 << 20

func (b *bundle) run(t *testing.T, name string) postgres.Replay {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), consumertest.Timeout)
	defer cancel()
	r, err := replay.Runner{Archive: b.archive, MaxLag: many}.Run(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func expect(t *testing.T, r postgres.Replay, status string, matched, applied, unchanged, failed int64) {
	t.Helper()
	if r.Status != status || r.Matched != matched || r.Applied != applied || r.Unchanged != unchanged || r.Failed != failed {
		t.Errorf("replay %s is %s: %d = %d + %d + %d, want %s: %d = %d + %d + %d", r.Name, r.Status, r.Matched, r.Applied, r.Unchanged, r.Failed,
			status, matched, applied, unchanged, failed)
	}
}

func TestEachEventComesToOneOutcome(t *testing.T) {
	b := setup(t)
	lost := b.created(t)
	b.created(t)
	broken, poisoned := b.created(t), b.created(t)
	b.Publish(schema.SubjectCreatedDurable, consumertest.BucketEvent(consumertest.Created, b.MinIO.Bucket, lost.ObjectKey))
	b.Publish(schema.SubjectCreatedDurable, consumertest.BucketEvent(consumertest.Created, "another", lost.ObjectKey))
	b.Publish(schema.SubjectCreatedDurable, []byte("no event"))
	b.Publish(schema.SubjectRemovedDurable, consumertest.BucketEvent(consumertest.Removed, b.MinIO.Bucket, lost.ObjectKey))

	var once sync.Once
	handle := b.confirm()
	b.consume(t, func(ctx context.Context, batch []runner.Message[[]schema.BucketRecord]) []error {
		var outage error
		once.Do(func() { outage = fmt.Errorf("once: %w", postgres.ErrUnavailable) })
		errs := handle(ctx, batch)
		for i, m := range batch {
			switch m.Event[0].Key {
			case poisoned.ObjectKey:
				panic("cannot bear this one")
			case broken.ObjectKey:
				errs[i] = runner.Permanent(errors.New("never"))
			}
			if outage != nil {
				errs[i] = outage
			}
		}
		return errs
	})
	if plan := b.prepare(t, "r", replay.Selection{}); plan.Matched != 5 || plan.Statuses["pending"] != 5 || plan.Cut {
		t.Errorf("plan %+v", plan)
	}
	r := b.run(t, "r")
	// What the first call did before it met the outage counts as unchanged the second
	// time; the sum holds.
	if r.Status != postgres.ReplayDone || r.Matched != 5 || r.Failed != 2 || r.Applied+r.Unchanged != 3 {
		t.Errorf("replay %+v", r)
	}
	b.Expect(lost.ID, "uploaded")
	if n := b.Count(`SELECT count(*) FROM dead_letters WHERE stream = 'REPLAY' AND consumer = 'confirm'`); n != 2 {
		t.Errorf("%d dead letters", n)
	}
	b.prepare(t, "again", replay.Selection{KeyPrefix: lost.ObjectKey})
	expect(t, b.run(t, "again"), "done", 2, 0, 2, 0)
	b.prepare(t, "failed", replay.Selection{OnlyFailed: true}) // the dead letters are REPLAY's own, and all documents count by now
	expect(t, b.run(t, "failed"), "done", 0, 0, 0, 0)
}

// Events without an outcome that nobody has are published once more.
func TestWhatGetsLostOnTheWayIsPublishedAgain(t *testing.T) {
	b := setup(t)
	var docs []schema.Document
	for range 5 {
		docs = append(docs, b.created(t))
	}
	b.prepare(t, "r", replay.Selection{})
	ended := make(chan postgres.Replay, 1)
	b.Go(func(ctx context.Context) {
		r, err := replay.Runner{Archive: b.archive, MaxLag: many}.Run(ctx, "r")
		if err != nil && ctx.Err() == nil {
			t.Error(err)
		}
		ended <- r
	})
	b.Eventually("they are published", func() bool {
		return b.ConsumerInfo(schema.StreamReplay, replay.Confirm).NumPending == 5
	})
	if _, err := (replay.Runner{Archive: b.archive}).Run(t.Context(), "r"); !errors.Is(err, replay.ErrAttended) {
		t.Errorf("a second run: %v", err)
	}
	if err := b.Operator.PurgeReplay(t.Context(), nats.ReplaySubject(replay.Confirm, "r"), 0); err != nil {
		t.Fatal(err)
	}
	b.consume(t, b.confirm())
	expect(t, <-ended, "done", 5, 5, 0, 0)
	for _, d := range docs {
		b.Expect(d.ID, "uploaded")
	}
}

func TestEventsThatAreNotKeptAnyMoreFail(t *testing.T) {
	b := setup(t)
	for range 5 {
		b.created(t)
	}
	b.prepare(t, "r", replay.Selection{})
	stream, err := b.Operator.JetStream().Stream(t.Context(), schema.StreamBucket)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.DeleteMsg(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := stream.DeleteMsg(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	b.consume(t, b.confirm())
	expect(t, b.run(t, "r"), "done", 5, 3, 0, 2)
	plan, err := b.archive.Prepare(t.Context(), replay.Confirm, replay.Selection{From: time.Now().Add(-time.Hour)}, 0, nil, nil)
	if err != nil || !plan.Cut || plan.Matched != 3 {
		t.Errorf("plan %+v, %v", plan, err)
	}

	b.prepare(t, "orphaned", replay.Selection{})
	if err := b.Operator.JetStream().DeleteStream(t.Context(), schema.StreamBucket); err != nil {
		t.Fatal(err)
	}
	if err := nats.Provision(t.Context(), b.Operator, nats.StreamLimits{}); err != nil {
		t.Fatal(err)
	}
	if _, err := (replay.Runner{Archive: b.archive}).Run(t.Context(), "orphaned"); err == nil || !strings.Contains(err.Error(), "made anew") {
		t.Errorf("on another stream: %v", err)
	}
	if r, err := (replay.Runner{Archive: b.archive}).Cancel(t.Context(), "orphaned"); err != nil || r.Status != postgres.ReplayCanceled {
		t.Errorf("canceled %+v, %v", r, err)
	}
}

// Live events go first: while more of them wait than allowed, none is replayed.
func TestItWaitsForLiveEvents(t *testing.T) {
	b := setup(t)
	for range 5 {
		b.created(t)
	}
	b.consume(t, b.confirm())
	b.prepare(t, "r", replay.Selection{})
	waits := make(chan string, 100)
	ended := make(chan postgres.Replay, 1)
	b.Go(func(ctx context.Context) {
		r, err := replay.Runner{Archive: b.archive, MaxLag: 4, Progress: func(_ postgres.Replay, waiting string) {
			select {
			case waits <- waiting:
			default:
			}
		}}.Run(ctx, "r")
		if err != nil && ctx.Err() == nil {
			t.Error(err)
		}
		ended <- r
	})
	for waiting := ""; waiting != "5 live events"; {
		select {
		case waiting = <-waits:
		case <-time.After(consumertest.Timeout):
			t.Fatal("it does not say that it waits")
		}
	}
	if n := b.ConsumerInfo(schema.StreamReplay, replay.Confirm).Delivered.Consumer; n != 0 {
		t.Errorf("%d events were replayed meanwhile", n)
	}
	live, err := runner.New(b.Conn, b.DB, schema.DecodeBucketEvent, b.confirm(),
		runner.Config{Stream: schema.StreamBucket, Consumer: schema.ConsumerConfirm}, b.Log)
	if err != nil {
		t.Fatal(err)
	}
	b.Go(live.Run)
	expect(t, <-ended, "done", 5, 0, 5, 0)
}

func TestMadeEventsOutliveTheirRun(t *testing.T) {
	b := setup(t)
	for range 3 {
		d := b.Document(b.Alice, 3)
		b.Put(d.ObjectKey, "abc")
	}
	plan := b.prepare(t, "r", replay.Selection{FromBucket: true})
	if plan.Matched != 3 || plan.Kinds[replay.KindCreated] != 3 {
		t.Errorf("plan %+v", plan)
	}
	d := b.Document(b.Alice, 3) // one that came later is not among them
	b.Put(d.ObjectKey, "abc")
	if _, err := b.archive.Prepare(t.Context(), replay.Confirm, replay.Selection{FromBucket: true}, 0, &postgres.Replay{Name: "other", Selection: []byte(`{}`)}, nil); err != nil {
		t.Fatal(err)
	}
	if err := b.archive.Start(t.Context(), "other"); !errors.Is(err, replay.ErrOverlap) {
		t.Errorf("another from the bucket: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (replay.Runner{Archive: b.archive}).Run(ctx, "r"); err == nil {
		t.Error("a run that was canceled succeeds")
	}
	b.consume(t, b.confirm())
	expect(t, b.run(t, "r"), "done", 3, 3, 0, 0)
	b.Expect(d.ID, "pending")
	if n := b.Count(`SELECT count(*) FROM replay_generated_events`); n != 0 {
		t.Errorf("%d made events are left", n)
	}
}

// OnlyFailed chooses by the documents' status, and by the dead letters of the stream.
func TestOnlyFailed(t *testing.T) {
	b := setup(t)
	b.created(t)
	for _, d := range []schema.Document{b.Uploaded(b.Alice, "abc"), b.Uploaded(b.Alice, "abc")} {
		event := consumertest.BucketEvent(consumertest.Created, b.MinIO.Bucket, d.ObjectKey)
		b.Publish(schema.SubjectCreatedDurable, event)
	}
	b.Exec(`INSERT INTO dead_letters (stream, sequence, consumer, subject, data, reason, attempts, first_at) VALUES
		('BUCKET', 3, 'confirm', 's', '', 'test', 1, now()), ('REPLAY', 2, 'confirm', 's', '', 'test', 1, now())`)
	for name, c := range map[string]struct {
		selection replay.Selection
		want      map[string]int64 // by status
	}{
		"all events":             {replay.Selection{}, map[string]int64{"pending": 1, "uploaded": 2}},
		"failed events":          {replay.Selection{OnlyFailed: true}, map[string]int64{"pending": 1, "uploaded": 1}},
		"objects":                {replay.Selection{FromBucket: true}, map[string]int64{"pending": 1, "uploaded": 2}},
		"objects not brought on": {replay.Selection{FromBucket: true, OnlyFailed: true}, map[string]int64{"pending": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			plan, err := b.archive.Prepare(t.Context(), replay.Confirm, c.selection, 0, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !maps.Equal(plan.Statuses, c.want) {
				t.Errorf("got events by status %v, want %v", plan.Statuses, c.want)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{"", "null", "{}", `{"replay":"r","position":1,"keys":["a"]}`, `{"replay":"r","document":"0190b5a0-0000-7000-8000-000000000000"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := replay.Decode(data)
		if err != nil {
			if !errors.Is(err, schema.ErrUndecodable) {
				t.Errorf("%q: %v", data, err)
			}
			return
		}
		if m.Replay == "" || len(replay.BucketEvent(m)) != len(m.Keys) || (m.Document != nil && replay.DocumentEvent(m).DocumentID != *m.Document) {
			t.Errorf("%q gives %+v", data, m)
		}
	})
}
