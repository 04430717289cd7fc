package sweep

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"intray/consumers/confirm"
	"intray/consumers/runner"
	"intray/infra/postgres"
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
	// clockSkew is how far the clocks of the machines that create ids may differ from the database's.
	// If they differ more, lost events of new uploads are noticed only by the scan of all documents.
	clockSkew = 6 * time.Minute
)

// pending checks the pending documents that are due. It confirms those whose object exists and
// expires those without an object whose URL is older than schema.ExpireAfter. Documents whose
// object cannot be checked have a schedule of their own (unchecked.go).
//
// Each round reads the newest documents, according to the time in their ids. Once per ScanInterval
// it reads all pending documents, because older ones may have a new URL.
func (s *Sweeper) pending(ctx context.Context, now time.Time) error {
	if err := s.unchecked(ctx, now); err != nil {
		return err
	}
	all := now.Sub(s.scannedAll) >= s.config.ScanInterval
	last, after := s.scannedNew, schema.FirstID(s.scannedNew.Add(-s.config.Grace-clockSkew))
	locked := s.locked
	if all {
		last, after = s.scannedAll, uuid.Nil
		s.locked = make(map[uuid.UUID]bool)
	}
	var due []postgres.UncheckedUpload
	for {
		documents, next, err := s.db.PendingDocuments(ctx, now.Add(-s.config.Grace), after, page)
		if err != nil {
			return err
		}
		for _, d := range documents {
			if s.isDue(d, last, now) || locked[d.ID] {
				due = append(due, postgres.UncheckedUpload{Document: d})
			}
		}
		lastPage := next == uuid.Nil
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
		after = next
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

// confirmOrExpire confirms the uploads whose object exists. Of the others, it expires those whose
// URL is older than schema.ExpireAfter, and counts an attempt for those whose object cannot be
// checked. It leaves out those that other transactions have locked, which stay due.
func (s *Sweeper) confirmOrExpire(
	ctx context.Context, uploads []postgres.UncheckedUpload, now time.Time,
) error {
	keys := make([]string, len(uploads))
	for i, u := range uploads {
		keys[i] = u.ObjectKey
	}
	results := make(map[string]confirm.Result, len(keys))
	failed := make(map[string]error)
	err := runner.InHalves(ctx, s.db, keys, func(ctx context.Context, keys []string) error {
		confirmed, err := s.confirmer.Confirm(ctx, keys)
		for _, r := range confirmed {
			results[r.Key] = r
		}
		return err
	}, failed)
	if err != nil {
		return err
	}
	var expired, checked []uuid.UUID
	confirmed := 0
	var outage, locked error
	for _, u := range uploads {
		delete(s.locked, u.ID)
		r := results[u.ObjectKey]
		cause := cmp.Or(failed[u.ObjectKey], r.Err)
		switch {
		case runner.Outage(cause):
			outage = cause
			continue
		case errors.Is(cause, postgres.ErrLocked):
			locked = cause
			s.locked[u.ID] = true
			continue
		case cause != nil:
			if err := s.countAttempt(ctx, u, cause, now); err != nil {
				return err
			}
			continue
		case r.Found:
			confirmed++
		case !now.Before(u.URLIssuedAt.Add(schema.ExpireAfter)):
			expired = append(expired, u.ID)
		}
		if u.Attempts > 0 {
			checked = append(checked, u.ID)
		}
	}
	s.logLocked(locked)
	runner.CountSweeperActions("confirmed", confirmed)
	if confirmed > 0 {
		s.log.Info("confirmed uploads whose events were lost", "documents", confirmed)
	}
	if len(checked) > 0 {
		if err := s.db.ForgetUncheckedUploads(ctx, checked); err != nil {
			return err
		}
	}
	if err := s.expire(ctx, expired, now); err != nil {
		return err
	}
	return outage
}

// logLocked logs that documents are locked, unless err is nil.
func (s *Sweeper) logLocked(err error) {
	if err != nil {
		s.log.Warn("pending documents are locked; the sweeper will retry", "error", err)
	}
}

// expire expires the documents that are still pending.
func (s *Sweeper) expire(ctx context.Context, ids []uuid.UUID, now time.Time) error {
	if len(ids) == 0 {
		return nil
	}
	expired, err := s.db.TransitionWithoutQuota(ctx, ids,
		func(d *schema.Document, _ time.Time) schema.Decision { return d.Expire(now) })
	if err != nil && !errors.As(err, new(*postgres.LockedError)) { // those that are locked stay due
		return err
	}
	runner.CountSweeperActions("expired", len(expired))
	s.publisher.TryPublish(ctx, expired)
	return nil
}
