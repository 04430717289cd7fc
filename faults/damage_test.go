package faults

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"intray/infra/local/localtest"
	"intray/schema"
)

const (
	// damagedObjects is how many objects of each status are damaged at most.
	damagedObjects = 5
	// maxDamage bounds how long they stay damaged, so that no document becomes a dead letter.
	maxDamage = 8 * time.Second
)

// damageObjects damages the objects of pending and of deleting documents, so that MinIO answers
// requests for them with status 500. The fault had the intended effect if attempts were counted for
// documents of both. It stops the replicas first, so that there are such documents.
func (f *fault) damageObjects(ctx context.Context) error {
	var thaws []func()
	thaw := func() {
		for _, thaw := range thaws {
			thaw()
		}
	}
	defer thaw()
	for _, name := range []string{partConsume, partConsume2} {
		pid, err := f.awaitRunning(ctx, name)
		if err != nil {
			return err
		}
		t, err := freeze(pid)
		if err != nil {
			return fmt.Errorf("stop %s: %w", name, err)
		}
		thaws = append(thaws, t)
	}
	damaged := map[schema.Status][]uuid.UUID{}
	for _, status := range []schema.Status{schema.StatusPending, schema.StatusDeleting} {
		ids, restore, err := f.damage(ctx, status)
		defer restore()
		if err != nil {
			return err
		}
		damaged[status] = ids
	}
	thaw()
	began := time.Now()
	for status, ids := range damaged {
		if err := until(ctx, func() error { return f.checkAttempts(ctx, ids) }); err != nil {
			return fmt.Errorf("await failed attempts for %d %s documents: %w", len(ids), status, err)
		}
	}
	pause(ctx, min(f.duration, maxDamage)-time.Since(began))
	return nil
}

// damage waits until documents with the status have objects, and damages some of these objects. It
// returns the ids of the documents. restore is never nil.
func (f *fault) damage(
	ctx context.Context, status schema.Status,
) (damaged []uuid.UUID, restore func(), err error) {
	var restores []func()
	restore = func() {
		for _, restore := range restores {
			restore()
		}
	}
	err = until(ctx, func() error {
		var ids []uuid.UUID
		err := f.db.SelectContext(ctx, &ids, `
			SELECT id FROM documents WHERE status = $1 AND gone_at IS NULL ORDER BY id DESC`, status)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if len(damaged) == damagedObjects {
				break
			}
			undo, err := localtest.DamageObject(
				localtest.MinIODrive(f.dir), f.stack.MinIO.Bucket, schema.ObjectKey(id))
			if err == nil { // otherwise the document has no object
				damaged, restores = append(damaged, id), append(restores, undo)
			}
		}
		if len(damaged) == 0 {
			return fmt.Errorf("no %s document has an object", status)
		}
		return nil
	})
	return damaged, restore, err
}

// checkAttempts returns an error unless an attempt for one of the documents has failed.
func (f *fault) checkAttempts(ctx context.Context, ids []uuid.UUID) error {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = id.String()
	}
	var counted bool
	err := f.db.GetContext(ctx, &counted, `
		SELECT EXISTS (SELECT FROM document_attempts WHERE document_id = ANY($1) AND attempt > 0)
			OR EXISTS (SELECT FROM object_deletions WHERE document_id = ANY($1) AND attempts > 0)`,
		pq.Array(texts))
	if err == nil && !counted {
		err = fmt.Errorf("no failed attempt for %v", ids)
	}
	return err
}
