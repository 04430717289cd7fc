package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"intray/schema"
)

// pendingWrites are the writes that the decisions of one transaction require.
type pendingWrites struct {
	changed   []*schema.Document // or renewed
	versions  []int64            // of the changed documents, before the change
	renamed   []*schema.Document // the changed documents with another filename
	deletions []*schema.Document // documents whose objects are marked for deletion
	lost      []*schema.Document // documents with keys whose objects are gone without a deletion
	topics    []topicSet
	hasTopics map[uuid.UUID]*bool // of the documents whose topics are replaced
	examples  []example
	// explanations are those of the documents whose topics are replaced.
	explanations []explanation
}

type topicSet struct {
	document uuid.UUID
	topics   []schema.DocumentTopic
}

type explanation struct {
	document, user uuid.UUID
	content        []byte
}

type example struct {
	document, user uuid.UUID
	content        []byte
}

func (w *pendingWrites) add(d *schema.Document, version int64, decision schema.Decision) {
	if decision.Changed || decision.Renewed {
		// PostgreSQL stores microseconds. The returned documents must be equal to the stored ones.
		for _, t := range []*time.Time{
			&d.URLIssuedAt, &d.ChangedAt, d.UnpublishedAt, d.UploadedAt, d.ClassifiedAt, d.GoneAt,
		} {
			if t != nil {
				*t = schema.StoredTime(*t)
			}
		}
		w.changed, w.versions = append(w.changed, d), append(w.versions, version)
	}
	if decision.DeleteObject {
		w.deletions = append(w.deletions, d)
	}
	if decision.Topics != nil {
		w.topics = append(w.topics, topicSet{d.ID, decision.Topics})
		w.hasTopics[d.ID] = new(len(decision.Topics) > 0)
		if len(decision.Explanation) > 0 {
			w.explanations = append(w.explanations, explanation{d.ID, d.UserID, decision.Explanation})
		}
	}
	if len(decision.Example) > 0 {
		w.examples = append(w.examples, example{d.ID, d.UserID, decision.Example})
	}
}

func (tx *tx) write(
	ctx context.Context, w *pendingWrites, quotas map[uuid.UUID]*schema.Quota,
) error {
	if len(w.changed) > 0 {
		if err := tx.updateDocuments(ctx, w); err != nil {
			return fmt.Errorf("write documents: %w", err)
		}
		if len(w.renamed) > 0 {
			if err := tx.renameDocuments(ctx, w.renamed); err != nil {
				return fmt.Errorf("write filenames: %w", err)
			}
		}
		if len(quotas) > 0 {
			if err := tx.updateQuotas(ctx, quotas); err != nil {
				return fmt.Errorf("write quotas: %w", err)
			}
		}
	}
	if len(w.topics) > 0 {
		if err := tx.replaceTopics(ctx, w.topics); err != nil {
			return fmt.Errorf("write topics: %w", err)
		}
	}
	if len(w.explanations) > 0 {
		if err := tx.saveExplanations(ctx, w.explanations); err != nil {
			return fmt.Errorf("write explanations: %w", err)
		}
	}
	if len(w.examples) > 0 {
		if err := tx.saveExamples(ctx, w.examples); err != nil {
			return fmt.Errorf("write examples: %w", err)
		}
	}
	return tx.writeEnds(ctx, w)
}

// writeEnds writes what remains of documents that end.
func (tx *tx) writeEnds(ctx context.Context, w *pendingWrites) error {
	if len(w.deletions) > 0 {
		if err := tx.requestDeletions(ctx, w.deletions); err != nil {
			return fmt.Errorf("write object deletions: %w", err)
		}
	}
	if len(w.lost) > 0 {
		if err := tx.keepKeys(ctx, w.lost); err != nil {
			return fmt.Errorf("write idempotency keys: %w", err)
		}
	}
	return nil
}

// column returns one field of each document as an array parameter.
func column[T any](docs []*schema.Document, field func(*schema.Document) T) any {
	values := make([]T, len(docs))
	for i, d := range docs {
		values[i] = field(d)
	}
	return array(values)
}

