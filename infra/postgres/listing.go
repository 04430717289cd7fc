package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"intray/schema"
)

// A DocumentView is a document with its topics, by name.
type DocumentView struct {
	schema.Document
	Topics []DocumentTopicView
}

// A ViewTopic is one topic of one document.
type DocumentTopicView struct {
	ID    uuid.UUID    `db:"id"`
	Name  string       `db:"name"`
	Scope schema.Scope `db:"scope"`
	// Confidence is from 0 to 100.
	Confidence int  `db:"confidence"`
	Suggested  bool `db:"suggested"`
}

// A Filter chooses documents for a listing; zero values choose all.
type Filter struct {
	Status schema.Status
	// Topic is a topic that the documents have.
	Topic uuid.UUID
	// Query is a part of the filename, ignoring case.
	Query string
	// After continues a listing behind its last item.
	After *Cursor
	// Limit is the most items to return, 50 if zero.
	Limit int
}

// A Cursor is a place in a listing: behind the document with this id. The document need not exist any more.
type Cursor struct{ ID uuid.UUID }

// Document returns one document of the user that the DB is bound to (or anybody's, if to none). It fails with
// schema.CodeNotFound, also for another user's document and for one whose object is gone.
func (db *DB) Document(ctx context.Context, id uuid.UUID) (DocumentView, error) {
	query, args := anyDocumentQuery, []any{id}
	if db.user != uuid.Nil {
		query, args = userDocumentQuery, []any{db.user, id}
	}
	var row struct {
		schema.Document
		Topics []byte `db:"topics"`
	}
	err := db.queryFunction(ctx, &row, query, args...)
	if errors.Is(err, sql.ErrNoRows) {
		err = schema.Errorf(schema.CodeNotFound, "There is no such document.")
	}
	view := DocumentView{Document: row.Document}
	if err == nil && row.Topics != nil {
		err = json.Unmarshal(row.Topics, &view.Topics)
	}
	if err != nil {
		return DocumentView{}, wrap(ctx, err, "read document %s", id)
	}
	return view, nil
}

// What reads one document, its topics as JSON or NULL: anybody's, and one user's.
var (
	anyDocumentQuery = `SELECT ` + qualifiedColumns("d") + `, (
			SELECT jsonb_agg(jsonb_build_object('id', t.id, 'name', t.name,
				'scope', CASE WHEN t.user_id IS NULL THEN 'system' ELSE 'user' END,
				'confidence', dt.confidence, 'suggested', t.suggested) ORDER BY lower(t.name), t.id)
			FROM document_topics AS dt JOIN topics AS t ON t.id = dt.topic_id
			WHERE dt.document_id = d.id) AS topics
		FROM documents AS d WHERE d.id = $1 AND d.gone_at IS NULL`

	userDocumentQuery = `SELECT ` + qualifiedColumns("(v.document)") + `, v.topics FROM document_view($1, $2) AS v WHERE (v.document).id IS NOT NULL`
)

// qualifiedColumns are documentColumns of a composite value.
func qualifiedColumns(value string) string {
	names := strings.Split(documentColumns, ",")
	for i, name := range names {
		names[i] = value + "." + strings.TrimSpace(name)
	}
	return strings.Join(names, ", ")
}

// Documents lists the documents of the user that the DB is bound to, newest first, which is by descending id: ids are UUIDv7.
// Those being deleted are in no listing. next is nil at the end. A page looks at a bounded number of documents, so with a
// topic or a query it may hold fewer than the limit, even none, before the end.
func (db *DB) Documents(ctx context.Context, f Filter) (items []DocumentView, next *Cursor, err error) {
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

// pageScanLimit is how many entries of the index in whose order a listing goes one page may look at, where a filter is
// documentConditions on each. It bounds what a page costs to some 40 ms (BenchmarkListing), whatever the filter and however few documents it chooses.
const pageScanLimit = 20_000

// page returns one page of documents and, unless it is the last, where the next begins.
func (tx *tx) page(ctx context.Context, f Filter) ([]schema.Document, *Cursor, error) {
	var edge uuid.NullUUID
	if f.Query != "" || f.Topic != uuid.Nil {
		query, args := f.scanEndQuery(tx.user)
		if err := tx.GetContext(ctx, &edge, query, args...); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, nil, err
		}
	}
	query, args := f.pageQuery(tx.user, edge)
	var docs []schema.Document
	if err := tx.SelectContext(ctx, &docs, query, args...); err != nil {
		return nil, nil, err
	}
	switch {
	case len(docs) > f.Limit:
		return docs[:f.Limit], &Cursor{ID: docs[f.Limit-1].ID}, nil
	case edge.Valid:
		return docs, &Cursor{ID: edge.UUID}, nil
	default:
		return docs, nil, nil
	}
}

// A query is put together of conditions and their arguments.
type query struct {
	conditions []string
	args       []any
}

