package api

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"intray/infra/postgres"
)

const (
	// maxSharedDocuments is the maximum number of documents that are kept for the event streams of
	// one user. A document takes about 1 KiB.
	maxSharedDocuments = 4 * eventBatch
	// maxSharedAge is how long a document is kept. Some of its members, such as the names of its
	// topics, change without an event.
	maxSharedAge = time.Second
)

// sharedDocuments reads and encodes changed documents once for all event streams of a user, so that
// a change costs one query however many streams the user has.
type sharedDocuments struct {
	// mu is held during a query, so that concurrent callers wait and share the result.
	mu     sync.Mutex
	kept   map[uuid.UUID]sharedDocument
	failed failedRead
}

// A sharedDocument is a document as it was after an event.
type sharedDocument struct {
	upTo   uint64 // the last event that had been recorded before the document was read
	readAt time.Time
	data   []byte // the document in JSON, nil if it is deleted
}

// A failedRead is the last query that failed.
type failedRead struct {
	began time.Time
	err   error
}

// read returns the documents of the changes as JSON, without those that are deleted. Each is at
// least as new as its change. recorded returns the sequence number of the last event that was
// recorded, and query reads documents. If a query that began at the time called or later has
// failed, read returns its error instead of trying again.
func (s *sharedDocuments) read(
	called time.Time, changes []change, recorded func() uint64,
	query func([]uuid.UUID) ([]postgres.DocumentView, error),
) (map[uuid.UUID][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	result := make(map[uuid.UUID][]byte, len(changes))
	var missing []uuid.UUID
	for _, c := range changes {
		d, ok := s.kept[c.document]
		switch {
		case !ok || d.upTo < c.sequence || now.Sub(d.readAt) > maxSharedAge:
			missing = append(missing, c.document)
		case d.data != nil:
			result[c.document] = d.data
		}
	}
	if len(missing) == 0 {
		return result, nil
	}
	if s.failed.err != nil && !s.failed.began.Before(called) {
		return nil, s.failed.err
	}
	upTo := recorded()
	views, err := query(missing)
	if err != nil {
		s.failed = failedRead{now, err}
		return nil, err
	}
	if len(s.kept)+len(missing) > maxSharedDocuments {
		s.kept = nil
	}
	if s.kept == nil {
		s.kept = make(map[uuid.UUID]sharedDocument, len(missing))
	}
	for _, id := range missing {
		s.kept[id] = sharedDocument{upTo: upTo, readAt: now}
	}
	for _, v := range views {
		data, err := json.Marshal(documentOf(v))
		if err != nil {
			return nil, fmt.Errorf("encode document %s: %w", v.ID, err)
		}
		s.kept[v.ID] = sharedDocument{upTo: upTo, readAt: now, data: data}
		result[v.ID] = data
	}
	return result, nil
}

// documents returns the documents of the changes as JSON, without those that are deleted.
func (e eventStream) documents(waiter *waiter, changes []change) (map[uuid.UUID][]byte, error) {
	recorded := func() uint64 { return e.server.notifier.position().sequence }
	query := func(ids []uuid.UUID) ([]postgres.DocumentView, error) {
		// The result is for other streams, too, so the end of this one must not cancel the query.
		ctx, cancel := context.WithTimeout(
			context.WithoutCancel(e.ctx), e.server.config.Timeouts.Request)
		defer cancel()
		return e.server.userDB(e.ctx).DocumentsByID(ctx, ids)
	}
	return waiter.user.documents.read(time.Now(), changes, recorded, query)
}
