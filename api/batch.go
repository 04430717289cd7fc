package api

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"intray/infra/postgres"
	"intray/schema"
)

const (
	// maxBatchAttempts is how often ChangeDocuments tries to change the topics of a document that
	// keeps changing.
	maxBatchAttempts = 5
	// maxDocumentTopics is the maximum number of topics that a user can give a document.
	maxDocumentTopics = 100
)

// ChangeDocuments makes the same change to several of the caller's documents, in one transaction.
// What prevents the change of one of them does not affect the others.
func (s *server) ChangeDocuments(
	ctx context.Context, r ChangeDocumentsRequestObject,
) (ChangeDocumentsResponseObject, error) {
	b := &batch{
		server: s, action: r.Body.Action,
		documents: make(map[uuid.UUID]schema.Document), errs: make(map[uuid.UUID]error),
	}
	if err := b.setTopics(ctx, r.Body.TopicIds); err != nil {
		return nil, err
	}
	unique := slices.SortedFunc(slices.Values(r.Body.Ids), func(a, b uuid.UUID) int {
		return bytes.Compare(a[:], b[:])
	})
	unique = slices.Compact(unique)
	left := unique
	for range maxBatchAttempts {
		if len(left) == 0 {
			break
		}
		var err error
		if left, err = b.change(ctx, left); err != nil {
			return nil, err
		}
	}
	for _, id := range left {
		b.errs[id] = schema.Errorf(schema.CodeUnavailable, "document %s keeps changing", id)
	}
	results, err := b.results(ctx, unique)
	if err != nil {
		return nil, err
	}
	items := make([]BatchItem, len(r.Body.Ids))
	for i, id := range r.Body.Ids {
		items[i] = results[id]
	}
	return ChangeDocuments200JSONResponse{Items: items}, nil
}

// A batch is one change of several documents.
type batch struct {
	*server
	action BatchAction
	topics []uuid.UUID

	documents map[uuid.UUID]schema.Document // that exist and could be locked, after the change
	errs      map[uuid.UUID]error           // of the documents that were not changed
}

// setTopics sets the topics of the request. It fails with CodeInvalid if they are missing or do not
// belong to the action, and with CodeUnknownTopic if the caller cannot assign them.
func (b *batch) setTopics(ctx context.Context, ids *[]uuid.UUID) error {
	needed := b.action == BatchActionSetTopics || b.action == BatchActionAddTopics ||
		b.action == BatchActionRemoveTopics
	switch {
	case needed && ids == nil:
		return schema.Errorf(schema.CodeInvalid,
			`The action %q needs the member "topic_ids".`, b.action).
			With(schema.Facts{Pointer: "/topic_ids"})
	case !needed && ids != nil:
		return schema.Errorf(schema.CodeInvalid,
			`The action %q has no topics. Leave out the member "topic_ids".`, b.action).
			With(schema.Facts{Pointer: "/topic_ids"})
	case !needed:
		return nil
	}
	b.topics = *ids
	if b.action == BatchActionRemoveTopics {
		return nil // a topic that does not exist need not be removed
	}
	return b.checkTopics(ctx, b.topics)
}

