package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"intray/infra/local/localtest"
	"intray/infra/postgres"
	"intray/schema"
	"intray/schema/migrations"
)

// oldDays makes a database of the single-user days with one of everything those days may have left.
func oldDays(t *testing.T) (url string, raw *sqlx.DB, alice, bob uuid.UUID) {
	t.Helper()
	url = localtest.PostgresEmpty(t)
	raw = openRaw(t, url)
	first, err := migrations.FS.ReadFile("000001_single_user.up.sql")
	must(t, err)
	raw.MustExec(string(first))
	alice, bob = uuid.New(), uuid.New()
	raw.MustExec(`INSERT INTO users (id, email, password_hash, created_at) VALUES ($1, 'alice@example.org', 'hash', now()), ($2, 'Bob@example.org', NULL, NULL)`, alice, bob)
	raw.MustExec(`INSERT INTO quotas (user_id, limit_bytes, used_bytes) VALUES ($1, NULL, 999)`, alice)
	return url, raw, alice, bob
}

type oldDocument struct {
	name        string
	owner       *uuid.UUID
	key, status *string
	size        *int64
	want        schema.Document // status, reason, size, key, charge
}

func TestTheMoveFromTheSingleUserDays(t *testing.T) {
	url, raw, alice, bob := oldDays(t)
	str := func(s string) *string { return &s }
	num := func(n int64) *int64 { return &n }
	want := func(s schema.Status, r schema.Reason, size, charged int64) schema.Document {
		return schema.Document{Status: s, Reason: r, Size: size, ChargedBytes: charged}
	}
	documents := []oldDocument{
		{"classified", &alice, str("documents/old-1"), str("classified"), num(10), want("classified", "", 10, 10)},
		{"uploaded", &alice, str("documents/old-2"), str("uploaded"), num(20), want("uploaded", "", 20, 20)},
		{"failed", &bob, str("documents/old-3"), str("failed"), num(30), want("failed", "ai_unavailable", 30, 30)},
		{"pending", &bob, str("documents/old-4"), str("pending"), num(40), want("pending", "", 40, 0)},
		{"pending of unknown size", &bob, str("documents/old-5"), str("pending"), nil, want("uploaded", "", 0, 0)},
		{"no status", &bob, str("documents/old-6"), nil, num(50), want("uploaded", "", 50, 50)},
		{"nothing known", &bob, nil, nil, nil, want("uploaded", "", 0, 0)},
		{"strange status", &bob, str("null-user/mine-now"), str("processing"), num(60), want("uploaded", "", 60, 60)},
		{"negative size", &bob, str("documents/old-8"), str("uploaded"), num(-1), want("uploaded", "", 0, 0)},
		{"rejected, object perhaps there", &bob, str("documents/old-9"), str("rejected"), num(70), want("quarantined", "content_changed", 70, 0)},
		{"expired", &bob, str("documents/old-10"), str("expired"), num(80), want("pending", "", 80, 0)},
		{"deleting", &bob, str("documents/old-11"), str("deleting"), num(90), want("deleting", "", 90, 90)},
		{"empty key", &bob, str(""), str("uploaded"), num(1), want("uploaded", "", 1, 1)},

		{"unowned", nil, str("null-user/some/file.pdf"), str("uploaded"), num(5), schema.Document{}},
		{"unowned without a key", nil, nil, str("uploaded"), nil, schema.Document{}},
		{"unowned twice at one key", nil, str("null-user/some/file.pdf"), nil, nil, schema.Document{}},
		{"unowned at an owner's key", nil, str("documents/old-1"), str("uploaded"), num(10), schema.Document{}},
	}
	ids := map[string]uuid.UUID{}
	for _, d := range documents {
		ids[d.name] = uuid.New()
		raw.MustExec(`INSERT INTO documents (id, user_id, object_key, size, status) VALUES ($1, $2, $3, $4, $5)`, ids[d.name], d.owner, d.key, d.size, d.status)
	}
	topic := uuid.New()
	raw.MustExec(`INSERT INTO topics VALUES ($1, 'Old'), ($2, 'old'), ($3, NULL)`, topic, uuid.New(), uuid.New())
	raw.MustExec(`INSERT INTO document_topics VALUES ($1, $2), ($3, $2)`, ids["classified"], topic, ids["unowned"])

	check := func() {
		t.Helper()
		var owned int
		for _, d := range documents {
			var got schema.Document
			err := raw.Get(&got, `SELECT id, user_id, object_key, filename, content_type, size, status, reason, charged_bytes, unpublished_at
				FROM documents WHERE id = $1`, ids[d.name])
			if d.owner == nil {
				if err == nil {
					t.Errorf("%s: still there", d.name)
				}
				continue
			}
			owned++
			if err != nil {
				t.Errorf("%s: %v", d.name, err)
				continue
			}
			wantKey := schema.ObjectKey(ids[d.name])
			if d.key != nil && *d.key != "" {
				wantKey = *d.key
			}
			if got.Status != d.want.Status || got.Reason != d.want.Reason || got.Size != d.want.Size || got.ChargedBytes != d.want.ChargedBytes ||
				got.ObjectKey != wantKey || got.UserID != *d.owner || got.Filename == "" || got.ContentType == "" {
				t.Errorf("%s: %+v, want %+v at %s", d.name, got, d.want, wantKey)
			}
			if (got.Status == schema.StatusUploaded) != (got.UnpublishedAt != nil) {
				t.Errorf("%s: unpublished_at is %v", d.name, got.UnpublishedAt)
			}
		}
		if n := count(t, raw, `SELECT count(*) FROM documents`); n != owned {
			t.Errorf("%d documents, want %d", n, owned)
		}
		if n := count(t, raw, `SELECT count(*) FROM document_topics`) + count(t, raw, `SELECT count(*) FROM topics`); n != 0 {
			t.Errorf("%d topics left", n)
		}
		if n := count(t, raw, `SELECT count(*) FROM quotas WHERE limit_bytes = 104857600`); n != 2 {
			t.Errorf("%d quotas of 100 MiB, want 2", n)
		}
		(&bundle{raw: raw}).checkQuotas(t)
		var keys []string
		must(t, raw.Select(&keys, `SELECT object_key FROM object_deletions WHERE deleted_at IS NULL`))
		wantKeys := []string{"null-user/some/file.pdf", "null-user/" + ids["unowned without a key"].String(), "documents/old-11"}
		if len(keys) != len(wantKeys) {
			t.Errorf("object deletions %q, want %q", keys, wantKeys)
		}
		for _, k := range wantKeys {
			if !strings.Contains(strings.Join(keys, "\n")+"\n", k+"\n") {
				t.Errorf("object deletions %q lack %q", keys, k)
			}
		}
		checkVersion(t, url, raw, latest(t))
	}

	must(t, postgres.Migrate(t.Context(), url, logger()))
	check()
	must(t, postgres.Migrate(t.Context(), url, logger()))
	check()

	var log bytes.Buffer
	must(t, postgres.MigrateDown(t.Context(), url, above(t, 1), slog.New(slog.NewTextHandler(&log, nil))))
	checkVersion(t, url, raw, 1)
	if !strings.Contains(log.String(), "do not come back") || !strings.Contains(log.String(), "3 object deletions are not carried out") {
		t.Errorf("what a migration down loses is not said: %s", log.String())
	}
	if n := count(t, raw, `SELECT count(*) FROM object_deletions`); n != 3 {
		t.Errorf("%d object deletions after the migration down, want 3", n)
	}
	// The old shape takes old rows again.
	raw.MustExec(`INSERT INTO documents (id) VALUES ($1)`, ids["unowned without a key"])
	raw.MustExec(`INSERT INTO topics (id, name) VALUES ($1, NULL)`, uuid.New())
	must(t, postgres.Migrate(t.Context(), url, logger()))
	check()
}

