package postgres_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"intray/infra/postgres"
	"intray/schema"
)

var securedTables = []string{"users", "quotas", "documents", "topics", "document_topics", "object_deletions"}

// secured makes a database in which alice, bob and the system have one of everything.
func secured(t *testing.T) (b *bundle, of map[uuid.UUID]schema.Document) {
	b = setup(t)
	of = map[uuid.UUID]schema.Document{}
	system := schema.Topic{ID: newID(t), Name: "System"}
	must(t, b.api.ForUser(b.administrator).CreateTopic(t.Context(), system))
	for _, user := range []uuid.UUID{b.alice, b.bob} {
		own := schema.Topic{ID: newID(t), UserID: &user, Name: "Own"}
		must(t, b.api.ForUser(user).CreateTopic(t.Context(), own))
		d := b.uploaded(t, user, "file", 10)
		b.transition(t, d.ID, func(d *schema.Document, _ *schema.Quota) schema.Decision {
			return d.Classify([]schema.DocumentTopic{{TopicID: own.ID, Confidence: 90}, {TopicID: system.ID, Confidence: 80}}, "p", "m", d.ChangedAt)
		})
		of[user] = d
		b.transition(t, b.uploaded(t, user, "deleted", 1).ID, remove)
	}
	return b, of
}

// asUser runs f in a transaction of the role api that is bound to a user, and rolls it back.
func asUser(t *testing.T, raw *sqlx.DB, user uuid.UUID, f func(tx *sqlx.Tx)) {
	t.Helper()
	tx := raw.MustBegin()
	defer func() { _ = tx.Rollback() }()
	if user != uuid.Nil {
		tx.MustExec(`SELECT set_current_user($1)`, user)
	}
	f(tx)
}

func TestAForgottenWhereLeaksNothing(t *testing.T) {
	b, _ := secured(t)
	for _, table := range securedTables {
		columns := "*"
		if table == "users" {
			columns = "id"
		}
		asUser(t, b.rawAPI, uuid.Nil, func(tx *sqlx.Tx) {
			var rows int
			must(t, tx.Get(&rows, `SELECT count(*) FROM (SELECT `+columns+` FROM `+table+`) AS r`))
			if rows != 0 {
				t.Errorf("%s: bound to nobody, %d rows are seen", table, rows)
			}
		})
		asUser(t, b.rawAPI, b.alice, func(tx *sqlx.Tx) {
			var own, foreign int
			mine := map[string]string{"users": "id = $1", "topics": "user_id = $1 OR user_id IS NULL"}[table]
			if mine == "" {
				mine = "user_id = $1"
			}
			must(t, tx.QueryRow(`SELECT count(*) FILTER (WHERE `+mine+`), count(*) FILTER (WHERE NOT (`+mine+`)) FROM `+table, b.alice).Scan(&own, &foreign))
			if own == 0 || foreign != 0 {
				t.Errorf("%s: bound to alice, %d own and %d foreign rows are seen", table, own, foreign)
			}
		})
	}
	// A pooled connection keeps nothing of the last transaction's user.
	tx := b.rawAPI.MustBegin()
	defer func() { _ = tx.Rollback() }()
	tx.MustExec(`SELECT set_current_user($1)`, b.alice)
	must(t, tx.Commit())
	if n := count(t, b.rawAPI, `SELECT count(*) FROM documents`); n != 0 {
		t.Errorf("%d documents are seen after the transaction", n)
	}
}

