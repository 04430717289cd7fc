package sweep

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"intray/consumers/consumertest"
	"intray/consumers/runner"
	"intray/infra/postgres"
	"intray/schema"
)

// lock executes a locking statement in a session of its own, as an operator could.
func (b bundle) lock(t *testing.T, statement string, args ...any) (release func()) {
	t.Helper()
	tx, err := b.Raw.Beginx()
	if err != nil {
		t.Fatal(err)
	}
	release = func() { _ = tx.Rollback() }
	t.Cleanup(release)
	if _, err := tx.Exec(statement, args...); err != nil {
		t.Fatal(err)
	}
	return release
}

// runBucketConsumers runs the consumers confirm and remove until the test ends.
func (b bundle) runBucketConsumers(t *testing.T) {
	t.Helper()
	for consumer, handle := range map[string]runner.Handler[[]schema.BucketRecord]{
		schema.ConsumerConfirm: b.sweeper.confirmer.Handler(b.MinIO.Bucket),
		schema.ConsumerRemove:  b.sweeper.deletions.remover.Handler(b.MinIO.Bucket),
	} {
		r, err := runner.New(b.Conn, b.DB, schema.DecodeBucketEvent, handle,
			runner.Config{Stream: schema.StreamBucket, Consumer: consumer}, b.Log)
		if err != nil {
			t.Fatal(err)
		}
		b.Go(r.Run)
	}
}

// While rows of one user are locked, documents of others are confirmed and deleted, and the sweeper
// keeps its lease. After the locks are released, nothing is lost or counted twice.
func TestLockedRowsOfOneUserHoldUpNobodyElse(t *testing.T) {
	for name, statement := range map[string]string{
		"quota":     `SELECT FROM quotas WHERE user_id = $1 FOR UPDATE`,
		"documents": `SELECT FROM documents WHERE user_id = $1 FOR UPDATE`,
		"user":      `SELECT FROM users WHERE id = $1 FOR UPDATE`,
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			const each = 6
			var uploads, deletions, lost [each]schema.Document
			var locked []schema.Document
			for i := range each {
				user := b.Alice
				if i%2 == 0 {
					user = b.Bob
				}
				uploads[i], lost[i] = b.Document(user, 3), b.Document(user, 3)
				deletions[i] = b.Change(b.Uploaded(user, "abcd").ID, deleted)
				if user == b.Bob {
					locked = append(locked, uploads[i], lost[i], deletions[i])
				}
				b.Put(lost[i].ObjectKey, "abc")
				b.setURLAge(lost[i], time.Minute)
			}
			release := b.lock(t, statement, b.Bob)
			b.runBucketConsumers(t)
			b.Go(b.newSweeper(t, Config{Interval: 200 * time.Millisecond}).Run)
			var keys []string
			for _, d := range uploads {
				b.Put(d.ObjectKey, "abc")
				keys = append(keys, d.ObjectKey)
				event := consumertest.BucketEvent(consumertest.Created, b.MinIO.Bucket, d.ObjectKey)
				for range 2 {
					b.Publish(schema.SubjectCreatedDirect, event)
				}
			}
			b.Publish(schema.SubjectCreatedDirect,
				consumertest.BucketEvent(consumertest.Created, b.MinIO.Bucket, keys...))
			lease := func() postgres.Lease {
				l, err := b.DB.Lease(t.Context(), postgres.SweepLease)
				if err != nil {
					t.Fatal(err)
				}
				return l
			}
			b.Eventually("the sweeper has the lease", func() bool { return lease().Active })
			acquired := lease().AcquiredAt
			awaitAll := func(user uuid.UUID) {
				t.Helper()
				b.Eventually("the user's uploads are confirmed and deletions carried out", func() bool {
					for i := range each {
						if uploads[i].UserID == user && (b.Status(uploads[i].ID) != "uploaded" ||
							b.Status(lost[i].ID) != "uploaded" || b.Status(deletions[i].ID) != "gone") {
							return false
						}
					}
					return true
				})
			}
			awaitAll(b.Alice)
			if name == "quota" {
				for _, d := range locked {
					if got := b.Status(d.ID); got != string(d.Status) {
						t.Errorf("locked document %s: got status %s, want %s", d.ID, got, d.Status)
					}
				}
			}
			if now := lease(); !now.Active || !now.AcquiredAt.Equal(acquired) {
				t.Errorf("got lease %+v, want the one that was acquired at %s", now, acquired)
			}
			b.ExpectUsed(b.Alice, each/2*6)
			release()
			awaitAll(b.Bob)
			b.AwaitIdle(schema.StreamBucket, schema.ConsumerConfirm)
			b.AwaitIdle(schema.StreamBucket, schema.ConsumerRemove)
			b.ExpectUsed(b.Alice, each/2*6)
			b.ExpectUsed(b.Bob, each/2*6)
			for _, table := range []string{"dead_letters", "message_attempts"} {
				if n := b.Count(`SELECT count(*) FROM ` + table); n != 0 {
					t.Errorf("got %d rows in %s, want 0", n, table)
				}
			}
		})
	}
}
