package sweep

import (
	"testing"
	"time"
)

// TestSweeperPrunesAuditTrail runs a round as if it were a year later. It deletes only what is 90
// days old by the database's clock.
func TestSweeperPrunesAuditTrail(t *testing.T) {
	b := setup(t)
	b.Exec(`INSERT INTO audit_events (kind, at)
		SELECT 'signed_out', now() - CASE WHEN i <= 1500 THEN '91 days' ELSE '89 days' END::interval
		FROM generate_series(1, 1507) AS i`)
	b.round(t, time.Now().Add(365*24*time.Hour))
	n := b.Count(`SELECT count(*) FROM audit_events WHERE kind = 'signed_out'`)
	if n != 7 {
		t.Errorf("got %d events, want the 7 that are younger than 90 days", n)
	}
}
