package sweep

import (
	"context"
	"encoding/binary"
	"slices"
	"time"

	"github.com/google/uuid"

	"intray/consumers/runner"
	"intray/schema"
)

// checkAges are the ages of a URL, besides Config.Grace, after which its object is
// checked for once more: a HEAD for each pending document in every
// round would cost as much as the uploads themselves. URLs live for 15 minutes
// and a PUT for at most 30, so nothing comes after the last.
var checkAges = []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, 45 * time.Minute}

const (
	// page is how many rows are read at once.
	page = 1000
	// confirmBatch is how many documents are confirmed in one transaction.
	confirmBatch = 256
	// clockSkew is how far the clocks of the machines that make ids may differ.
	clockSkew = time.Minute
)

// pending confirms the due pending documents whose object exists, and expires those
// whose time is over.
//
// Every round reads the newest documents, whose ids lie after the time of the
// last round; now and then all are read, those with a renewed URL among them.
func (s *Sweeper) pending(ctx context.Context, now time.Time) error {
	all := now.Sub(s.scannedAll) >= s.config.ScanInterval
	last, after := s.scannedNew, firstID(s.scannedNew.Add(-s.config.Grace-clockSkew))
	if all {
		last, after = s.scannedAll, uuid.Nil
	}
	var due []schema.Document
	for {
		documents, err := s.db.PendingDocuments(ctx, now.Add(-s.config.Grace), after, page)
		if err != nil {
			return err
		}
		for _, d := range documents {
			if s.isDue(d, last, now) {
				due = append(due, d)
			}
		}
		lastPage := len(documents) < page
		for len(due) >= confirmBatch || (len(due) > 0 && lastPage) {
			n := min(confirmBatch, len(due))
			if err := s.confirmOrExpire(ctx, due[:n], now); err != nil {
				return err
			}
			due = due[n:]
		}
		if lastPage {
			break
		}
		after = documents[len(documents)-1].ID
	}
	s.scannedNew = now
	if all {
		s.scannedAll = now
	}
	return nil
}

// isDue reports whether the document's URL has passed one of the ages since the last
// scan, or its time is over.
func (s *Sweeper) isDue(d schema.Document, last, now time.Time) bool {
	age := now.Sub(d.URLIssuedAt)
	if last.IsZero() || age >= schema.ExpireAfter {
		return true
	}
	before := last.Sub(d.URLIssuedAt)
	if before < s.config.Grace {
		return age >= s.config.Grace
	}
	return slices.ContainsFunc(checkAges, func(t time.Duration) bool { return before < t && age >= t })
}

// confirmOrExpire confirms the documents whose object exists, and expires those of the
// others whose time is over.
func (s *Sweeper) confirmOrExpire(
	ctx context.Context, documents []schema.Document, now time.Time,
) error {
	keys := make([]string, len(documents))
	for i, d := range documents {
		keys[i] = d.ObjectKey
	}
	results, err := s.confirmer.Confirm(ctx, keys)
	if err != nil {
		return err
	}
	var over []uuid.UUID
	confirmed := 0
	var outage error
	for i, r := range results {
		switch {
		case runner.Outage(r.Err):
			outage = r.Err
		case r.Err != nil:
			s.log.Warn("object cannot be checked", "document_id", documents[i].ID, "error", r.Err)
		case r.Found:
			confirmed++
		case !now.Before(documents[i].URLIssuedAt.Add(schema.ExpireAfter)):
			over = append(over, documents[i].ID)
		}
	}
	runner.CountSweeperActions("confirmed", confirmed)
	if confirmed > 0 {
		s.log.Info("uploads confirmed whose event did not come", "documents", confirmed)
	}
	if err := s.expire(ctx, over, now); err != nil {
		return err
	}
	return outage
}

func (s *Sweeper) expire(ctx context.Context, ids []uuid.UUID, now time.Time) error {
	if len(ids) == 0 {
		return nil
	}
	expire := func(d *schema.Document, _ *schema.Quota) schema.Decision {
		return d.Expire(schema.StoredTime(now))
	}
	expired, err := s.db.Transition(ctx, ids, expire)
	if err != nil {
		return err
	}
	runner.CountSweeperActions("expired", len(expired))
	s.publisher.TryPublish(ctx, expired)
	return nil
}

// firstID is the least UUIDv7 (RFC 9562, section 5.7) of the millisecond of t.
func firstID(t time.Time) uuid.UUID {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:], uint64(max(0, t.UnixMilli()))<<16)
	id[6] = 0x70
	id[8] = 0x80
	return id
}