func TestTheAPICannotWriteWhatIsAnothers(t *testing.T) {
	b, of := secured(t)
	foreign := of[b.bob]
	for _, statement := range []string{
		`UPDATE documents SET status = 'deleting'`,
		`UPDATE quotas SET used_bytes = 0`,
		`UPDATE topics SET name = 'x' WHERE user_id IS NOT NULL`,
		`DELETE FROM document_topics`,
		`DELETE FROM topics`,
		`UPDATE object_deletions SET attempts = 7`,
	} {
		asUser(t, b.rawAPI, b.alice, func(tx *sqlx.Tx) {
			result, err := tx.Exec(statement)
			must(t, err)
			if n, _ := result.RowsAffected(); n == 0 {
				t.Errorf("%s: not even alice's own rows", statement)
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
		t.Errorf("%d of bob's and the system's 7 rows are untouched", untouched)
	}
	denied := map[string][]any{
		`INSERT INTO documents (id, user_id, object_key, filename, content_type, size, status, created_at, url_issued_at, changed_at)
			VALUES ($1, $2, document_object_key($1), 'f', 't', 1, 'pending', now(), now(), now())`: {newID(t), b.bob},
		`INSERT INTO documents (id, user_id, object_key, filename, content_type, size, status, created_at, url_issued_at, changed_at)
			VALUES ($1, $2, 'documents/elsewhere', 'f', 't', 1, 'pending', now(), now(), now())`: {newID(t), b.alice},
		`INSERT INTO topics (id, user_id, name) VALUES ($1, $2, 'For Bob')`:                             {newID(t), b.bob},
		`INSERT INTO topics (id, name) VALUES ($1, 'For all')`:                                          {newID(t)},
		`INSERT INTO object_deletions (object_key, document_id, user_id) VALUES ($1, $2, $3)`:           {foreign.ObjectKey, foreign.ID, b.alice},
		`INSERT INTO object_deletions (object_key, document_id, user_id) VALUES ($1 || '', $2, $3)`:     {foreign.ObjectKey, of[b.alice].ID, b.alice},
		`INSERT INTO document_topics (document_id, user_id, topic_id, confidence) SELECT $1, $2, $3, 1`: {of[b.alice].ID, b.alice, topicOf(t, b, b.bob)},
		`UPDATE documents SET user_id = $1`:                                                             {b.bob},
		`UPDATE documents SET object_key = $1`:                                                          {foreign.ObjectKey},
		`UPDATE quotas SET limit_bytes = $1`:                                                            {1},
		`UPDATE users SET role = 'admin' WHERE $1`:                                                      {true},
		`DELETE FROM documents WHERE $1`:                                                                {true},
		`SELECT password_hash FROM users WHERE $1`:                                                      {true},
		`SELECT * FROM users WHERE $1`:                                                                  {true},
		`SELECT count(*) FROM dead_letters WHERE $1`:                                                    {true},
		`SELECT count(*) FROM replays WHERE $1`:                                                         {true},
		`SELECT * FROM admin_users(NULL, $1)`:                                                           {10},
		`SELECT * FROM admin_change_user($1, 1, NULL, NULL)`:                                            {b.alice},
		`TRUNCATE documents`:                                                                            nil,
		`CREATE TABLE mine ()`:                                                                          nil,
	}
	for statement, args := range denied {
		asUser(t, b.rawAPI, b.alice, func(tx *sqlx.Tx) {
			_, err := tx.Exec(statement, args...)
			if err == nil || !strings.Contains(err.Error(), "42501") {
				t.Errorf("%s: %v, want insufficient privilege", statement, err)
			}
		})
	}
}

func topicOf(t *testing.T, b *bundle, user uuid.UUID) uuid.UUID {
	t.Helper()
	var id uuid.UUID
	must(t, b.raw.Get(&id, `SELECT id FROM topics WHERE user_id = $1`, user))
	return id
}

func TestSystemTopicsAreAnAdministrators(t *testing.T) {
	b, _ := secured(t)
	for _, statement := range []string{`INSERT INTO topics (id, name) VALUES (gen_random_uuid(), 'New')`, `UPDATE topics SET name = 'Renamed' WHERE user_id IS NULL`, `DELETE FROM topics WHERE user_id IS NULL`} {
		for user, allowed := range map[uuid.UUID]bool{b.administrator: true, b.alice: false, uuid.Nil: false} {
			asUser(t, b.rawAPI, user, func(tx *sqlx.Tx) {
				result, err := tx.Exec(statement)
				var n int64
				if err == nil {
					n, _ = result.RowsAffected()
				}
				if (n == 1) != allowed {
					t.Errorf("%s: %d rows, %v; allowed %v", statement, n, err, allowed)
				}
			})
		}
	}
}

func TestTheWorkerCannotReadPasswordsOrMakeUsers(t *testing.T) {
	b, _ := secured(t)
	for _, statement := range []string{`SELECT password_hash FROM users`, `SELECT email FROM users`, `DELETE FROM users`, `UPDATE quotas SET limit_bytes = 1`,
		`INSERT INTO documents DEFAULT VALUES`, `DELETE FROM topics`, `SELECT * FROM account_by_email('alice@example.org')`, `SELECT set_current_user('00000000-0000-0000-0000-000000000000')`} {
		if _, err := b.rawWorker.Exec(statement); err == nil || !strings.Contains(err.Error(), "42501") {
			t.Errorf("%s: %v, want insufficient privilege", statement, err)
		}
	}
	for _, table := range []string{"quotas", "documents", "topics", "document_topics", "object_deletions"} {
		if got, want := count(t, b.rawWorker, `SELECT count(*) FROM `+table), count(t, b.raw, `SELECT count(*) FROM `+table); got != want || got == 0 {
			t.Errorf("%s: the worker sees %d of %d rows", table, got, want)
		}
	}
}

// Whatever a later migration adds must be thought about.
func TestEveryTableOfUsersIsSecured(t *testing.T) {
	b := setup(t)
	var open []string
	must(t, b.raw.Select(&open, `SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
		AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND (a.attname = 'user_id' OR c.relname = 'users') AND NOT a.attisdropped)
		AND NOT (c.relrowsecurity AND c.relforcerowsecurity)`))
	if len(open) > 0 {
		t.Errorf("without forced row-level security: %v", open)
	}
	var loose []string
	must(t, b.raw.Select(&loose, `SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
		AND ((prosecdef AND NOT coalesce(array_to_string(proconfig, ',') LIKE '%search_path=pg_catalog%', false)) OR has_function_privilege('public', oid, 'EXECUTE'))`))
	if len(loose) > 0 {
		t.Errorf("functions with a free search_path or open to PUBLIC: %v", loose)
	}
}

func TestADeletedUserIsUnauthenticated(t *testing.T) {
	b := setup(t)
	nobody := b.api.ForUser(newID(t))
	_, err := nobody.Me(t.Context())
	wantCode(t, err, schema.CodeUnauthenticated)
	_, _, err = nobody.Documents(t.Context(), postgres.Filter{})
	wantCode(t, err, schema.CodeUnauthenticated)
	_, err = nobody.Transition(t.Context(), []uuid.UUID{newID(t)}, confirm)
	wantCode(t, err, schema.CodeUnauthenticated)
}