// updateDocuments writes the changed documents, whose rows are locked. It fails if the version of
// one of them has changed. Each document is looked up by its id, as in lockDocuments.
func (tx *tx) updateDocuments(ctx context.Context, w *pendingWrites) error {
	docs := w.changed
	result, err := tx.ExecContext(ctx, `
		UPDATE documents AS d SET
			size = n.size, status = n.status, reason = n.reason, etag = n.etag,
			charged_bytes = n.charged_bytes, version = n.version, announcement = n.announcement,
			unpublished_at = n.unpublished_at, topics_locked = n.topics_locked, provider = n.provider,
			model = n.model, url_issued_at = n.url_issued_at, changed_at = n.changed_at,
			uploaded_at = n.uploaded_at, classified_at = n.classified_at, gone_at = n.gone_at,
			detected_type = n.detected_type, sha256 = n.sha256,
			has_topics = coalesce(n.has_topics, d.has_topics)
		FROM (SELECT n.*, l.ctid AS place
			FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[],
				$7::bigint[], $8::bigint[], $9::bigint[], $10::timestamptz[], $11::boolean[],
				$12::text[], $13::text[], $14::timestamptz[], $15::timestamptz[], $16::timestamptz[],
				$17::timestamptz[], $18::timestamptz[], $19::text[], $20::bytea[],
				$21::boolean[])
			AS n (id, old_version, size, status, reason, etag, charged_bytes, version, announcement,
				unpublished_at, topics_locked, provider, model, url_issued_at, changed_at,
				uploaded_at, classified_at, gone_at, detected_type, sha256, has_topics)
			CROSS JOIN LATERAL (
				SELECT ctid FROM documents WHERE id = n.id AND version = n.old_version OFFSET 0) AS l) AS n
		WHERE d.ctid = n.place`,
		column(docs, func(d *schema.Document) uuid.UUID { return d.ID }),
		array(w.versions),
		column(docs, func(d *schema.Document) int64 { return d.Size }),
		column(docs, func(d *schema.Document) string { return string(d.Status) }),
		column(docs, func(d *schema.Document) string { return string(d.Reason) }),
		column(docs, func(d *schema.Document) string { return d.ETag }),
		column(docs, func(d *schema.Document) int64 { return d.ChargedBytes }),
		column(docs, func(d *schema.Document) int64 { return d.Version }),
		column(docs, func(d *schema.Document) int64 { return d.Announcement }),
		column(docs, func(d *schema.Document) *time.Time { return d.UnpublishedAt }),
		column(docs, func(d *schema.Document) bool { return d.TopicsLocked }),
		column(docs, func(d *schema.Document) string { return d.Provider }),
		column(docs, func(d *schema.Document) string { return d.Model }),
		column(docs, func(d *schema.Document) time.Time { return d.URLIssuedAt }),
		column(docs, func(d *schema.Document) time.Time { return d.ChangedAt }),
		column(docs, func(d *schema.Document) *time.Time { return d.UploadedAt }),
		column(docs, func(d *schema.Document) *time.Time { return d.ClassifiedAt }),
		column(docs, func(d *schema.Document) *time.Time { return d.GoneAt }),
		column(docs, func(d *schema.Document) *string { return d.DetectedType }),
		column(docs, func(d *schema.Document) *string { return byteaText(d.SHA256) }),
		column(docs, func(d *schema.Document) *bool { return w.hasTopics[d.ID] }))
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err == nil && n != int64(len(docs)) {
		err = fmt.Errorf("%d of %d documents have another version although they are locked",
			int64(len(docs))-n, len(docs))
	}
	return err
}

