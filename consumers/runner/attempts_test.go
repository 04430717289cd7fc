package runner_test

import (
	"context"
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

func TestAttemptsAreRecordedForTheDocument(t *testing.T) {
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
	r, err := runner.New(b.Conn, b.DB, schema.DecodeBucketEvent, handle, fastConfig,
		consumertest.Discard())
	if err != nil {
		t.Fatal(err)
	}
	event := consumertest.BucketEvent(consumertest.Created, b.MinIO.Bucket, document.ObjectKey)
	began := time.Now()
	stop := b.Go(r.Run)
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
		if a.Stream != schema.StreamBucket || a.Consumer != schema.ConsumerConfirm ||
			a.At.Before(began) || !a.NextAt.After(a.At) {
			t.Errorf("got attempt %+v, want one by consumer confirm after %s", a, began)
		}
		if long := len(a.Reason) > 300; long != (a.Number > 0) || len(a.Reason) > 600 {
			t.Errorf("attempt %d: got a reason of %d bytes, want it truncated to about 500",
				a.Number, len(a.Reason))
		}
	}
	if want := []int{0, 1, 2}; !slices.Equal(numbers, want) {
		t.Errorf("got attempts %v, want one postponement and two failures, %v", numbers, want)
	}
	b.Exec(`UPDATE document_attempts SET at = at - interval '31 days' WHERE attempt = 1`)
	if n, err := b.DB.PurgeExpired(t.Context(), time.Now()); err != nil || n != 1 {
		t.Errorf("got %d rows purged, %v; want 1, the old attempt", n, err)
	}
	b.Exec(`DELETE FROM documents WHERE id = $1`, document.ID)
	if n := b.Count(`SELECT count(*) FROM document_attempts`); n != 0 {
		t.Errorf("got %d attempts of a deleted document, want 0", n)
	}
}
