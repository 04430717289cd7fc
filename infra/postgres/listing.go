package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/google/uuid"

	"intray/schema"
)

// A DocumentView is a document as its owner sees it.
type DocumentView struct {
	schema.Document
	Topics []DocumentTopicView // ordered by name
	// DuplicateOf is the oldest counted document of the same user with the same content, or nil if
	// this document is the oldest one, is not counted, or if its digest is not known.
	DuplicateOf *uuid.UUID
	// Retrying reports whether the last attempt to confirm or classify the document failed or was
	// postponed, and another attempt is due.
	Retrying bool
}

// A DocumentTopicView is a topic of a document.
type DocumentTopicView struct {
	ID    uuid.UUID    `db:"id"`
	Name  string       `db:"name"`
	Scope schema.Scope `db:"scope"`
	// Confidence is between 0 and 100.
	Confidence int  `db:"confidence"`
	Suggested  bool `db:"suggested"`
}

// Document returns a document. If the DB is bound to a user, it must be one of the user's
// documents. It fails with schema.CodeNotFound, also for another user's document and for one whose
// object is gone.
func (db *DB) Document(ctx context.Context, id uuid.UUID) (DocumentView, error) {
	var row struct {
		schema.Document
		Topics      []byte     `db:"topics"`
		DuplicateOf *uuid.UUID `db:"duplicate_of"`
		Retrying    bool       `db:"retrying"`
	}
	var err error
	if db.user == uuid.Nil {
		err = db.queryRow(ctx, &row, anyDocumentQuery, id)
	} else {
		err = db.withProver(ctx, func(p prover) error {
			return db.queryRow(ctx, &row, userDocumentQuery, db.user, p.expires, p.mac(db.user), id)
		})
	}
	if errors.Is(err, sql.ErrNoRows) {
		err = errDocumentNotFound
	}
	view := DocumentView{
		Document: row.Document, DuplicateOf: row.DuplicateOf, Retrying: row.Retrying,
	}
	if err == nil && row.Topics != nil {
		err = json.Unmarshal(row.Topics, &view.Topics)
	}
	if err != nil {
		return DocumentView{}, wrap(ctx, err, "read document %s", id)
	}
	return view, nil
}

// The queries that return one document, and its topics as JSON or NULL: anyDocumentQuery of any
// user, userDocumentQuery of one user.
var (
	anyDocumentQuery = `SELECT ` + qualifiedColumns("d") + `, (
			SELECT jsonb_agg(jsonb_build_object('id', t.id, 'name', t.name,
				'scope', CASE WHEN t.user_id IS NULL THEN 'system' ELSE 'user' END,
				'confidence', dt.confidence, 'suggested', t.suggested) ORDER BY lower(t.name), t.id)
			FROM document_topics AS dt JOIN topics AS t ON t.id = dt.topic_id
			WHERE dt.document_id = d.id) AS topics, NULL AS duplicate_of, false AS retrying
		FROM documents AS d WHERE d.id = $1 AND d.gone_at IS NULL`

	userDocumentQuery = `SELECT ` + qualifiedColumns("(v.document)") + `, v.topics,
			v.duplicate_of, v.retrying
		FROM document_view($1, $2, $3, $4) AS v WHERE (v.document).id IS NOT NULL`
)

// qualifiedColumns returns documentColumns, each qualified with the value that it is a column of.
func qualifiedColumns(value string) string {
	names := strings.Split(documentColumns, ",")
	for i, name := range names {
		names[i] = value + "." + strings.TrimSpace(name)
	}
	return strings.Join(names, ", ")
}

// DocumentsByID returns the documents with the ids that [DB.Document] would return, in no
// particular order.
func (db *DB) DocumentsByID(
	ctx context.Context, ids []uuid.UUID,
) (views []DocumentView, err error) {
	if err := db.requireUser(); err != nil {
		return nil, err
	}
	err = db.inTransaction(ctx, func(tx *tx) error {
		var docs []schema.Document
		if err := tx.SelectContext(ctx, &docs, `
			SELECT `+documentColumns+` FROM unnest($1::uuid[]) AS k (key) CROSS JOIN LATERAL (
				SELECT * FROM documents WHERE id = k.key OFFSET 0) AS d
			WHERE gone_at IS NULL AND user_id = $2`,
			array(ids), tx.user); err != nil {
			return err
		}
		views, err = tx.views(ctx, docs)
		return err
	})
	return views, wrap(ctx, err, "read %d documents of user %s", len(ids), db.user)
}