// renameDocuments writes the filenames of documents. They are not among the columns that
// updateDocuments writes, because the server would compute filename_key for each of its documents.
func (tx *tx) renameDocuments(ctx context.Context, docs []*schema.Document) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE documents AS d SET filename = n.filename, requested_filename = n.requested_filename
		FROM (SELECT n.*, l.ctid AS place
			FROM unnest($1::uuid[], $2::text[], $3::text[]) AS n (id, filename, requested_filename)
			CROSS JOIN LATERAL (SELECT ctid FROM documents WHERE id = n.id OFFSET 0) AS l) AS n
		WHERE d.ctid = n.place`,
		column(docs, func(d *schema.Document) uuid.UUID { return d.ID }),
		column(docs, func(d *schema.Document) string { return d.Filename }),
		column(docs, func(d *schema.Document) *string { return d.RequestedFilename }))
	return err
}

func (tx *tx) updateQuotas(ctx context.Context, quotas map[uuid.UUID]*schema.Quota) error {
	var users []uuid.UUID
	var used []int64
	for _, q := range quotas {
		users, used = append(users, q.UserID), append(used, q.UsedBytes)
	}
	_, err := tx.ExecContext(ctx, `
		UPDATE quotas AS q SET used_bytes = n.used_bytes
		FROM unnest($1::uuid[], $2::bigint[]) AS n (user_id, used_bytes)
		WHERE q.user_id = n.user_id AND q.used_bytes <> n.used_bytes
			AND `+anyOfHint("q.user_id", "$1::uuid[]", len(users)), array(users), array(used))
	return err
}

// replaceTopics replaces the topics of documents and removes their explanations. It ignores topics
// that do not exist or belong to another user, because a document can have only system topics and
// its owner's topics.
func (tx *tx) replaceTopics(ctx context.Context, sets []topicSet) error {
	var cleared, documents, topics []uuid.UUID
	var confidences []int64
	for _, s := range sets {
		cleared = append(cleared, s.document)
		for _, t := range s.topics {
			documents, topics = append(documents, s.document), append(topics, t.TopicID)
			confidences = append(confidences, int64(t.Confidence))
		}
	}
	_, err := tx.ExecContext(ctx, `
		WITH explanations AS (DELETE FROM document_explanations
			WHERE `+anyOf("document_id", "$1::uuid[]", len(cleared))+`)
		DELETE FROM document_topics
		WHERE `+anyOf("document_id", "$1::uuid[]", len(cleared)), array(cleared))
	if err != nil {
		return err
	}
	if len(topics) == 0 {
		return nil
	}
	result, err := tx.ExecContext(ctx, `
		INSERT INTO document_topics (document_id, user_id, topic_id, confidence)
		SELECT DISTINCT ON (n.document_id, n.topic_id) n.document_id, d.user_id, n.topic_id, n.confidence
		FROM unnest($1::uuid[], $2::uuid[], $3::int[]) AS n (document_id, topic_id, confidence)
		JOIN documents AS d ON d.id = n.document_id
		JOIN topics AS t ON t.id = n.topic_id AND (t.user_id IS NULL OR t.user_id = d.user_id)
		WHERE `+anyOfHint("d.id", "$1::uuid[]", len(documents))+` AND `+foreignKeysByIndex+`
		ORDER BY n.document_id, n.topic_id, n.confidence DESC`,
		array(documents), array(topics), array(confidences))
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == int64(len(topics)) {
		return err
	}
	// Some topics were ignored, so a document may have none.
	_, err = tx.ExecContext(ctx, `
		UPDATE documents AS d SET has_topics = false
		WHERE `+anyOf("d.id", "$1::uuid[]", len(documents))+` AND d.has_topics AND NOT EXISTS (
			SELECT FROM document_topics AS t WHERE t.document_id = d.id OFFSET 0)`, array(documents))
	return err
}

// saveExamples stores the examples of documents, from which a provider learns, and replaces earlier
// ones. It requires the role worker.
func (tx *tx) saveExamples(ctx context.Context, examples []example) error {
	documents, users := make([]uuid.UUID, len(examples)), make([]uuid.UUID, len(examples))
	contents := make(pq.ByteaArray, len(examples))
	for i, e := range examples {
		documents[i], users[i], contents[i] = e.document, e.user, e.content
	}
	_, err := tx.ExecContext(ctx, `
		INSERT INTO document_examples (document_id, user_id, example)
		SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bytea[]) WHERE `+foreignKeysByIndex+`
		ON CONFLICT (document_id) DO UPDATE SET example = EXCLUDED.example
			WHERE document_examples.example <> EXCLUDED.example`,
		array(documents), array(users), contents)
	return err
}

// saveExplanations stores the explanations of documents that have none. It requires the role
// worker.
func (tx *tx) saveExplanations(ctx context.Context, explanations []explanation) error {
	documents, users := make([]uuid.UUID, len(explanations)), make([]uuid.UUID, len(explanations))
	contents := make([]string, len(explanations))
	for i, e := range explanations {
		documents[i], users[i], contents[i] = e.document, e.user, string(e.content)
	}
	_, err := tx.ExecContext(ctx, `
		INSERT INTO document_explanations (document_id, user_id, explanation)
		SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::json[]) WHERE `+foreignKeysByIndex,
		array(documents), array(users), array(contents))
	return err
}

// requestDeletions records object deletions of the documents' objects, in the order of their keys.
// If a key already has an object deletion or a tombstone, it becomes due immediately.
func (tx *tx) requestDeletions(ctx context.Context, docs []*schema.Document) error {
	docs = slices.Clone(docs)
	slices.SortFunc(docs, func(a, b *schema.Document) int {
		return strings.Compare(a.ObjectKey, b.ObjectKey)
	})
	_, err := tx.ExecContext(ctx, `
		INSERT INTO object_deletions (object_key, document_id, user_id, idempotency_key)
		SELECT * FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::text[])
		ON CONFLICT (object_key) DO UPDATE SET
			requested_at = now(), attempts = 0, next_attempt_at = now(), last_error = '',
			deleted_at = NULL`,
		column(docs, func(d *schema.Document) string { return d.ObjectKey }),
		column(docs, func(d *schema.Document) uuid.UUID { return d.ID }),
		column(docs, func(d *schema.Document) uuid.UUID { return d.UserID }),
		column(docs, func(d *schema.Document) *string { return d.IdempotencyKey }))
	return err
}

// keepKeys stores the idempotency keys of documents that end without an object deletion, whose
// tombstone would have the key. It requires the role worker.
func (tx *tx) keepKeys(ctx context.Context, docs []*schema.Document) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO gone_keys (user_id, idempotency_key, document_id)
		SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[])
		ON CONFLICT (user_id, idempotency_key) DO UPDATE SET
			document_id = EXCLUDED.document_id, gone_at = EXCLUDED.gone_at`,
		column(docs, func(d *schema.Document) uuid.UUID { return d.UserID }),
		column(docs, func(d *schema.Document) string { return *d.IdempotencyKey }),
		column(docs, func(d *schema.Document) uuid.UUID { return d.ID }))
	return err
}