// arg returns the placeholder of an argument.
func (q *query) arg(value any) string {
	q.args = append(q.args, value)
	return fmt.Sprintf("$%d", len(q.args))
}

func (q *query) and(condition string, value any) {
	q.conditions = append(q.conditions, fmt.Sprintf(condition, q.arg(value)))
}

func (q *query) where() string { return strings.Join(q.conditions, " AND ") }

// scan begins the query for those entries that a listing goes through, newest first: of one index, which the filter says.
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

// scanEndQuery returns the query for the last entry that a page may look at, no row if there are fewer.
func (f Filter) scanEndQuery(user uuid.UUID) (string, []any) {
	q, table, id := f.scan(user)
	return fmt.Sprintf(`SELECT %s FROM %s WHERE %s ORDER BY %s DESC OFFSET %d LIMIT 1`, id, table, q.where(), id, pageScanLimit-1), q.args
}

// pageQuery returns the query for one page, down to the edge, and the item behind it, which shows
// that there is another page.
func (f Filter) pageQuery(user uuid.UUID, edge uuid.NullUUID) (string, []any) {
	q, table, id := f.scan(user)
	if edge.Valid {
		q.and(id+" >= %s", edge.UUID)
	}
	entries := q.where()
	if table == "documents" {
		entries += f.documentConditions(q)
		return fmt.Sprintf(`SELECT %s FROM documents WHERE %s ORDER BY id DESC LIMIT %s`, documentColumns, entries, q.arg(f.Limit+1)), q.args
	}
	// OFFSET 0 keeps the planner from turning the order of the join around.
	return fmt.Sprintf(`SELECT d.* FROM (SELECT document_id FROM document_topics WHERE %s ORDER BY document_id DESC) AS t
		CROSS JOIN LATERAL (SELECT %s FROM documents WHERE id = t.document_id AND user_id = $1%s OFFSET 0) AS d
		ORDER BY t.document_id DESC LIMIT %s`, entries, documentColumns, f.documentConditions(q), q.arg(f.Limit+1)), q.args
}

// documentConditions returns the conditions that each document is tested with.
func (f Filter) documentConditions(q *query) string {
	conditions := " AND status <> 'deleting'"
	if f.Topic != uuid.Nil && f.Status != "" {
		conditions += " AND status = " + q.arg(string(f.Status))
	}
	if f.Query != "" {
		conditions += " AND filename ILIKE " + q.arg("%"+likeEscaper.Replace(f.Query)+"%")
	}
	return conditions
}

var likeEscaper = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// DocumentsByID returns those of the documents that [DB.Document] would return, in no order.
func (db *DB) DocumentsByID(ctx context.Context, ids []uuid.UUID) (views []DocumentView, err error) {
	if err := db.requireUser(); err != nil {
		return nil, err
	}
	err = db.inTransaction(ctx, func(tx *tx) error {
		var docs []schema.Document
		if err := tx.SelectContext(ctx, &docs, `SELECT `+documentColumns+` FROM documents
			WHERE `+anyOf("id", "$1::uuid[]", len(ids))+` AND gone_at IS NULL AND user_id = $2`, array(ids), tx.user); err != nil {
			return err
		}
		views, err = tx.views(ctx, docs)
		return err
	})
	return views, wrap(ctx, err, "read %d documents of user %s", len(ids), db.user)
}

// views gives documents their topics.
func (tx *tx) views(ctx context.Context, docs []schema.Document) ([]DocumentView, error) {
	ids := make([]uuid.UUID, len(docs))
	for i, d := range docs {
		ids[i] = d.ID
	}
	topics, err := tx.viewTopics(ctx, ids)
	if err != nil {
		return nil, err
	}
	views := make([]DocumentView, len(docs))
	for i, d := range docs {
		views[i] = DocumentView{Document: d, Topics: topics[d.ID]}
	}
	return views, nil
}

// viewTopics returns the documents' topics, each by name.
func (tx *tx) viewTopics(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID][]DocumentTopicView, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var rows []struct {
		Document uuid.UUID `db:"document_id"`
		DocumentTopicView
	}
	err := tx.SelectContext(ctx, &rows, `
		SELECT dt.document_id, t.id, t.name, CASE WHEN t.user_id IS NULL THEN 'system' ELSE 'user' END AS scope,
			dt.confidence, t.suggested
		FROM document_topics AS dt JOIN topics AS t ON t.id = dt.topic_id
		WHERE `+anyOf("dt.document_id", "$1::uuid[]", len(ids))+` ORDER BY lower(t.name), t.id`, array(ids))
	if err != nil {
		return nil, err
	}
	topics := make(map[uuid.UUID][]DocumentTopicView, len(ids))
	for _, r := range rows {
		topics[r.Document] = append(topics[r.Document], r.DocumentTopicView)
	}
	return topics, nil
}

// inTransaction runs f in a transaction that is bound to the DB's user, and commits it unless f fails.
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