func TestAFailedMigrationLeavesTheOldStateAndNoMark(t *testing.T) {
	url, raw, alice, _ := oldDays(t)
	raw.MustExec(`INSERT INTO users (id, email) VALUES ($1, 'ALICE@example.org')`, uuid.New())
	raw.MustExec(`INSERT INTO documents (id, status, user_id) VALUES ($1, NULL, NULL), ($2, NULL, $3)`, uuid.New(), uuid.New(), alice)
	err := postgres.Migrate(t.Context(), url, logger())
	if err == nil || !strings.Contains(err.Error(), "ALICE@example.org") || !strings.Contains(err.Error(), "Rename or remove") ||
		!strings.Contains(err.Error(), "intact at version 1") || strings.Contains(err.Error(), "CREATE TABLE") {
		t.Fatalf("error %v", err)
	}
	checkVersion(t, url, raw, 1)
	if n := count(t, raw, `SELECT count(*) FROM documents WHERE status IS NULL`); n != 2 {
		t.Errorf("%d documents as they were, want 2", n)
	}
	raw.MustExec(`DELETE FROM users WHERE email = 'ALICE@example.org'`)
	must(t, postgres.Migrate(t.Context(), url, logger()))
	checkVersion(t, url, raw, latest(t))
}

func TestDocumentsThatShareAnObjectStopTheMigration(t *testing.T) {
	url, raw, alice, bob := oldDays(t)
	raw.MustExec(`INSERT INTO documents (id, user_id, object_key) VALUES ($1, $2, 'k'), ($3, $4, 'k')`, uuid.New(), alice, uuid.New(), bob)
	err := postgres.Migrate(t.Context(), url, logger())
	if err == nil || !strings.Contains(err.Error(), "share one object") || !strings.Contains(err.Error(), "object of its own") {
		t.Fatalf("error %v", err)
	}
	checkVersion(t, url, raw, 1)
}

