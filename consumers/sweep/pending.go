package sweep

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/google/uuid"

	"intray/consumers/runner"
	"intray/schema"
)

// laterLooks are the ages of a URL, beside Config.Grace, after which its
// document is looked at once more: a HEAD for each pending document in every
// round would cost as much as the uploads themselves. URLs live for 15 minutes
// and a PUT for at most 30, so nothing comes after the last.
var laterLooks = []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, 45 * time.Minute}

const (
	// page is how many rows are read at once.
	page = 1000
	// lookBatch is how many objects are looked at, and then confirmed in one
	// transaction.
	lookBatch = 256
	// clockSkew is how far the clocks of the machines that make ids may differ.
	clockSkew = time.Minute
)

// pending looks at the pending documents whose turn it is, confirms those whose
// object is there and expires those whose time is over.
//
// Every round reads the newest documents, whose ids lie after the time of the
// last round; now and then all are read, those with a renewed URL among them.
func (s *Sweeper) pending(ctx context.Context, now time.Time) error {
	all := now.Sub(s.lookedAll) >= s.config.ScanInterval
	last, after := s.lookedNew, firstID(s.lookedNew.Add(-s.config.Grace-clockSkew))
	if all {
		last, after = s.lookedAll, uuid.Nil
	}
	var turn []schema.Document
	for {
		documents, err := s.db.PendingSince(ctx, now.Add(-s.config.Grace), after, page)
		if err != nil {
			return err
		}
		for _, d := range documents {
			if s.itsTurn(d, last, now) {
				turn = append(turn, d)
			}
		}
		for len(turn) >= lookBatch || (len(turn) > 0 && len(documents) < page) {
			n := min(lookBatch, len(turn))
			if err := s.look(ctx, turn[:n], now); err != nil {
				return err
			}
			turn = turn[n:]
		}
		if len(documents) < page {
			break
		}
		after = documents[len(documents)-1].ID
	}
	s.lookedNew = now
	if all {
		s.lookedAll = now
	}
	return nil
}

// itsTurn says whether the document's URL has passed one of the ages since the
// last look, or its time is over.
func (s *Sweeper) itsTurn(d schema.Document, last, now time.Time) bool {
	age := now.Sub(d.URLIssuedAt)
	if last.IsZero() || age >= schema.ExpireAfter {
		return true
	}
	before := last.Sub(d.URLIssuedAt)
	if before < s.config.Grace {
		return age >= s.config.Grace
	}
	for _, t := range laterLooks {
		if before < t && age >= t {
			return true
		}
	}
	return false
}

func (s *Sweeper) look(ctx context.Context, documents []schema.Document, now time.Time) error {
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
			s.log.Warn("object cannot be looked at", "document_id", documents[i].ID, "error", r.Err)
		case r.Found:
			confirmed++
		case !now.Before(documents[i].URLIssuedAt.Add(schema.ExpireAfter)):
			over = append(over, documents[i].ID)
		}
	}
	runner.Swept("confirmed", confirmed)
	if confirmed > 0 {
		s.log.Info("uploads confirmed whose event did not come", "documents", confirmed)
	}
	if len(over) > 0 {
		expired, err := s.db.Transition(ctx, over, func(d *schema.Document, _ *schema.Quota) schema.Decision {
			return d.Expire(schema.StoredTime(now))
		})
		if err != nil {
			return err
		}
		runner.Swept("expired", len(expired))
		s.publisher.TryPublish(ctx, expired)
	}
	return outage
}

// firstID is the least UUIDv7 (RFC 9562, section 5.7) of the millisecond of t.
func firstID(t time.Time) uuid.UUID {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:], uint64(max(0, t.UnixMilli()))<<16)
	id[6] = 0x70
	id[8] = 0x80
	return id
}
