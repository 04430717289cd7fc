package postgres_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"intray/infra/local/localtest"
	"intray/infra/postgres/postgrestest"
	"intray/schema"
)

// A fixture is a database in which every table that grows has n rows, and as many users. One of
// them, alice, has nine tenths of the documents. Everything that a statement could have to pass
// over grows with n: whatever is pending, due, ended, failing or deleting.
type fixture struct {
	n     int
	url   string
	super *sqlx.DB
	// base is the time of the row number 0; there is one row a second until now.
	base         time.Time
	alice, admin uuid.UUID
	topic, rare  uuid.UUID // alice's topic that most of her documents have, and one that three have
	taken        map[string]string
	used         int64
}

// The kinds of ids in a fixture.
const (
	documentKind = iota + 1
	userKind
	topicKind
	objectKind
	sessionKind
)

// id returns the id of the row with the number in SQL's function fixture_id.
func (f *fixture) id(kind, number int64) uuid.UUID {
	return uuid.MustParse(fmt.Sprintf("%012x7%03x8000%012x", f.base.UnixMilli()+number*1000, kind,
		number))
}

// newFixture creates a database and fills it. Statistics are those of the first thousand rows of
// each table, as in a table that has grown since it was last analyzed; see analyze.
func newFixture(t *testing.T, n int) *fixture {
	t.Helper()
	f := &fixture{n: n, url: localtest.PostgresMigrated(t, postgrestest.Migrate),
		base:  time.Now().Truncate(time.Second).Add(-time.Duration(n) * time.Second),
		taken: make(map[string]string), used: int64(n)}
	f.super = openRaw(t, localtest.PostgresSuperuser(t, f.url))
	f.super.SetMaxOpenConns(1)
	f.alice, f.admin = f.id(userKind, 1), f.id(userKind, 2)
	f.topic, f.rare = f.id(topicKind, 1), f.id(topicKind, 2)
	f.super.MustExec(strings.ReplaceAll(`
		SET synchronous_commit = off;
		SET session_replication_role = replica; -- no triggers and foreign keys
		SET maintenance_work_mem = '256MB';
		CREATE FUNCTION fixture_id(kind int, number bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
			SELECT (lpad(to_hex(BASE + number * 1000), 12, '0') || '7' || lpad(to_hex(kind), 3, '0')
				|| '8000' || lpad(to_hex(number), 12, '0'))::uuid $$;
		CREATE FUNCTION fixture_at(number bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$
			SELECT to_timestamp((BASE + number * 1000) / 1000.0) $$;`,
		"BASE", fmt.Sprintf("%d::bigint", f.base.UnixMilli())))
	tables := strings.Split("users quotas sessions user_identities ai_calls topics documents "+
		"document_topics document_positions document_examples document_explanations "+
		"document_attempts message_attempts object_deletions gone_keys multipart_uploads "+
		"unchecked_uploads dead_letters audit_events replays replay_blocks replay_generated_events", " ")
	for _, table := range tables {
		f.super.MustExec(`ALTER TABLE ` + table + ` SET (autovacuum_enabled = false)`)
	}
	const first = 1000
	f.fill(t, 1, first)
	f.super.MustExec(`ANALYZE ` + strings.Join(tables, ", "))
	indexes := f.dropIndexes(t)
	f.fill(t, first+1, int64(n))
	for _, index := range indexes {
		f.super.MustExec(index)
	}
	f.super.MustExec(`
		UPDATE quotas SET limit_bytes = 1e15::bigint, used_bytes =
			(SELECT sum(charged_bytes) FROM documents WHERE user_id = $1) WHERE user_id = $1`, f.alice)
	name, err := f.databaseName()
	must(t, err)
	f.super.MustExec(fmt.Sprintf(`
		ALTER DATABASE %[1]q SET session_preload_libraries = 'auto_explain';
		ALTER DATABASE %[1]q SET auto_explain.log_min_duration = 0;
		ALTER DATABASE %[1]q SET auto_explain.log_analyze = on;
		ALTER DATABASE %[1]q SET auto_explain.log_buffers = on;
		ALTER DATABASE %[1]q SET auto_explain.log_timing = off;
		ALTER DATABASE %[1]q SET auto_explain.log_nested_statements = on;
		ALTER DATABASE %[1]q SET auto_explain.log_format = json;
		ALTER DATABASE %[1]q SET auto_explain.log_level = notice;
		ALTER DATABASE %[1]q SET track_functions = 'all'`, name))
	return f
}