// change makes the change to the documents and publishes the events. It returns the documents whose
// topics have changed since it read them; they are to be handled again.
func (b *batch) change(ctx context.Context, ids []uuid.UUID) (outdated []uuid.UUID, err error) {
	db := b.userDB(ctx)
	views := make(map[uuid.UUID]postgres.DocumentView, len(ids))
	if b.action == BatchActionAddTopics || b.action == BatchActionRemoveTopics {
		read, err := db.DocumentsByID(ctx, ids)
		if err != nil {
			return nil, err
		}
		for _, v := range read {
			views[v.ID] = v
		}
	}
	// If the transaction is repeated, each decision replaces the one before.
	decisions := make(map[uuid.UUID]schema.Decision, len(ids))
	docs, err := db.TransitionWithoutQuota(ctx, ids,
		func(d *schema.Document, now time.Time) schema.Decision {
			decisions[d.ID], b.errs[d.ID] = b.decide(d, views[d.ID], now)
			return decisions[d.ID]
		})
	var locked *postgres.LockedError
	if err != nil && !errors.As(err, &locked) {
		return nil, err
	}
	var changed []schema.Document
	for _, d := range docs {
		if d.GoneAt != nil {
			continue
		}
		b.documents[d.ID] = d
		if decisions[d.ID].Changed {
			changed = append(changed, d)
		}
	}
	for _, id := range ids {
		if _, found := b.documents[id]; locked.Has(id) {
			b.errs[id] = err
		} else if !found {
			b.errs[id] = errNoDocument
		} else if errors.Is(b.errs[id], errOutdated) {
			outdated = append(outdated, id)
		}
	}
	b.publisher.TryPublish(ctx, changed)
	return outdated, nil
}

// errOutdated means that the topics of a document have changed since they were read.
var errOutdated = errors.New("topics have changed")

// decide changes a document, or returns why it cannot. view is the document as it was read before,
// with its topics.
func (b *batch) decide(
	d *schema.Document, view postgres.DocumentView, now time.Time,
) (schema.Decision, error) {
	if b.action == BatchActionDelete {
		return d.Delete(now), nil
	}
	if !d.Status.Counted() {
		return schema.Decision{}, notCounted(d.Status, "changed")
	}
	topics := b.topics
	switch b.action {
	case BatchActionReclassify:
		return d.Reclassify(now), nil
	case BatchActionAddTopics, BatchActionRemoveTopics:
		if view.Version != d.Version {
			return schema.Decision{}, errOutdated
		}
		before := make([]uuid.UUID, len(view.Topics))
		for i, t := range view.Topics {
			before[i] = t.ID
		}
		topics = without(before, b.topics)
		if b.action == BatchActionAddTopics {
			topics = append(topics, b.topics...)
		}
		same := len(without(topics, before)) == 0 && len(without(before, topics)) == 0
		if same && (d.TopicsLocked || b.action == BatchActionRemoveTopics) {
			return schema.Decision{}, nil
		}
		if n := int64(len(topics)); n > maxDocumentTopics {
			return schema.Decision{}, schema.Errorf(schema.CodeInvalid,
				"The document would have %d topics. At most %d are possible.", n, maxDocumentTopics).
				With(schema.Facts{Pointer: "/topic_ids", Limit: new(int64(maxDocumentTopics))})
		}
	}
	return d.Edit(schema.Edit{Topics: &topics}, now), nil
}

// without returns the ids that are not among the removed ones.
func without(ids, removed []uuid.UUID) []uuid.UUID {
	return slices.DeleteFunc(slices.Clone(ids), func(id uuid.UUID) bool {
		return slices.Contains(removed, id)
	})
}

// results returns the result for each of the documents.
func (b *batch) results(
	ctx context.Context, ids []uuid.UUID,
) (map[uuid.UUID]BatchItem, error) {
	views, err := b.userDB(ctx).DocumentsByID(ctx, ids)
	if err != nil {
		return nil, err
	}
	documents := make(map[uuid.UUID]Document, len(ids))
	for id, d := range b.documents { // for those that have been deleted by now
		documents[id] = documentOf(postgres.DocumentView{Document: d})
	}
	for _, v := range views {
		documents[v.ID] = documentOf(v)
	}
	results := make(map[uuid.UUID]BatchItem, len(ids))
	for _, id := range ids {
		document, item := documents[id], BatchItem{ID: id}
		if err := b.errs[id]; err == nil {
			item.Document = &document
		} else {
			if aboutState(err) {
				err = &documentStateError{err, document}
			}
			item.Problem = new(problemOf(err, callerOf(ctx).requestID))
		}
		results[id] = item
	}
	return results, nil
}
