package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
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

// A Filter selects documents. A field with the zero value selects all.
type Filter struct {
	Status schema.Status
	// Topic selects the documents with this topic.
	Topic uuid.UUID
	// Query is a substring of the filename, ignoring case.
	Query string
	// After is the cursor of the previous page, or nil for the first page.
	After *Cursor
	// Limit is the largest number of items on a page, 50 if it is zero.
	Limit int
}

// A Cursor is the position in a listing after the document with the ID. The document need not
// exist.
type Cursor struct{ ID uuid.UUID }

// Document returns a document. If the DB is bound to a user, it must be one of the user's
// documents. It fails with schema.CodeNotFound, also for another user's document and for one whose
// object is gone.
func (db *DB) Document(ctx context.Context, id uuid.UUID) (DocumentView, error) {
	query, args := anyDocumentQuery, []any{id}
	if db.user != uuid.Nil {
		query, args = userDocumentQuery, []any{db.user, id}
	}
	var row struct {
		schema.Document
		Topics      []byte     `db:"topics"`
		DuplicateOf *uuid.UUID `db:"duplicate_of"`
		Retrying    bool       `db:"retrying"`
	}
	err := db.queryFunction(ctx, &row, query, args...)
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
		FROM document_view($1, $2) AS v WHERE (v.document).id IS NOT NULL`
)

// qualifiedColumns returns documentColumns, each qualified with the value that it is a column of.
func qualifiedColumns(value string) string {
	names := strings.Split(documentColumns, ",")
	for i, name := range names {
		names[i] = value + "." + strings.TrimSpace(name)
	}
	return strings.Join(names, ", ")
}

// Documents returns a page of the documents of the user that the DB is bound to, newest first. That
// is the descending order of the ids, which are UUIDv7. Deleting documents are not listed. next is
// nil on the last page. The cost of a page is bounded: a page that is not the last may have fewer
// items than the limit, or none, if the filter selects few of the documents or many are deleting.
func (db *DB) Documents(
	ctx context.Context, f Filter,
) (items []DocumentView, next *Cursor, err error) {
	if err := db.requireUser(); err != nil {
		return nil, nil, err
	}
	if f.Limit <= 0 {
		f.Limit = 50
	}
	err = db.inTransaction(ctx, func(tx *tx) error {
		docs, after, err := tx.page(ctx, f)
		if err != nil {
			return err
		}
		next = after
		items, err = tx.views(ctx, docs)
		return err
	})
	if err != nil {
		return nil, nil, wrap(ctx, err, "list documents of user %s", db.user)
	}
	return items, next, nil
}

// pageScanLimit is the largest number of index entries that a page scans. It limits the cost of a
// page, even if the filter selects few documents, and however many the user has. On a busy machine
// with two cores, a page for a user with a million documents took 5 ms without a filter, 18 ms with
// a query that matches nothing, and 75 ms with such a query and a topic
// (go test ./infra/postgres -run '^$' -bench BenchmarkListing).
const pageScanLimit = 5000

// page returns a page of documents, and the cursor of the next page or nil.
func (tx *tx) page(ctx context.Context, f Filter) ([]schema.Document, *Cursor, error) {
	if f.Status == schema.StatusDeleting {
		return nil, nil, nil
	}
	var scanEnd uuid.NullUUID
	selective := f.Query != "" || f.Topic != uuid.Nil
	if selective {
		if err := tx.readScanEnd(ctx, f, &scanEnd); err != nil {
			return nil, nil, err
		}
	}
	docs, err := tx.readPage(ctx, f, scanEnd)
	if err == nil && len(docs) <= f.Limit && !selective && f.Status == "" {
		// Almost always this is the last page. Otherwise, the page was short because so many documents
		// are being deleted.
		if err = tx.readScanEnd(ctx, f, &scanEnd); err == nil && scanEnd.Valid {
			docs, err = tx.readPage(ctx, f, scanEnd)
		}
	}
	switch {
	case err != nil:
		return nil, nil, err
	case len(docs) > f.Limit:
		return docs[:f.Limit], &Cursor{ID: docs[f.Limit-1].ID}, nil
	case scanEnd.Valid:
		return docs, &Cursor{ID: scanEnd.UUID}, nil
	default:
		return docs, nil, nil
	}
}

// readScanEnd reads the id of the last index entry that a page may scan. It leaves end unchanged if
// there are fewer entries.
func (tx *tx) readScanEnd(ctx context.Context, f Filter, end *uuid.NullUUID) error {
	query, args := f.scanEndQuery(tx.user)
	err := tx.GetContext(ctx, end, query, args...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}

// readPage reads the documents of a page and one more. It scans the index no further than to
// scanEnd.
func (tx *tx) readPage(
	ctx context.Context, f Filter, scanEnd uuid.NullUUID,
) (docs []schema.Document, err error) {
	query, args := f.pageQuery(tx.user, scanEnd)
	return docs, tx.SelectContext(ctx, &docs, query, args...)
}

// A query collects the conditions of a WHERE clause and their arguments.
type query struct {
	conditions []string
	args       []any
}

// arg adds an argument and returns its placeholder.
func (q *query) arg(value any) string {
	q.args = append(q.args, value)
	return fmt.Sprintf("$%d", len(q.args))
}

// and adds a condition. It replaces %s in the condition with the placeholder of the value.
func (q *query) and(condition string, value any) {
	q.conditions = append(q.conditions, fmt.Sprintf(condition, q.arg(value)))
}

func (q *query) where() string { return strings.Join(q.conditions, " AND ") }

// scan returns conditions that exactly one range of an index satisfies; the listing reads that
// range in descending order. It also returns the table of the index, and the column of the table
// that holds the document's id.
func (f Filter) scan(user uuid.UUID) (q *query, table, id string) {
	q, table, id = &query{}, "documents", "id"
	q.and("user_id = %s", user)
	switch {
	case f.Topic != uuid.Nil:
		table, id = "document_topics", "document_id"
		q.and("topic_id = %s", f.Topic)
	case f.Status != "":
		q.and("status = %s", string(f.Status))
	}
	if f.After != nil {
		q.and(id+" < %s", f.After.ID)
	}
	return q, table, id
}

// scanEndQuery returns the query for the id of the last index entry that a page may scan. It has no
// row if there are fewer entries.
func (f Filter) scanEndQuery(user uuid.UUID) (string, []any) {
	q, table, id := f.scan(user)
	return fmt.Sprintf(`SELECT %s FROM %s WHERE %s ORDER BY %s DESC OFFSET %d LIMIT 1`,
		id, table, q.where(), id, pageScanLimit-1), q.args
}

// pageQuery returns the query for a page and one more item, which shows that there is another page.
func (f Filter) pageQuery(user uuid.UUID, scanEnd uuid.NullUUID) (string, []any) {
	q, table, id := f.scan(user)
	if scanEnd.Valid {
		q.and(id+" >= %s", scanEnd.UUID)
	}
	entries, conditions := q.where(), f.documentConditions(q)
	limit := q.arg(f.Limit + 1)
	if table == "documents" {
		return fmt.Sprintf(`
			SELECT %s FROM (
				SELECT * FROM documents WHERE %s ORDER BY id DESC LIMIT %d) AS d
			WHERE %s ORDER BY id DESC LIMIT %s`,
			documentColumns, entries, pageScanLimit, conditions, limit), q.args
	}
	// OFFSET 0 prevents the planner from reversing the order of the join.
	return fmt.Sprintf(`
		SELECT d.* FROM (
			SELECT document_id FROM document_topics WHERE %s ORDER BY document_id DESC LIMIT %d) AS t
		CROSS JOIN LATERAL (
			SELECT %s FROM documents WHERE id = t.document_id AND user_id = $1 AND %s OFFSET 0) AS d
		ORDER BY t.document_id DESC LIMIT %s`,
		entries, pageScanLimit, documentColumns, conditions, limit), q.args
}

// documentConditions returns the conditions that are tested on each scanned document.
func (f Filter) documentConditions(q *query) string {
	conditions := "status <> 'deleting'"
	if f.Topic != uuid.Nil && f.Status != "" {
		conditions += " AND status = " + q.arg(string(f.Status))
	}
	if f.Query != "" {
		conditions += " AND filename ILIKE " + q.arg("%"+likeEscaper.Replace(f.Query)+"%")
	}
	return conditions
}

var likeEscaper = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

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
			SELECT n.id, original_document(n.id, n.digest) AS original
			FROM unnest($1::uuid[], $2::bytea[]) AS n (id, digest)) AS o
		WHERE original IS NOT NULL`, array(ids), array(digests))
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
