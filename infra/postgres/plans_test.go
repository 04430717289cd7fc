package postgres_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"intray/infra/postgres"
	"intray/infra/postgres/postgrestest"
	"intray/schema"
)

// TestSessionsDoNotChangePlannerSettings compares the planner's settings of a session with the
// server's.
func TestSessionsDoNotChangePlannerSettings(t *testing.T) {
	b := setup(t)
	var changed []string
	must(t, b.worker.Pool().Select(&changed, `SELECT name || ' = ' || setting FROM pg_settings
		WHERE source = 'client' AND (category LIKE 'Query Tuning%' OR name LIKE 'enable_%')`))
	if len(changed) > 0 {
		t.Errorf("got changed planner settings %q, want none", changed)
	}
}

// TestCachedPlansUseIndexes checks that plans that a session caches while the tables have few rows
// use indexes.
func TestCachedPlansUseIndexes(t *testing.T) {
	b := setup(t)
	b.raw.MustExec(`ALTER TABLE documents SET (autovacuum_enabled = false)`)
	few, _ := fillDocuments(t, b.raw, b.alice, 60)
	b.raw.MustExec(`VACUUM ANALYZE documents, quotas, users`)
	db := b.single(t, "api")
	use := func() {
		user := db.ForUser(b.alice)
		_, err := user.Document(t.Context(), few[30])
		must(t, err)
		for _, key := range []string{"", newID(t).String()} {
			d := schema.NewDocument(newID(t), b.alice, "f", "text/plain", 1, time.Now())
			_, _, err := user.CreateDocument(t.Context(), d, key, 1000)
			must(t, err)
		}
	}
	for range 10 { // PostgreSQL caches the generic plan after five calls
		use()
	}
	fillDocuments(t, b.raw, b.alice, 5000)
	before := scans(t, b.raw, db)
	use()
	after := scans(t, b.raw, db)
	for _, table := range []string{"documents", "proof_keys"} {
		if n := after[table] - before[table]; n != 0 {
			t.Errorf("got %d sequential scans of table %s, want 0", n, table)
		}
	}
}

// TestCachedForeignKeyPlansUseIndexes checks the same for the plans of foreign key checks and
// cascades.
func TestCachedForeignKeyPlansUseIndexes(t *testing.T) {
	b := setup(t)
	tables := []string{"documents", "document_topics", "document_attempts", "document_examples"}
	for _, table := range tables {
		b.raw.MustExec(`ALTER TABLE ` + table + ` SET (autovacuum_enabled = false)`)
	}
	topic := newID(t)
	b.raw.MustExec(`INSERT INTO topics (id, name) VALUES ($1, 'Invoices')`, topic)
	few, _ := fillDocuments(t, b.raw, b.alice, 60)
	b.raw.MustExec(`VACUUM ANALYZE documents, quotas, users`)
	db := b.single(t, "worker")
	for _, call := range []struct {
		name string
		run  func(id uuid.UUID) error
	}{
		{"Transition", func(id uuid.UUID) error {
			change := func(d *schema.Document, _ *schema.Quota, _ time.Time) schema.Decision {
				d.Version++
				topics := []schema.DocumentTopic{{TopicID: topic, Confidence: 80}}
				return schema.Decision{Changed: true, Topics: topics}
			}
			_, err := db.Transition(t.Context(), []uuid.UUID{id}, change)
			return err
		}},
		{"RecordAttempt", func(id uuid.UUID) error {
			return db.RecordAttempt(t.Context(), []uuid.UUID{id}, postgres.NewAttempt{
				Stream: "DOCUMENTS", Consumer: "classify", Number: 2, Reason: "busy",
			})
		}},
		{"TransitionWithoutQuota", func(id uuid.UUID) error {
			change := func(d *schema.Document, _ time.Time) schema.Decision {
				d.Version++
				return schema.Decision{Changed: true, Example: []byte("x")}
			}
			_, err := db.TransitionWithoutQuota(t.Context(), []uuid.UUID{id}, change)
			return err
		}},
		{"MarkPublished of a gone document", func(id uuid.UUID) error {
			end := func(d *schema.Document, q *schema.Quota, now time.Time) schema.Decision {
				d.Status = schema.StatusDeleting
				return d.MarkGone(q, now)
			}
			docs, err := db.Transition(t.Context(), []uuid.UUID{id}, end)
			if err != nil {
				return err
			}
			return db.MarkPublished(t.Context(), docs)
		}},
	} {
		t.Run(call.name, func(t *testing.T) {
			for _, id := range few[:10] { // PostgreSQL caches the generic plan after five calls
				must(t, call.run(id))
			}
			many, _ := fillDocuments(t, b.raw, b.alice, 5000)
			b.raw.MustExec(`INSERT INTO document_topics (document_id, user_id, topic_id, confidence)
				SELECT id, user_id, $1, 90 FROM documents WHERE id >= $2`, topic, many[0])
			before := scans(t, b.raw, db)
			must(t, call.run(many[4000]))
			after := scans(t, b.raw, db)
			for _, table := range tables {
				if n := after[table] - before[table]; n != 0 {
					t.Errorf("got %d sequential scans of table %s, want 0", n, table)
				}
			}
			b.raw.MustExec(`DELETE FROM documents WHERE id >= $1`, many[0])
			b.raw.MustExec(`
				VACUUM ANALYZE documents, document_topics, document_attempts, document_examples`)
		})
	}
}