func (f *fixture) databaseName() (name string, err error) {
	err = f.super.Get(&name, `SELECT current_database()`)
	return name, err
}

// analyze brings the statistics and the visibility maps up to date.
func (f *fixture) analyze() { f.super.MustExec(`VACUUM (ANALYZE)`) }

// dropIndexes drops the indexes that are not unique and returns the statements that create them.
// Creating an index is faster than adding to it row by row.
func (f *fixture) dropIndexes(t *testing.T) (create []string) {
	t.Helper()
	var drop []string
	must(t, f.super.Select(&create, `
		SELECT pg_get_indexdef(indexrelid) FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid
		WHERE c.relnamespace = 'public'::regnamespace AND NOT i.indisunique ORDER BY indexrelid`))
	must(t, f.super.Select(&drop, `
		SELECT 'DROP INDEX ' || indexrelid::regclass FROM pg_index AS i JOIN pg_class AS c
			ON c.oid = i.indrelid
		WHERE c.relnamespace = 'public'::regnamespace AND NOT i.indisunique ORDER BY indexrelid`))
	for _, statement := range drop {
		f.super.MustExec(statement)
	}
	return create
}

// fill adds the rows from first to last.
func (f *fixture) fill(t *testing.T, first, last int64) {
	t.Helper()
	// This trigger takes a lock for each user, which the transaction holds until it ends.
	f.super.MustExec(`ALTER TABLE topics DISABLE TRIGGER topics_limit`)
	defer f.super.MustExec(`ALTER TABLE topics ENABLE TRIGGER topics_limit`)
	const big = 1_000_000_000_000
	for _, statement := range []string{
		`INSERT INTO users (id, email, password_hash, role, ai_provider, ai_model)
			SELECT fixture_id(2, i), 'user' || i || '@example.org', 'hash ' || i,
				CASE WHEN i IN (2, 3) THEN 'admin' ELSE 'user' END, 'provider' || i % 3, 'm' || i % 7
			FROM rows`,
		`INSERT INTO quotas (user_id, limit_bytes, used_bytes)
			SELECT fixture_id(2, i), BIG, 0 FROM rows`,
		`INSERT INTO sessions (id, user_id, family, token, expires_at)
			SELECT fixture_id(5, i), fixture_id(2, i), sha256(i::text::bytea), sha256('t'), now() + '1 day'
			FROM rows`,
		`INSERT INTO user_identities (issuer, subject, user_id)
			SELECT 'https://issuer', 's' || i, fixture_id(2, i) FROM rows`,
		`INSERT INTO ai_calls (user_id, day, calls)
			SELECT fixture_id(2, i), current_date, 1 FROM rows WHERE i > 2`,
		`INSERT INTO topics (id, user_id, name)
			SELECT fixture_id(3, i), CASE WHEN i <= 50 THEN fixture_id(2, 1) WHEN i <= 70 THEN NULL
				ELSE fixture_id(2, i) END, 'Topic ' || i FROM rows`,
		// Every second document of a user has the same content.
		// The status follows from i % 20 for alice's documents, which are all but every tenth.
		`INSERT INTO documents (id, user_id, object_key, filename, content_type, size, status, reason,
				charged_bytes, created_at, url_issued_at, changed_at, unpublished_at, idempotency_key,
				sha256, has_topics)
			SELECT fixture_id(1, i),
				CASE WHEN i % 10 = 0 THEN fixture_id(2, 10 + i / 10) ELSE fixture_id(2, 1) END,
				CASE WHEN i % 20 = 7 THEN 'old/' || i ELSE document_object_key(fixture_id(1, i)) END,
				'Invoice ' || i || '.pdf', 'application/pdf', 1000, s.status,
				CASE s.status WHEN 'failed' THEN 'no_text' WHEN 'rejected' THEN 'size_mismatch' ELSE '' END,
				CASE WHEN s.status IN ('uploaded', 'classified', 'failed') THEN 1000 ELSE 0 END,
				fixture_at(i), CASE WHEN i <= 100 THEN fixture_at(i) ELSE fixture_at(LAST) END,
				fixture_at(i), CASE WHEN i % 20 = 13 THEN fixture_at(i) END,
				CASE WHEN i % 5 = 1 THEN 'key' || i END,
				sha256(CASE WHEN i % 2 = 0 THEN 'same' ELSE i::text END::bytea), i % 10 <> 0 AND i % 7 <> 3
			FROM rows CROSS JOIN LATERAL (SELECT (ARRAY['classified', 'classified', 'classified', 'pending',
				'rejected', 'classified', 'uploaded', 'expired', 'classified', 'classified',
				'classified', 'pending', 'classified', 'uploaded', 'rejected', 'classified', 'failed',
				'expired', 'classified', 'deleting'])[i % 20 + 1] AS status) AS s`,
		`INSERT INTO document_positions (document_id, user_id, filename_key, size)
			SELECT d.id, d.user_id, d.filename_key, d.size FROM rows
			CROSS JOIN LATERAL (SELECT * FROM documents WHERE id = fixture_id(1, i) OFFSET 0) AS d`,
		`INSERT INTO document_topics (document_id, user_id, topic_id, confidence, set_manually)
			SELECT fixture_id(1, i), fixture_id(2, 1), t.id, 90, i % 3 = 0
			FROM rows CROSS JOIN LATERAL (
				SELECT fixture_id(3, 1) AS id UNION ALL SELECT fixture_id(3, 2) WHERE i IN (1, 5, 9)
				UNION ALL SELECT fixture_id(3, 3 + i % 40) WHERE i % 9 = 1) AS t
			WHERE i % 10 <> 0 AND i % 7 <> 3`,
		`INSERT INTO document_examples (document_id, user_id, example)
			SELECT fixture_id(1, i), fixture_id(2, 1), 'example' FROM rows WHERE i % 10 <> 0`,
		`INSERT INTO document_explanations (document_id, user_id, explanation)
			SELECT fixture_id(1, i), fixture_id(2, 1), json_build_object('topics', json_build_array(
				json_build_object('id', fixture_id(3, 1), 'words', '[]'::json, 'examples',
					json_build_array(fixture_id(1, 1), fixture_id(1, i)))))
			FROM rows WHERE i % 10 <> 0`,
		`INSERT INTO document_attempts (document_id, stream, consumer, at, attempt, reason)
			SELECT fixture_id(1, i), 'DOCUMENTS', 'classify', now() - CASE i % 3
				WHEN 0 THEN '1 minute' WHEN 1 THEN '20 days' ELSE '35 days' END::interval
				- make_interval(secs => LAST / 1e6 * (i % 1000)), (i % 2)::int, 'busy' FROM rows`,
		`INSERT INTO message_attempts (stream, consumer, sequence, stored_at, attempts, failed_at)
			SELECT 'BUCKET', 'confirm', i, fixture_at(0), 1, fixture_at(i) FROM rows`,
		`INSERT INTO object_deletions (object_key, document_id, user_id, requested_at, attempts,
				next_attempt_at, deleted_at)
			SELECT CASE WHEN i % 20 IN (4, 7) THEN document_object_key(fixture_id(1, i))
					ELSE document_object_key(fixture_id(4, i)) END,
				fixture_id(1, i), fixture_id(2, 1), fixture_at(i), (i % 2)::int,
				fixture_at(i - i % 1000), CASE WHEN i % 20 > 9 THEN fixture_at(i) END FROM rows`,
		`INSERT INTO gone_keys (user_id, idempotency_key, document_id, gone_at)
			SELECT fixture_id(2, 1), 'gone ' || i, fixture_id(1, i), fixture_at(i) FROM rows`,
		`INSERT INTO multipart_uploads (upload_id, document_id, user_id, object_key, size, part_size,
				renewed_at, aborting_at, next_attempt_at)
			SELECT 'upload ' || i, fixture_id(1, i), fixture_id(2, 1),
				document_object_key(fixture_id(1, i)), 1000, 100, now() - interval '1 hour',
				CASE WHEN i % 20 NOT IN (3, 11) THEN fixture_at(i) END, fixture_at(i - i % 1000) FROM rows`,
		`INSERT INTO dead_letters (stream, sequence, consumer, subject, headers, data, reason, attempts,
				first_at, dead_at)
			SELECT 'DOCUMENTS', i, 'classify', 'documents.uploaded', jsonb_build_object('Nats-Msg-Id',
					jsonb_build_array(fixture_id(1, i + 1000000)::text || ':1:0')),
				'{}', 'reason ' || i, 5, fixture_at(i), fixture_at(i) FROM rows`,
		// Half are old. Nine tenths are about alice, who is the actor of half of them.
		`INSERT INTO audit_events (id, at, kind, actor_id, actor, user_id, account, address)
			SELECT fixture_id(6, i),
				fixture_at(i) - CASE WHEN i % 4 < 2 THEN '91 days' ELSE '0' END::interval,
				CASE WHEN i % 5 = 0 THEN 'signed_in' ELSE 'download_url_issued' END,
				fixture_id(2, CASE WHEN i % 2 = 0 THEN 1 ELSE i END), 'a',
				fixture_id(2, CASE WHEN i % 10 = 0 THEN 10 + i / 10 ELSE 1 END),
				'user' || CASE WHEN i % 10 = 0 THEN 10 + i / 10 ELSE 1 END || '@example.org', '192.0.2.1'
			FROM rows`,
		`INSERT INTO replays (name, actor, reason, selection, target, status, matched, created_at,
				started_at, ended_at, stream, stream_created)
			SELECT 'replay ' || i, 'a', 'r', '{}', CASE WHEN i % 100 = 0 THEN 'classify' ELSE 'confirm' END,
				'done', 100, fixture_at(i) - '40 days'::interval, fixture_at(i) - '40 days'::interval,
				fixture_at(i) - '40 days'::interval, 'DOCUMENTS', fixture_at(0)
			FROM rows WHERE i % 10 = 0`,
		`INSERT INTO replay_blocks (replay, block, selected)
			SELECT 'replay ' || i / 10 * 10, i, repeat('1', 1024)::bit(1024) FROM rows WHERE i >= 10`,
		`INSERT INTO replay_generated_events (replay, position, object_key)
			SELECT 'replay ' || i / 10 * 10, i, 'documents/' || i FROM rows WHERE i >= 10`,
	} {
		statement = strings.NewReplacer("BIG", fmt.Sprint(int64(big)), "LAST", fmt.Sprint(f.n)).
			Replace(statement)
		if _, err := f.super.Exec(`WITH rows AS (SELECT i FROM generate_series(` +
			fmt.Sprint(first, "::bigint, ", last) + `) AS i) ` + statement); err != nil {
			t.Fatalf("fill: %v\n%s", err, statement)
		}
	}
}

// take returns the ids of count documents of alice that satisfy the condition and were not returned
// before for the same condition.
func (f *fixture) take(t testing.TB, count int, condition string) []uuid.UUID {
	t.Helper()
	var ids []uuid.UUID
	after := f.taken[condition]
	if after == "" {
		after = uuid.Nil.String()
	}
	must(t, f.super.Select(&ids, `SELECT id FROM documents WHERE user_id = $1 AND id > $2 AND (`+
		condition+`) ORDER BY id LIMIT $3`, f.alice, after, count))
	if len(ids) != count {
		t.Fatalf("got %d documents with %s, want %d", len(ids), condition, count)
	}
	f.taken[condition] = ids[count-1].String()
	return ids
}

// next returns a number that was not used before, also not for a row.
func (f *fixture) next() int64 { f.used++; return f.used }

// user returns a user without documents that was not returned before.
func (f *fixture) user() uuid.UUID { return f.id(userKind, int64(f.n)/2+f.next()-int64(f.n)) }

func objectKeys(ids []uuid.UUID) []string {
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = schema.ObjectKey(id)
	}
	return keys
}
