package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"intray/schema"
)

// A DocumentView is a document with its topics, by name.
type DocumentView struct {
	schema.Document
	Topics []ViewTopic
}

// A ViewTopic is one topic of one document.
type ViewTopic struct {
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
	var view DocumentView
	err := db.within(ctx, func(tx *tx) error {
		err := tx.GetContext(ctx, &view.Document, `SELECT `+documentColumns+` FROM documents
			WHERE id = $1 AND gone_at IS NULL AND ($2::uuid IS NULL OR user_id = $2)`,
			id, uuid.NullUUID{UUID: tx.user, Valid: tx.user != uuid.Nil})
		if errors.Is(err, sql.ErrNoRows) {
			return schema.Errorf(schema.CodeNotFound, "There is no such document.")
		}
		if err != nil {
			return err
		}
		topics, err := tx.viewTopics(ctx, []uuid.UUID{id})
		view.Topics = topics[id]
		return err
	})
	if err != nil {
		return DocumentView{}, wrap(ctx, err, "read document %s", id)
	}
	return view, nil
}

// Documents lists the documents of the user that the DB is bound to, newest first, which is by descending id: ids are UUIDv7.
// Those being deleted are in no listing. next is nil at the end.
func (db *DB) Documents(ctx context.Context, f Filter) (items []DocumentView, next *Cursor, err error) {
	if err := db.bound(); err != nil {
		return nil, nil, err
	}
	if f.Limit <= 0 {
		f.Limit = 50
	}
	err = db.within(ctx, func(tx *tx) error {
		query, args := listing(tx.user, f)
		var docs []schema.Document
		if err := tx.SelectContext(ctx, &docs, query, args...); err != nil {
			return err
		}
		if len(docs) > f.Limit {
			docs = docs[:f.Limit]
			next = &Cursor{ID: docs[f.Limit-1].ID}
		}
		ids := make([]uuid.UUID, len(docs))
		for i, d := range docs {
			ids[i] = d.ID
		}
		topics, err := tx.viewTopics(ctx, ids)
		if err != nil {
			return err
		}
		items = make([]DocumentView, len(docs))
		for i, d := range docs {
			items[i] = DocumentView{Document: d, Topics: topics[d.ID]}
		}
		return nil
	})
	if err != nil {
		return nil, nil, wrap(ctx, err, "list documents of user %s", db.user)
	}
	return items, next, nil
}

// listing returns the query for one page and the item behind it, which tells whether there is another page.
func listing(user uuid.UUID, f Filter) (query string, args []any) {
	where := []string{"status <> 'deleting'"}
	and := func(condition string, value any) {
		args = append(args, value)
		where = append(where, fmt.Sprintf(condition, len(args)))
	}
	and("user_id = $%d", user)
	if f.Status != "" {
		and("status = $%d", string(f.Status))
	}
	if f.Topic != uuid.Nil {
		and("EXISTS (SELECT FROM document_topics AS t WHERE t.document_id = documents.id AND t.topic_id = $%d)", f.Topic)
	}
	if f.Query != "" {
		and("filename ILIKE $%d", "%"+likeEscaper.Replace(f.Query)+"%")
	}
	if f.After != nil {
		and("id < $%d", f.After.ID)
	}
	args = append(args, f.Limit+1)
	return fmt.Sprintf(`SELECT %s FROM documents WHERE %s ORDER BY id DESC LIMIT $%d`,
		documentColumns, strings.Join(where, " AND "), len(args)), args
}

var likeEscaper = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// viewTopics returns the documents' topics, each by name.
func (tx *tx) viewTopics(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID][]ViewTopic, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var rows []struct {
		Document uuid.UUID `db:"document_id"`
		ViewTopic
	}
	err := tx.SelectContext(ctx, &rows, `
		SELECT dt.document_id, t.id, t.name, CASE WHEN t.user_id IS NULL THEN 'system' ELSE 'user' END AS scope,
			dt.confidence, t.suggested
		FROM document_topics AS dt JOIN topics AS t ON t.id = dt.topic_id
		WHERE dt.document_id = ANY($1::uuid[]) ORDER BY lower(t.name), t.id`, array(ids))
	if err != nil {
		return nil, err
	}
	topics := make(map[uuid.UUID][]ViewTopic, len(ids))
	for _, r := range rows {
		topics[r.Document] = append(topics[r.Document], r.ViewTopic)
	}
	return topics, nil
}

// within runs f in a transaction that is bound to the DB's user, and commits it unless f fails.
func (db *DB) within(ctx context.Context, f func(*tx) error) error {
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
