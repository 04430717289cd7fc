package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"intray/infra/local/localtest"
	"intray/infra/postgres"
	"intray/infra/postgres/postgrestest"
	"intray/schema"
)

// setupSkewed returns the bundle of a database whose clock appears to differ.
func setupSkewed(t *testing.T, difference time.Duration) *bundle {
	t.Helper()
	url := localtest.PostgresMigrated(t, postgrestest.Migrate)
	must(t, postgrestest.SkewClock(t.Context(), openRaw(t, url), difference))
	return setupAt(t, url)
}

// All stored times are those of the server's clock.
func TestStoredTimesComeFromTheServer(t *testing.T) {
	for _, skew := range []time.Duration{5 * time.Minute, -5 * time.Minute} {
		t.Run(fmt.Sprint(skew), func(t *testing.T) {
			b := setupSkewed(t, skew)
			began, err := b.worker.Now(t.Context())
			must(t, err)
			if got := time.Until(began); (got - skew).Abs() > 10*time.Second {
				t.Fatalf("the server's clock differs by %s, want %s", got, skew)
			}
			estimated := b.worker.EstimatedNow().Sub(began)
			if estimated.Abs() > 5*time.Second {
				t.Errorf("the estimated time differs from the server's clock by %s", estimated)
			}

			create := func(key string) schema.Document {
				d, _, err := b.api.ForUser(b.alice).CreateDocument(
					t.Context(), newDocument(t, b.alice, 1), key, 100)
				must(t, err)
				for _, at := range []time.Time{d.CreatedAt, d.URLIssuedAt, d.ChangedAt} {
					if at.Sub(began).Abs() > time.Minute {
						t.Errorf("got a new document with the time %s, want about %s", at, began)
					}
				}
				return d
			}
			create("")
			create("key")
			create("key")
			for _, decide := range []postgres.DecideFunc{
				remove, operations["wrong size"], operations["classified"], operations["failed"], gone,
			} {
				d := create("")
				b.transition(t, d.ID, confirm)
				b.transition(t, d.ID, decide)
			}
			d := create("")
			docs, err := b.worker.MarkUnpublished(t.Context(), []uuid.UUID{d.ID})
			must(t, err)
			must(t, b.worker.MarkPublished(t.Context(), docs))
			b.begin(t, d, "one", 0)
			b.begin(t, d, "two", 0)
			_, err = b.api.ForUser(b.alice).Multipart(t.Context(), d.ID, true)
			must(t, err)
			for number := range 2 {
				must(t, b.worker.RecordAttempt(t.Context(), []uuid.UUID{d.ID}, postgres.NewAttempt{
					Stream: "DOCUMENTS", Consumer: "classify", Number: number, Wait: time.Second,
				}))
			}
			attempts, err := b.worker.Attempts(t.Context(), d.ID)
			must(t, err)
			for _, a := range attempts {
				if wait := a.NextAt.Sub(a.At); wait != time.Second {
					t.Errorf("got the next attempt after %s, want 1 s", wait)
				}
			}
			must(t, b.worker.AddDeadLetter(t.Context(), postgres.DeadLetter{
				Stream: "BUCKET", Consumer: "confirm", Documents: []uuid.UUID{d.ID}, FirstAt: began,
			}))

			found, err := postgrestest.MisdatedTimes(t.Context(), b.raw, began)
			must(t, err)
			for _, f := range found {
				t.Error(f)
			}
		})
	}
}
