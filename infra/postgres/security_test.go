package postgres_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"intray/infra/postgres"
	"intray/schema"
)

var securedTables = []string{
	"users", "quotas", "documents", "topics", "document_topics", "object_deletions",
}

// setupRows returns a database in which alice and bob have rows in each of the securedTables, and a
// classified document of each of them. There is also a system topic.
func setupRows(t *testing.T) (b *bundle, documents map[uuid.UUID]schema.Document) {
	b = setup(t)
	documents = map[uuid.UUID]schema.Document{}
	system := schema.Topic{ID: newID(t), Name: "System"}
	must(t, b.api.ForUser(b.administrator).CreateTopic(t.Context(), system))
	for _, user := range []uuid.UUID{b.alice, b.bob} {
		own := schema.Topic{ID: newID(t), UserID: &user, Name: "Own"}
		must(t, b.api.ForUser(user).CreateTopic(t.Context(), own))
		d := b.uploaded(t, user, "file", 10)
		b.transition(t, d.ID, func(d *schema.Document, _ *schema.Quota, _ time.Time) schema.Decision {
			topics := []schema.DocumentTopic{
				{TopicID: own.ID, Confidence: 90},
				{TopicID: system.ID, Confidence: 80},
			}
			return d.Classify(topics, "p", "m", d.ChangedAt)
		})
		documents[user] = d
		b.transition(t, b.uploaded(t, user, "deleted", 1).ID, remove)
	}
	return b, documents
}

// asUser runs f in a transaction of the role api that is bound to the user, unless it is uuid.Nil,
// and rolls it back.
func (b *bundle) asUser(t *testing.T, user uuid.UUID, f func(tx *sqlx.Tx)) {
	t.Helper()
	tx := b.rawAPI.MustBegin()
	defer func() { _ = tx.Rollback() }()
	if user != uuid.Nil {
		tx.MustExec(`SELECT set_current_user($1, $2, $3)`, b.proof(t, user)...)
	}
	f(tx)
}

func TestRowLevelSecurityHidesOtherUsers(t *testing.T) {
	b, _ := setupRows(t)
	for _, table := range securedTables {
		columns := "*"
		if table == "users" {
			columns = "id"
		}
		b.asUser(t, uuid.Nil, func(tx *sqlx.Tx) {
			var rows int
			must(t, tx.Get(&rows, `SELECT count(*) FROM (SELECT `+columns+` FROM `+table+`) AS r`))
			if rows != 0 {
				t.Errorf("%s: got %d rows without a user, want 0", table, rows)
			}
		})
		b.asUser(t, b.alice, func(tx *sqlx.Tx) {
			permitted := map[string]string{
				"users":  "id = $1",
				"topics": "user_id = $1 OR user_id IS NULL",
			}[table]
			if permitted == "" {
				permitted = "user_id = $1"
			}
			var own, others int
			must(t, tx.QueryRow(`
				SELECT count(*) FILTER (WHERE `+permitted+`), count(*) FILTER (WHERE NOT (`+permitted+`))
				FROM `+table, b.alice).Scan(&own, &others))
			if own == 0 || others != 0 {
				t.Errorf("%s: got %d own rows and %d of other users for alice, want some and 0",
					table, own, others)
			}
		})
	}
	// The connection is not bound to the user after the transaction.
	tx := b.rawAPI.MustBegin()
	defer func() { _ = tx.Rollback() }()
	tx.MustExec(`SELECT set_current_user($1, $2, $3)`, b.proof(t, b.alice)...)
	must(t, tx.Commit())
	if n := count(t, b.rawAPI, `SELECT count(*) FROM documents`); n != 0 {
		t.Errorf("got %d documents after the transaction, want 0", n)
	}
}

