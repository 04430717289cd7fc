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

// checkAges are the ages of a document's upload URL, after Config.Grace, at which the sweeper
// checks for its object again. A HEAD for each pending document in every round would cost as much
// as the uploads themselves. URLs expire after 15 minutes and a PUT takes at most 30, so no object
// appears after the last check.
var checkAges = []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, 45 * time.Minute}

const (
	// page is the number of rows per query.
	page = 1000
	// confirmBatch is the number of documents that are confirmed in one transaction.
	confirmBatch = 256
	// clockSkew is the maximum difference between the clocks of the machines that create ids.
	clockSkew = time.Minute
)

// pending checks the pending documents that are due. It confirms those whose object exists and
// expires those without an object whose URL is older than schema.ExpireAfter.
//
// Each round reads the newest documents, according to the time in their ids. Once per ScanInterval
// it reads all pending documents, because older ones may have a new URL.
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

// isDue reports whether the document's URL has reached one of checkAges since the last scan, or the
// document expires.
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

// confirmOrExpire confirms the documents whose object exists. Of the other documents, it expires
// those whose URL is older than schema.ExpireAfter.
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
	var expired []uuid.UUID
	confirmed := 0
	var outage error
	for i, r := range results {
		switch {
		case runner.Outage(r.Err):
			outage = r.Err
		case r.Err != nil:
			s.log.Warn("cannot stat object", "document_id", documents[i].ID, "error", r.Err)
		case r.Found:
			confirmed++
		case !now.Before(documents[i].URLIssuedAt.Add(schema.ExpireAfter)):
			expired = append(expired, documents[i].ID)
		}
	}
	runner.CountSweeperActions("confirmed", confirmed)
	if confirmed > 0 {
		s.log.Info("confirmed uploads whose events were lost", "documents", confirmed)
	}
	if err := s.expire(ctx, expired, now); err != nil {
		return err
	}
	return outage
}

// expire expires the documents that are still pending.
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

// firstID returns the smallest UUIDv7 (RFC 9562, section 5.7) of t's millisecond.
func firstID(t time.Time) uuid.UUID {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:], uint64(max(0, t.UnixMilli()))<<16)
	id[6] = 0x70
	id[8] = 0x80
	return id
}