// views reads the topics of the documents and returns both.
func (tx *tx) views(ctx context.Context, docs []schema.Document) ([]DocumentView, error) {
	ids := make([]uuid.UUID, len(docs))
	for i, d := range docs {
		ids[i] = d.ID
	}
	topics, err := tx.viewTopics(ctx, ids)
	if err != nil {
		return nil, err
	}
	originals, err := tx.originals(ctx, docs)
	if err != nil {
		return nil, err
	}
	retrying, err := tx.retrying(ctx, docs)
	if err != nil {
		return nil, err
	}
	views := make([]DocumentView, len(docs))
	for i, d := range docs {
		views[i] = DocumentView{
			Document: d, Topics: topics[d.ID], DuplicateOf: originals[d.ID],
			Retrying: slices.Contains(retrying, d.ID),
		}
	}
	return views, nil
}

// originals returns the oldest counted document with the same content for each of the documents
// that is a duplicate.
func (tx *tx) originals(
	ctx context.Context, docs []schema.Document,
) (map[uuid.UUID]*uuid.UUID, error) {
	var ids []uuid.UUID
	var digests []*string
	for _, d := range docs {
		if d.Status.Counted() && d.SHA256 != nil {
			ids, digests = append(ids, d.ID), append(digests, byteaText(d.SHA256))
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	var rows []struct {
		ID       uuid.UUID `db:"id"`
		Original uuid.UUID `db:"original"`
	}
	err := tx.SelectContext(ctx, &rows, `
		SELECT * FROM (
			SELECT n.id, original_document($3, n.id, n.digest) AS original
			FROM unnest($1::uuid[], $2::bytea[]) AS n (id, digest)) AS o
		WHERE original IS NOT NULL`, array(ids), array(digests), tx.user)
	originals := make(map[uuid.UUID]*uuid.UUID, len(rows))
	for i := range rows {
		originals[rows[i].ID] = &rows[i].Original
	}
	return originals, err
}

// retrying returns the documents that are being retried.
func (tx *tx) retrying(
	ctx context.Context, docs []schema.Document,
) (retrying []uuid.UUID, err error) {
	var ids []uuid.UUID
	for _, d := range docs {
		if d.Status == schema.StatusPending || d.Status == schema.StatusUploaded {
			ids = append(ids, d.ID)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	return retrying, tx.SelectContext(ctx, &retrying,
		`SELECT id FROM retrying_documents($1::uuid[]) AS r (id)`, array(ids))
}

// viewTopics returns the topics of each document, ordered by name.
func (tx *tx) viewTopics(
	ctx context.Context, ids []uuid.UUID,
) (map[uuid.UUID][]DocumentTopicView, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var rows []struct {
		Document uuid.UUID `db:"document_id"`
		DocumentTopicView
	}
	err := tx.SelectContext(ctx, &rows, `
		SELECT dt.document_id, t.id, t.name, dt.confidence, t.suggested,
			CASE WHEN t.user_id IS NULL THEN 'system' ELSE 'user' END AS scope
		FROM unnest($1::uuid[]) AS n (id)
		CROSS JOIN LATERAL (
			SELECT document_id, topic_id, confidence FROM document_topics
			WHERE document_id = n.id OFFSET 0) AS dt
		CROSS JOIN LATERAL (
			SELECT id, name, user_id, suggested FROM topics WHERE id = dt.topic_id OFFSET 0) AS t
		ORDER BY lower(t.name), t.id`, array(ids))
	if err != nil {
		return nil, err
	}
	topics := make(map[uuid.UUID][]DocumentTopicView, len(ids))
	for _, r := range rows {
		topics[r.Document] = append(topics[r.Document], r.DocumentTopicView)
	}
	return topics, nil
}

// inTransaction runs f in a transaction that is bound to the user of the DB. It commits if f
// returns nil and rolls back otherwise.
func (db *DB) inTransaction(ctx context.Context, f func(*tx) error) error {
	tx, err := db.begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}