// A kill leaves golang-migrate's mark; whether the version was committed differs.
func TestTheMarkOfAKilledMigrationNeedsNobody(t *testing.T) {
	for name, test := range map[string]struct{ left string }{
		"before the commit":                    {`UPDATE schema_migrations SET version = 2, dirty = true`},
		"after the commit, on the way down":    {`UPDATE schema_migrations SET version = 1, dirty = true`},
		"between its two writes":               {`TRUNCATE schema_migrations`},
		"a database from before our own notes": {`DROP TABLE applied_migrations; UPDATE schema_migrations SET version = 2, dirty = true`},
	} {
		t.Run(name, func(t *testing.T) {
			url, raw, alice, _ := oldDays(t)
			must(t, postgres.Migrate(t.Context(), url, logger()))
			must(t, postgres.MigrateDown(t.Context(), url, above(t, 1), logger()))
			raw.MustExec(`INSERT INTO documents (id, user_id, size, status) VALUES ($1, $2, 7, 'uploaded')`, uuid.New(), alice)
			raw.MustExec(test.left)
			must(t, postgres.Migrate(t.Context(), url, logger()))
			checkVersion(t, url, raw, latest(t))
			if n := count(t, raw, `SELECT used_bytes FROM quotas WHERE user_id = $1`, alice); n != 7 {
				t.Errorf("%d bytes used, want 7", n)
			}
		})
	}
	t.Run("after the commit", func(t *testing.T) {
		b := setup(t)
		b.uploaded(t, b.alice, "a", 7)
		b.raw.MustExec(`UPDATE schema_migrations SET dirty = true`)
		must(t, postgres.Migrate(t.Context(), b.url, logger()))
		checkVersion(t, b.url, b.raw, latest(t))
		b.checkQuotas(t)
	})
}

