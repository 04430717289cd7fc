package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"intray/consumers/consumertest"
	"intray/consumers/runner"
	"intray/schema"
)

func TestAttemptsAreRecordedForTheirDocument(t *testing.T) {
	b := consumertest.New(t)
	document := b.Document(b.Alice, 5)
	var calls atomic.Int32
	handle := func(_ context.Context, batch []runner.Message[[]schema.BucketRecord]) []error {
		errs := make([]error, len(batch))
		switch calls.Add(1) {
		case 1, 2:
			errs[0] = runner.Postpone(errors.New("not yet"), time.Millisecond)
		case 3, 4:
			errs[0] = errors.New(strings.Repeat("no\x00", 300))
		}
		return errs
	}
	run, err := runner.New(b.Conn, b.DB, alwaysUp, schema.DecodeBucketEvent, handle, quick, consumertest.Discard())
	if err != nil {
		t.Fatal(err)
	}
	event, err := json.Marshal(map[string]any{"Records": []any{map[string]any{
		"eventName": "s3:ObjectCreated:Put", "s3": map[string]any{"object": map[string]any{"key": document.ObjectKey}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	stop := b.Go(run.Run)
	b.Publish(schema.SubjectCreatedDirect, event)
	awaitIdle(b)
	stop()

	attempts, err := b.DB.Attempts(t.Context(), document.ID)
	if err != nil {
		t.Fatal(err)
	}
	var numbers []int
	for _, a := range attempts {
		numbers = append(numbers, a.Number)
		if a.Stream != schema.StreamBucket || a.Consumer != schema.ConsumerConfirm || a.At.Before(began) || !a.NextAt.After(a.At) {
			t.Errorf("got attempt %+v, want one of the consumer confirm since %s", a, began)
		}
		if long := len(a.Reason) > 300; long != (a.Number > 0) || len(a.Reason) > 600 {
			t.Errorf("got a reason of %d bytes for attempt %d, want it cut at about 500", len(a.Reason), a.Number)
		}
	}
	if want := []int{0, 1, 2}; !slices.Equal(numbers, want) {
		t.Errorf("got attempts %v, want one postponement and two failures, %v", numbers, want)
	}
	b.Exec(`UPDATE document_attempts SET at = at - interval '31 days' WHERE attempt = 1`)
	if n, err := b.DB.PurgeExpired(t.Context(), time.Now()); err != nil || n != 1 {
		t.Errorf("purged %d rows, %v; want the old attempt", n, err)
	}
	b.Exec(`DELETE FROM documents WHERE id = $1`, document.ID)
	if n := b.Count(`SELECT count(*) FROM document_attempts`); n != 0 {
		t.Errorf("got %d attempts after their document's end, want 0", n)
	}
}