// single returns a DB with the role and one connection.
func (b *bundle) single(t *testing.T, role string) *postgres.DB {
	t.Helper()
	return openWith(t, postgrestest.RoleURL(b.url, role),
		postgres.Options{MaxConns: 1, Auth: b.auth})
}

// scans returns the number of sequential scans of each table. The DB must have one connection, so
// that its own scans are included.
func scans(t *testing.T, raw *sqlx.DB, db *postgres.DB) map[string]int {
	t.Helper()
	// An idle connection reports its statistics only after 10 s. Those of the set-up must not be
	// counted late.
	raw.MustExec(`SELECT pg_stat_force_next_flush()`)
	var rows []struct {
		Table string `db:"relname"`
		Scans int    `db:"seq_scan"`
	}
	_, err := db.Pool().ExecContext(t.Context(), `SELECT pg_stat_force_next_flush()`)
	must(t, err)
	must(t, db.Pool().SelectContext(t.Context(), &rows,
		`SELECT relname, seq_scan FROM pg_stat_user_tables`))
	counts := make(map[string]int, len(rows))
	for _, r := range rows {
		counts[r.Table] = r.Scans
	}
	return counts
}

// fillDocuments stores n classified documents of a user and returns their ids and object keys.
func fillDocuments(
	t testing.TB, raw *sqlx.DB, user uuid.UUID, n int,
) (ids []uuid.UUID, keys []string) {
	t.Helper()
	ids, keys = make([]uuid.UUID, n), make([]string, n)
	for i := range ids {
		ids[i] = newID(t)
		keys[i] = schema.ObjectKey(ids[i])
	}
	const batch = 10_000
	for from := 0; from < n; from += batch {
		list, err := json.Marshal(ids[from:min(from+batch, n)])
		must(t, err)
		_, err = raw.ExecContext(t.Context(), `
			INSERT INTO documents (id, user_id, object_key, filename, content_type, size, status,
				created_at, url_issued_at, changed_at)
			SELECT id, $1, document_object_key(id), 'Invoice ' || id || '.pdf', 'application/pdf', 0,
				'classified', now(), now(), now()
			FROM (SELECT v::uuid AS id FROM jsonb_array_elements_text($2::jsonb) AS v) AS n`,
			user, string(list))
		must(t, err)
	}
	return ids, keys
}

// TestCountsDoNotScanTables checks that a user whose documents all have one status does not make
// the planner expect as many of the others.
func TestCountsDoNotScanTables(t *testing.T) {
	b := setup(t)
	ids, _ := fillDocuments(t, b.raw, b.alice, 5000)
	b.raw.MustExec(`INSERT INTO topics (id, name) VALUES ($1, 'Invoices')`, ids[0])
	b.raw.MustExec(`INSERT INTO document_topics (document_id, user_id, topic_id, confidence)
		SELECT id, user_id, $1, 90 FROM documents LIMIT 4000`, ids[0])
	b.raw.MustExec(`VACUUM ANALYZE`)
	db := b.single(t, "api")
	before := scans(t, b.raw, db)
	counts, err := db.ForUser(b.alice).DocumentCounts(t.Context())
	must(t, err)
	if got := counts.ByStatus[schema.StatusClassified]; got != 5000 || counts.ByTopic[ids[0]] != 4000 {
		t.Errorf("got %+v, want 5000 classified documents, 4000 of them with the topic", counts)
	}
	after := scans(t, b.raw, db)
	for _, table := range []string{"documents", "document_topics"} {
		if n := after[table] - before[table]; n != 0 {
			t.Errorf("got %d sequential scans of table %s, want 0", n, table)
		}
	}
}

// TestRetryingDocumentsAreLookedUpByID checks that the documents of a page that are being retried
// are found without reading the user's other pending documents, also with statistics from before a
// burst.
func TestRetryingDocumentsAreLookedUpByID(t *testing.T) {
	b := setup(t)
	b.raw.MustExec(`ALTER TABLE documents SET (autovacuum_enabled = false)`)
	fillDocuments(t, b.raw, b.alice, 1)
	b.raw.MustExec(`VACUUM ANALYZE`)
	ids, _ := fillDocuments(t, b.raw, b.alice, 2000)
	b.raw.SetMaxOpenConns(1)
	b.raw.MustExec(`UPDATE documents SET status = 'pending', charged_bytes = 0`)
	var buffers int
	for range 2 { // the first call also reads the catalogs
		var plan []byte
		must(t, b.raw.Get(&plan, `
			EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT retrying_documents($1, $2::uuid[])`,
			b.alice, pq.Array(ids[:10])))
		var parsed []struct {
			Plan struct {
				Hit  int `json:"Shared Hit Blocks"`
				Read int `json:"Shared Read Blocks"`
			}
		}
		must(t, json.Unmarshal(plan, &parsed))
		buffers = parsed[0].Plan.Hit + parsed[0].Plan.Read
	}
	if buffers > 100 {
		t.Errorf("got %d buffers read for 10 documents, want at most 100", buffers)
	}
}