func TestAPIRoleCannotWriteOtherUsersRows(t *testing.T) {
	b, documents := setupRows(t)
	bobs := documents[b.bob]
	for _, statement := range []string{
		`UPDATE documents SET status = 'deleting'`,
		`UPDATE quotas SET used_bytes = 0`,
		`UPDATE topics SET name = 'x' WHERE user_id IS NOT NULL`,
		`DELETE FROM document_topics`,
		`DELETE FROM topics`,
		`UPDATE object_deletions SET attempts = 7`,
	} {
		b.asUser(t, b.alice, func(tx *sqlx.Tx) {
			result, err := tx.Exec(statement)
			must(t, err)
			if n, _ := result.RowsAffected(); n == 0 {
				t.Errorf("%s: got 0 rows, want alice's own", statement)
			}
			must(t, tx.Commit())
		})
	}
	var untouched int
	must(t, b.raw.Get(&untouched, `SELECT
		(SELECT count(*) FROM documents WHERE user_id = $1 AND status = 'classified') +
		(SELECT count(*) FROM quotas WHERE user_id = $1 AND used_bytes > 0) +
		(SELECT count(*) FROM topics WHERE user_id = $1 AND name = 'Own') +
		(SELECT count(*) FROM topics WHERE user_id IS NULL) +
		(SELECT count(*) FROM document_topics WHERE user_id = $1) +
		(SELECT count(*) FROM object_deletions WHERE user_id = $1 AND attempts = 0)`, b.bob))
	if untouched != 7 {
		t.Errorf("got %d unchanged rows of bob and the system, want 7", untouched)
	}
	denied := []struct {
		statement string
		args      []any
	}{
		{`INSERT INTO documents (id, user_id, object_key, filename, content_type, size, status,
				created_at, url_issued_at, changed_at)
			VALUES ($1, $2, document_object_key($1), 'f', 't', 1, 'pending', now(), now(), now())`,
			[]any{newID(t), b.bob}},
		{`INSERT INTO documents (id, user_id, object_key, filename, content_type, size, status,
				created_at, url_issued_at, changed_at)
			VALUES ($1, $2, 'documents/elsewhere', 'f', 't', 1, 'pending', now(), now(), now())`,
			[]any{newID(t), b.alice}},
		{`INSERT INTO topics (id, user_id, name) VALUES ($1, $2, 'For Bob')`, []any{newID(t), b.bob}},
		{`INSERT INTO topics (id, name) VALUES ($1, 'For all')`, []any{newID(t)}},
		{`INSERT INTO object_deletions (object_key, document_id, user_id) VALUES ($1, $2, $3)`,
			[]any{bobs.ObjectKey, bobs.ID, b.alice}},
		{`INSERT INTO object_deletions (object_key, document_id, user_id) VALUES ($1, $2, $3)`,
			[]any{bobs.ObjectKey, documents[b.alice].ID, b.alice}},
		{`INSERT INTO document_topics (document_id, user_id, topic_id, confidence)
			SELECT $1, $2, $3, 1`,
			[]any{documents[b.alice].ID, b.alice, topicOf(t, b, b.bob)}},
		{`UPDATE documents SET user_id = $1`, []any{b.bob}},
		{`UPDATE documents SET object_key = $1`, []any{bobs.ObjectKey}},
		{`UPDATE quotas SET limit_bytes = $1`, []any{1}},
		{`UPDATE users SET role = 'admin'`, nil},
		{`DELETE FROM documents`, nil},
		{`SELECT password_hash FROM users`, nil},
		{`SELECT * FROM users`, nil},
		{`SELECT count(*) FROM dead_letters`, nil},
		{`SELECT count(*) FROM replays`, nil},
		{`SELECT * FROM admin_users(NULL, $1)`, []any{10}},
		{`SELECT * FROM admin_change_user($1, 1, NULL, NULL)`, []any{b.alice}},
		{`TRUNCATE documents`, nil},
		{`CREATE TABLE t ()`, nil},
	}
	for _, d := range denied {
		b.asUser(t, b.alice, func(tx *sqlx.Tx) {
			wantInsufficientPrivilege(t, d.statement, execStatement(tx, d.statement, d.args...))
		})
	}
}