// blocked holds a table that the migration must lock, starts the migration, and calls f once it
// waits for the table.
func blocked(ctx context.Context, t *testing.T, url string, raw *sqlx.DB, f func(pid int, result <-chan error)) {
	t.Helper()
	holder := openRaw(t, url)
	tx := holder.MustBegin()
	defer func() { _ = tx.Rollback() }()
	tx.MustExec(`LOCK TABLE documents IN ACCESS SHARE MODE`)
	result := make(chan error, 1)
	go func() { result <- postgres.Migrate(ctx, url, logger()) }()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		var pid int
		if raw.Get(&pid, `SELECT pid FROM pg_locks WHERE relation = 'documents'::regclass AND NOT granted
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) LIMIT 1`) == nil {
			f(pid, result)
			return
		}
	}
	t.Fatal("the migration never waited for the lock")
}

func TestAMigrationWhoseConnectionIsCut(t *testing.T) {
	url, raw, _, _ := oldDays(t)
	blocked(context.Background(), t, url, raw, func(pid int, result <-chan error) {
		raw.MustExec(`SELECT pg_terminate_backend($1)`, pid)
		if err := <-result; !errors.Is(err, postgres.ErrUnavailable) || !strings.Contains(err.Error(), "intact at version 1") {
			t.Errorf("error %v", err)
		}
	})
	checkVersion(t, url, raw, 1)
	must(t, postgres.Migrate(t.Context(), url, logger()))
	checkVersion(t, url, raw, latest(t))
}

func TestAMigrationThatIsCanceled(t *testing.T) {
	url, raw, _, _ := oldDays(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	blocked(ctx, t, url, raw, func(_ int, result <-chan error) {
		cancel()
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	})
	checkVersion(t, url, raw, 1)
	must(t, postgres.Migrate(t.Context(), url, logger()))
	checkVersion(t, url, raw, latest(t))
}

func TestMigrationsSideBySideWaitForEachOther(t *testing.T) {
	url := localtest.PostgresEmpty(t)
	var group sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		group.Go(func() { errs[i] = postgres.Migrate(context.Background(), url, logger()) })
	}
	group.Wait()
	must(t, errors.Join(errs...))
	checkVersion(t, url, openRaw(t, url), latest(t))
}

func TestADatabaseNewerThanTheBinary(t *testing.T) {
	b := setup(t)
	b.raw.MustExec(`INSERT INTO applied_migrations VALUES (99); UPDATE schema_migrations SET version = 99`)
	err := postgres.Migrate(t.Context(), b.url, logger())
	if err == nil || !strings.Contains(err.Error(), "use a newer program") {
		t.Fatalf("error %v", err)
	}
}

// versions are those that the binary knows, in order.
func versions(t *testing.T) (all []uint) {
	t.Helper()
	names, err := fs.Glob(migrations.FS, "*.up.sql")
	must(t, err)
	for _, name := range names {
		number, _, _ := strings.Cut(name, "_")
		version, err := strconv.ParseUint(number, 10, 32)
		must(t, err)
		all = append(all, uint(version))
	}
	return all
}

func latest(t *testing.T) uint {
	t.Helper()
	return slices.Max(versions(t))
}

// above returns how many steps down it takes to come to that version.
func above(t *testing.T, version uint) int {
	t.Helper()
	steps := 0
	for _, v := range versions(t) {
		if v > version {
			steps++
		}
	}
	return steps
}

// checkVersion holds our own note and golang-migrate's against each other.
func checkVersion(t *testing.T, url string, raw *sqlx.DB, want uint) {
	t.Helper()
	got, err := postgres.MigrationVersion(t.Context(), url)
	must(t, err)
	if got != want {
		t.Errorf("version %d, want %d", got, want)
	}
	if n := count(t, raw, `SELECT count(*) FROM schema_migrations WHERE dirty OR version <> $1`, want); n != 0 {
		t.Errorf("golang-migrate's note is dirty or not %d", want)
	}
}

func count(t testing.TB, raw *sqlx.DB, query string, args ...any) int {
	t.Helper()
	var n int
	if err := raw.Get(&n, query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}
