package api

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"intray/infra/postgres"
	"intray/schema"
)

// repeatTimeout is how long a repeated request waits for storage. If storage does not respond, the
// request is answered as if it had no file.
const repeatTimeout = 3 * time.Second

// A storedDocument is the result of storeDocuments for one document.
type storedDocument struct {
	view    postgres.DocumentView
	created bool  // by this request
	left    int64 // bytes of the quota, before the request
	err     error
}

// existed reports whether an earlier request created the document.
func (d storedDocument) existed() bool { return !d.created && d.view.ID != uuid.Nil }

func (d storedDocument) requested() requestDocument {
	return requestDocument{id: d.view.ID, created: d.created}
}

// storeDocument is storeDocuments for one document.
func (s *server) storeDocument(ctx context.Context, d schema.Document) (storedDocument, error) {
	stored, err := s.storeDocuments(ctx, []schema.Document{d})
	if err != nil {
		return storedDocument{}, err
	}
	return stored[0], stored[0].err
}

// storeDocuments stores new documents of the caller and returns one result for each, in order. If
// the idempotency key of a document was used before, its result is the document that was created
// then. If that document awaits its file, its upload URL counts as issued now.
//
// A client repeats a request if it did not receive a response, perhaps that of the PUT. Therefore
// storeDocuments first confirms the files that have arrived in the meantime, also those of expired
// documents that may not become pending again.
func (s *server) storeDocuments(
	ctx context.Context, docs []schema.Document,
) ([]storedDocument, error) {
	created, err := s.userDB(ctx).CreateDocuments(ctx, docs, s.config.Limits.MaxPending)
	if err != nil {
		return nil, err
	}
	stored := make([]storedDocument, len(docs))
	var awaiting []string // keys
	var renewed []schema.Document
	for i, c := range created {
		stored[i] = storedDocument{
			view: postgres.DocumentView{Document: c.Document}, created: c.New, left: c.Left, err: c.Err,
		}
		if !stored[i].existed() || !c.Document.Status.AwaitsFile() {
			continue
		}
		awaiting = append(awaiting, c.Document.ObjectKey)
		if c.Err == nil {
			renewed = append(renewed, c.Document)
		}
	}
	if slices.ContainsFunc(created, func(c postgres.Created) bool { return c.Err == nil }) {
		s.hint(ctx, schema.HintPending)
	}
	s.publisher.TryPublish(ctx, renewed)
	s.confirmRepeated(ctx, awaiting)
	return stored, s.readRepeated(ctx, stored)
}

// confirmRepeated confirms the documents with the object keys. A failure is not an error, because
// these documents are confirmed later as after any other upload.
func (s *server) confirmRepeated(ctx context.Context, keys []string) {
	if len(keys) == 0 {
		return
	}
	confirming, cancel := context.WithTimeout(ctx, repeatTimeout)
	defer cancel()
	_, err := s.confirmer.ForUser(callerOf(ctx).id).Confirm(confirming, keys)
	if err != nil && ctx.Err() == nil {
		s.config.Log.Warn("documents of a repeated request were not confirmed",
			"documents", len(keys), "error", err)
	}
}

// readRepeated replaces the documents that an earlier request created by their current state.
func (s *server) readRepeated(ctx context.Context, stored []storedDocument) error {
	var ids []uuid.UUID
	for _, d := range stored {
		if d.existed() {
			ids = append(ids, d.view.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	views, err := s.userDB(ctx).DocumentsByID(ctx, ids)
	if err != nil {
		return err
	}
	current := make(map[uuid.UUID]postgres.DocumentView, len(views))
	for _, v := range views {
		current[v.ID] = v
	}
	for i := range stored {
		d := &stored[i]
		if !d.existed() {
			continue
		}
		view, exists := current[d.view.ID]
		switch {
		case !exists || view.Status == schema.StatusDeleting:
			d.err = postgres.ErrKeyOfDeleted
		case d.err == nil || !view.Status.AwaitsFile():
			d.view, d.err = view, nil
		}
	}
	return nil
}