func topicOf(t *testing.T, b *bundle, user uuid.UUID) uuid.UUID {
	t.Helper()
	var id uuid.UUID
	must(t, b.raw.Get(&id, `SELECT id FROM topics WHERE user_id = $1`, user))
	return id
}

func TestOnlyAdministratorsWriteSystemTopics(t *testing.T) {
	b, _ := setupRows(t)
	for _, statement := range []string{
		`INSERT INTO topics (id, name) VALUES (gen_random_uuid(), 'New')`,
		`UPDATE topics SET name = 'Renamed' WHERE user_id IS NULL`,
		`DELETE FROM topics WHERE user_id IS NULL`,
	} {
		for user, allowed := range map[uuid.UUID]bool{
			b.administrator: true, b.alice: false, uuid.Nil: false,
		} {
			b.asUser(t, user, func(tx *sqlx.Tx) {
				result, err := tx.Exec(statement)
				var n int64
				if err == nil {
					n, _ = result.RowsAffected()
				}
				if (n == 1) != allowed {
					t.Errorf("%s as user %s: got %d rows and error %v, want allowed %v",
						statement, user, n, err, allowed)
				}
			})
		}
	}
}

func TestWorkerRoleCannotReadPasswordsOrCreateUsers(t *testing.T) {
	b, _ := setupRows(t)
	for _, statement := range []string{
		`SELECT password_hash FROM users`,
		`SELECT email FROM users`,
		`DELETE FROM users`,
		`UPDATE quotas SET limit_bytes = 1`,
		`INSERT INTO documents DEFAULT VALUES`,
		`DELETE FROM topics`,
		`SELECT * FROM account_by_email('alice@example.org')`,
		`SELECT proof_key()`,
		`SELECT * FROM proof_keys`,
		`SELECT set_current_user(NULL, 1, NULL)`,
	} {
		wantInsufficientPrivilege(t, statement, execStatement(b.rawWorker, statement))
	}
	for _, table := range securedTables[1:] { // all except users
		query := `SELECT count(*) FROM ` + table
		got, want := count(t, b.rawWorker, query), count(t, b.raw, query)
		if got != want || got == 0 {
			t.Errorf("%s: got %d rows as worker, want all %d", table, got, want)
		}
	}
}

// TestAllUserTablesHaveRowLevelSecurity also checks tables and functions that later migrations add.
func TestAllUserTablesHaveRowLevelSecurity(t *testing.T) {
	b := setup(t)
	var open []string
	must(t, b.raw.Select(&open, `
		SELECT c.relname FROM pg_class c
		WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
			AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid
				AND (a.attname = 'user_id' OR c.relname = 'users') AND NOT a.attisdropped)
			AND NOT (c.relrowsecurity AND c.relforcerowsecurity)`))
	if len(open) > 0 {
		t.Errorf("got tables without forced row-level security: %v, want none", open)
	}
	var loose []string
	must(t, b.raw.Select(&loose, `
		SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND (
			prosecdef AND NOT coalesce(
				array_to_string(proconfig, ',') LIKE '%search_path=pg_catalog%', false)
			OR has_function_privilege('public', oid, 'EXECUTE'))`))
	if len(loose) > 0 {
		t.Errorf("got functions without a fixed search_path or with EXECUTE for PUBLIC: %v, want none",
			loose)
	}
}

func TestDeletedUserIsUnauthenticated(t *testing.T) {
	b := setup(t)
	nobody := b.api.ForUser(newID(t))
	_, err := nobody.Me(t.Context())
	wantCode(t, err, schema.CodeUnauthenticated)
	_, _, err = nobody.Documents(t.Context(), postgres.Filter{})
	wantCode(t, err, schema.CodeUnauthenticated)
	_, err = nobody.Transition(t.Context(), []uuid.UUID{newID(t)}, confirm)
	wantCode(t, err, schema.CodeUnauthenticated)
}
