package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"intray/consumers/consumertest"
	"intray/consumers/runner"
	"intray/schema"
)

// TestFailedTriesAreNotedForTheirDocument also notes one whose turn had not come.
func TestFailedTriesAreNotedForTheirDocument(t *testing.T) {
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
	settled(b)
	stop()

	tries, err := b.DB.Attempts(t.Context(), document.ID)
	if err != nil {
		t.Fatal(err)
	}
	var numbers []int
	for _, try := range tries {
		numbers = append(numbers, try.Number)
		if try.Stream != schema.StreamBucket || try.Consumer != schema.ConsumerConfirm || try.At.Before(began) || !try.NextAt.After(try.At) {
			t.Errorf("noted is %+v", try)
		}
		if long := len(try.Reason) > 300; long != (try.Number > 0) || len(try.Reason) > 600 {
			t.Errorf("the reason of try %d has %d bytes", try.Number, len(try.Reason))
		}
	}
	if len(numbers) != 3 || numbers[0] != 0 || numbers[1] != 1 || numbers[2] != 2 {
		t.Errorf("tries %v are noted, want one postponed and two that failed", numbers)
	}
	b.Exec(`UPDATE document_tries SET at = at - interval '31 days' WHERE try = 1`)
	if n, err := b.DB.PurgeEnded(t.Context(), time.Now()); err != nil || n != 1 {
		t.Errorf("%d rows were purged, want the old try: %v", n, err)
	}
	b.Exec(`DELETE FROM documents WHERE id = $1`, document.ID)
	if n := b.Count(`SELECT count(*) FROM document_tries`); n != 0 {
		t.Errorf("%d tries outlive their document", n)
	}
}
