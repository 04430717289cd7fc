package sweep

import (
	"fmt"
	"testing"
	"time"

	"intray/infra/postgres/postgrestest"
	"intray/schema"
)

// The sweeper is neither late nor early if the database's clock differs from that of its machine.
func TestClocksThatDiffer(t *testing.T) {
	for _, skew := range []time.Duration{5 * time.Minute, -5 * time.Minute} {
		t.Run(fmt.Sprint(skew), func(t *testing.T) {
			b := setup(t)
			if err := postgrestest.SkewClock(t.Context(), b.Raw, skew); err != nil {
				t.Fatal(err)
			}
			b.Eventually("the sessions are replaced", func() bool {
				now, err := b.DB.Now(t.Context())
				return err == nil && (time.Until(now)-skew).Abs() < 10*time.Second &&
					b.API.Ping(t.Context()) == nil
			})
			young, old := b.Document(b.Alice, 3), b.Document(b.Alice, 3)
			b.setURLAge(young, schema.ExpireAfter-3*time.Minute)
			b.setURLAge(old, schema.ExpireAfter+time.Minute)
			readable, ended := b.Document(b.Alice, 3), b.Document(b.Alice, 3)
			for d, age := range map[*schema.Document]time.Duration{
				&readable: 24*time.Hour - 3*time.Minute, &ended: 24*time.Hour + time.Minute,
			} {
				b.setURLAge(*d, 26*time.Hour)
				b.Exec(`UPDATE documents SET status = 'expired',
					changed_at = now() - make_interval(secs => $2) WHERE id = $1`, d.ID, age.Seconds())
			}
			b.Go(b.newSweeper(t, Config{
				Interval: 200 * time.Millisecond, Grace: time.Second, RepublishAfter: 2 * time.Second,
			}).Run)

			lost := b.Document(b.Alice, 3)
			b.Put(lost.ObjectKey, "abc")
			b.Eventually("the lost event is replaced", func() bool {
				return b.Status(lost.ID) == "uploaded"
			})
			b.Eventually("the event that nobody received is published again", func() bool {
				return len(b.Published(lost.ID)) == 2
			})
			b.Change(lost.ID, deleted)
			b.Eventually("the object is deleted", func() bool { return b.Status(lost.ID) == "gone" })
			b.Eventually("the old document expires", func() bool { return b.Status(old.ID) == "expired" })
			b.Eventually("the ended document is purged", func() bool { return b.Status(ended.ID) == "gone" })
			b.Expect(young.ID, "pending")
			b.Expect(readable.ID, "expired")
		})
	}
}
