package bench

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"intray/infra/postgres/postgrestest"
	"intray/schema"
)

// database runs the SQL statements that only the measurements need, as the owner of the database.
type database struct{ pool *sqlx.DB }

// openDatabase returns a database for the owner's URL. It does not connect yet. Its errors do not
// contain the URL, which contains a password.
func openDatabase(address string) (*database, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("the URL of the database is not valid")
	}
	settings := u.Query()
	// With this setting a statement takes one round trip, as in package postgres.
	settings.Set("binary_parameters", "yes")
	settings.Set("statement_timeout", "300000")
	u.RawQuery = settings.Encode()
	pool, err := sqlx.Open("postgres", u.String())
	if err != nil {
		return nil, errors.New("the URL of the database is not valid")
	}
	pool.SetMaxOpenConns(inFlight)
	pool.SetMaxIdleConns(inFlight)
	return &database{pool}, nil
}

func (db *database) close() { _ = db.pool.Close() }

// addDocuments inserts the documents and updates the planner's statistics, which autovacuum would
// update only some time later.
func (db *database) addDocuments(ctx context.Context, docs []schema.Document) error {
	if err := postgrestest.AddDocuments(ctx, db.pool, docs); err != nil {
		return err
	}
	if _, err := db.pool.ExecContext(ctx, `ANALYZE documents, quotas`); err != nil {
		return fmt.Errorf("analyze documents: %w", err)
	}
	return nil
}

// unpublished returns the number of the users' documents that are pending or whose last transition
// is not yet published.
func (db *database) unpublished(ctx context.Context, users []uuid.UUID) (n int, err error) {
	err = db.pool.GetContext(ctx, &n, `
		SELECT (SELECT count(*) FROM documents
				WHERE status = 'pending' AND user_id = ANY($1::uuid[]))
			+ (SELECT count(*) FROM documents
				WHERE unpublished_at IS NOT NULL AND user_id = ANY($1::uuid[]))`, pq.Array(users))
	if err != nil {
		return 0, fmt.Errorf("count unpublished documents: %w", err)
	}
	return n, nil
}

// A row has the columns of a document that are needed to remove it.
type row struct {
	ID        uuid.UUID `db:"id"`
	ObjectKey string    `db:"object_key"`
	Size      int64     `db:"size"`
}

// documentsOf returns up to limit of the users' documents whose id is greater than after, ordered
// by id.
func (db *database) documentsOf(
	ctx context.Context, users []uuid.UUID, after uuid.UUID, limit int,
) (rows []row, err error) {
	err = db.pool.SelectContext(ctx, &rows, `
		SELECT id, object_key, size FROM documents
		WHERE user_id = ANY($1::uuid[]) AND id > $2 ORDER BY id LIMIT $3`,
		pq.Array(users), after, limit)
	if err != nil {
		return nil, fmt.Errorf("list documents: %w", err)
	}
	return rows, nil
}

// removeDocuments deletes the rows of documents whose objects do not exist, and their rows in
// object_deletions.
func (db *database) removeDocuments(ctx context.Context, rows []row) error {
	ids := make([]uuid.UUID, len(rows))
	for i, r := range rows {
		ids[i] = r.ID
	}
	err := db.execAll(ctx, ids,
		`DELETE FROM documents WHERE id = ANY($1::uuid[])`,
		`DELETE FROM object_deletions WHERE document_id = ANY($1::uuid[])`)
	if err != nil {
		return fmt.Errorf("remove %d documents: %w", len(ids), err)
	}
	return nil
}

// removeUsers deletes users who have no documents, and their quotas.
func (db *database) removeUsers(ctx context.Context, ids []uuid.UUID) error {
	err := db.execAll(ctx, ids,
		`DELETE FROM quotas WHERE user_id = ANY($1::uuid[])`,
		`DELETE FROM users WHERE id = ANY($1::uuid[])`)
	if err != nil {
		return fmt.Errorf("remove %d users: %w", len(ids), err)
	}
	return nil
}

// execAll runs the statements in one transaction. The ids are the only parameter of each.
func (db *database) execAll(ctx context.Context, ids []uuid.UUID, statements ...string) error {
	tx, err := db.pool.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	for _, statement := range statements {
		if _, err := tx.ExecContext(ctx, statement, pq.Array(ids)); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// version returns the version of a document, with one SELECT by primary key. It is the query of
// [StepFloor].
func (db *database) version(ctx context.Context, id uuid.UUID) (version int64, err error) {
	err = db.pool.GetContext(ctx, &version, `SELECT version FROM documents WHERE id = $1`, id)
	if err != nil {
		return 0, fmt.Errorf("read the version of document %s: %w", id, err)
	}
	return version, nil
}
