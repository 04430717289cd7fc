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

// singleUserDatabase creates a database with the single-user schema and two users.
func singleUserDatabase(t *testing.T) (url string, raw *sqlx.DB, alice, bob uuid.UUID) {
	t.Helper()
	url = localtest.PostgresEmpty(t)
	raw = openRaw(t, url)
	first, err := migrations.FS.ReadFile("000001_single_user.up.sql")
	must(t, err)
	raw.MustExec(string(first))
	alice, bob = uuid.New(), uuid.New()
	raw.MustExec(`
		INSERT INTO users (id, email, password_hash, created_at)
		VALUES ($1, 'alice@example.org', 'hash', now()), ($2, 'Bob@example.org', NULL, NULL)`,
		alice, bob)
	raw.MustExec(`
		INSERT INTO quotas (user_id, limit_bytes, used_bytes) VALUES ($1, NULL, 999)`, alice)
	return url, raw, alice, bob
}

// A singleUserDocument is a row of the single-user schema, and the document that the migration
// creates from it.
type singleUserDocument struct {
	name        string
	owner       *uuid.UUID
	key, status *string
	size        *int64
	want        schema.Document // status, reason, size, key, charge
}

func TestMigrationFromSingleUserSchema(t *testing.T) {
	url, raw, alice, bob := singleUserDatabase(t)
	str := func(s string) *string { return &s }
	num := func(n int64) *int64 { return &n }
	want := func(s schema.Status, r schema.Reason, size, charged int64) schema.Document {
		return schema.Document{Status: s, Reason: r, Size: size, ChargedBytes: charged}
	}
	documents := []singleUserDocument{
		{"classified", &alice, str("documents/old-1"), str("classified"), num(10), want("classified", "", 10, 10)},
		{"uploaded", &alice, str("documents/old-2"), str("uploaded"), num(20), want("uploaded", "", 20, 20)},
		{"failed", &bob, str("documents/old-3"), str("failed"), num(30), want("failed", "ai_unavailable", 30, 30)},
		{"pending", &bob, str("documents/old-4"), str("pending"), num(40), want("pending", "", 40, 0)},
		{"pending of unknown size", &bob, str("documents/old-5"), str("pending"), nil, want("uploaded", "", 0, 0)},
		{"no status", &bob, str("documents/old-6"), nil, num(50), want("uploaded", "", 50, 50)},
		{"all NULL", &bob, nil, nil, nil, want("uploaded", "", 0, 0)},
		{"unknown status", &bob, str("null-user/mine-now"), str("processing"), num(60), want("uploaded", "", 60, 60)},
		{"negative size", &bob, str("documents/old-8"), str("uploaded"), num(-1), want("uploaded", "", 0, 0)},
		{"rejected, object may exist", &bob, str("documents/old-9"), str("rejected"), num(70), want("quarantined", "content_changed", 70, 0)},
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
		raw.MustExec(`
			INSERT INTO documents (id, user_id, object_key, size, status)
			VALUES ($1, $2, $3, $4, $5)`, ids[d.name], d.owner, d.key, d.size, d.status)
	}
	topic := uuid.New()
	raw.MustExec(`INSERT INTO topics VALUES ($1, 'Old'), ($2, 'old'), ($3, NULL)`,
		topic, uuid.New(), uuid.New())
	raw.MustExec(`INSERT INTO document_topics VALUES ($1, $2), ($3, $2)`,
		ids["classified"], topic, ids["unowned"])

	check := func() {
		t.Helper()
		var owned int
		for _, d := range documents {
			var got schema.Document
			err := raw.Get(&got, `
				SELECT id, user_id, object_key, filename, content_type, size, status, reason,
					charged_bytes, unpublished_at
				FROM documents WHERE id = $1`, ids[d.name])
			if d.owner == nil {
				if err == nil {
					t.Errorf("%s: got a document, want none", d.name)
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
			if got.Status != d.want.Status || got.Reason != d.want.Reason ||
				got.Size != d.want.Size || got.ChargedBytes != d.want.ChargedBytes ||
				got.ObjectKey != wantKey || got.UserID != *d.owner ||
				got.Filename == "" || got.ContentType == "" {
				t.Errorf("%s: got %+v, want %+v with the key %s", d.name, got, d.want, wantKey)
			}
			unpublished := got.UnpublishedAt != nil
			if unpublished != (got.Status == schema.StatusUploaded) {
				t.Errorf("%s: got status %s and unpublished %v, want only uploaded documents unpublished",
					d.name, got.Status, unpublished)
			}
		}
		if n := count(t, raw, `SELECT count(*) FROM documents`); n != owned {
			t.Errorf("got %d documents, want %d", n, owned)
		}
		n := count(t, raw, `
			SELECT (SELECT count(*) FROM document_topics) + (SELECT count(*) FROM topics)`)
		if n != 0 {
			t.Errorf("got %d topics, want 0", n)
		}
		if n := count(t, raw, `SELECT count(*) FROM quotas WHERE limit_bytes = 104857600`); n != 2 {
			t.Errorf("got %d quotas of 100 MiB, want 2", n)
		}
		(&bundle{raw: raw}).checkQuotas(t)
		var keys []string
		must(t, raw.Select(&keys, `SELECT object_key FROM object_deletions WHERE deleted_at IS NULL`))
		wantKeys := []string{
			"null-user/some/file.pdf",
			"null-user/" + ids["unowned without a key"].String(),
			"documents/old-11",
		}
		if len(keys) != len(wantKeys) {
			t.Errorf("got object deletions %q, want %q", keys, wantKeys)
		}
		for _, k := range wantKeys {
			if !strings.Contains(strings.Join(keys, "\n")+"\n", k+"\n") {
				t.Errorf("got object deletions %q, want %q among them", keys, k)
			}
		}
		checkVersion(t, url, raw, latest(t))
	}

	must(t, postgres.Migrate(t.Context(), url, logger()))
	check()
	must(t, postgres.Migrate(t.Context(), url, logger()))
	check()

	var log bytes.Buffer
	logTo := slog.New(slog.NewTextHandler(&log, nil))
	must(t, postgres.MigrateDown(t.Context(), url, above(t, 1), logTo))
	checkVersion(t, url, raw, 1)
	for _, notice := range []string{"do not come back", "3 object deletions are not carried out"} {
		if !strings.Contains(log.String(), notice) {
			t.Errorf("got log %s, want the notice %q", log.String(), notice)
		}
	}
	if n := count(t, raw, `SELECT count(*) FROM object_deletions`); n != 3 {
		t.Errorf("got %d object deletions after the migration down, want 3", n)
	}
	// The single-user schema accepts rows without an owner again.
	raw.MustExec(`INSERT INTO documents (id) VALUES ($1)`, ids["unowned without a key"])
	raw.MustExec(`INSERT INTO topics (id, name) VALUES ($1, NULL)`, uuid.New())
	must(t, postgres.Migrate(t.Context(), url, logger()))
	check()
}

func TestFailedMigrationKeepsPreviousVersion(t *testing.T) {
	url, raw, alice, _ := singleUserDatabase(t)
	raw.MustExec(`INSERT INTO users (id, email) VALUES ($1, 'ALICE@example.org')`, uuid.New())
	raw.MustExec(`
		INSERT INTO documents (id, status, user_id) VALUES ($1, NULL, NULL), ($2, NULL, $3)`,
		uuid.New(), uuid.New(), alice)
	err := postgres.Migrate(t.Context(), url, logger())
	wantError(t, err, "ALICE@example.org", "Rename or remove", "intact at version 1")
	if strings.Contains(err.Error(), "CREATE TABLE") {
		t.Errorf("got error %v, want it without the text of the migration", err)
	}
	checkVersion(t, url, raw, 1)
	if n := count(t, raw, `SELECT count(*) FROM documents WHERE status IS NULL`); n != 2 {
		t.Errorf("got %d unchanged documents, want 2", n)
	}
	raw.MustExec(`DELETE FROM users WHERE email = 'ALICE@example.org'`)
	must(t, postgres.Migrate(t.Context(), url, logger()))
	checkVersion(t, url, raw, latest(t))
}

func TestMigrationRejectsSharedObjects(t *testing.T) {
	url, raw, alice, bob := singleUserDatabase(t)
	raw.MustExec(`
		INSERT INTO documents (id, user_id, object_key) VALUES ($1, $2, 'k'), ($3, $4, 'k')`,
		uuid.New(), alice, uuid.New(), bob)
	err := postgres.Migrate(t.Context(), url, logger())
	wantError(t, err, "share one object", "object of its own")
	checkVersion(t, url, raw, 1)
}

// TestKilledMigrationNeedsNoRepair checks that Migrate continues after a process was killed, which
// leaves golang-migrate's dirty flag set. The version may or may not have been committed.
func TestKilledMigrationNeedsNoRepair(t *testing.T) {
	for name, test := range map[string]struct{ statement string }{
		"before the commit":                {`UPDATE schema_migrations SET version = 2, dirty = true`},
		"after the commit, migrating down": {`UPDATE schema_migrations SET version = 1, dirty = true`},
		"between golang-migrate's writes":  {`TRUNCATE schema_migrations`},
		"without applied_migrations":       {`DROP TABLE applied_migrations; UPDATE schema_migrations SET version = 2, dirty = true`},
	} {
		t.Run(name, func(t *testing.T) {
			url, raw, alice, _ := singleUserDatabase(t)
			must(t, postgres.Migrate(t.Context(), url, logger()))
			must(t, postgres.MigrateDown(t.Context(), url, above(t, 1), logger()))
			raw.MustExec(`
				INSERT INTO documents (id, user_id, size, status) VALUES ($1, $2, 7, 'uploaded')`,
				uuid.New(), alice)
			raw.MustExec(test.statement)
			must(t, postgres.Migrate(t.Context(), url, logger()))
			checkVersion(t, url, raw, latest(t))
			n := count(t, raw, `SELECT used_bytes FROM quotas WHERE user_id = $1`, alice)
			if n != 7 {
				t.Errorf("got %d used bytes, want 7", n)
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

// migrateBlocked locks a table that the migration has to lock, starts the migration, and calls f
// once the migration waits for the lock. pid is the server process of the migration.
func migrateBlocked(
	ctx context.Context, t *testing.T, url string, raw *sqlx.DB,
	f func(pid int, result <-chan error),
) {
	t.Helper()
	holder := openRaw(t, url)
	tx := holder.MustBegin()
	defer func() { _ = tx.Rollback() }()
	tx.MustExec(`LOCK TABLE documents IN ACCESS SHARE MODE`)
	result := make(chan error, 1)
	go func() { result <- postgres.Migrate(ctx, url, logger()) }()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		var pid int
		if raw.Get(&pid, `
			SELECT pid FROM pg_locks WHERE relation = 'documents'::regclass AND NOT granted
				AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
			LIMIT 1`) == nil {
			f(pid, result)
			return
		}
	}
	t.Fatal("the migration did not wait for the lock within 30 s")
}

func TestMigrationThatLosesItsConnection(t *testing.T) {
	url, raw, _, _ := singleUserDatabase(t)
	migrateBlocked(context.Background(), t, url, raw, func(pid int, result <-chan error) {
		raw.MustExec(`SELECT pg_terminate_backend($1)`, pid)
		err := <-result
		if !errors.Is(err, postgres.ErrUnavailable) {
			t.Errorf("got error %v, want ErrUnavailable", err)
		}
		wantError(t, err, "intact at version 1")
	})
	checkVersion(t, url, raw, 1)
	must(t, postgres.Migrate(t.Context(), url, logger()))
	checkVersion(t, url, raw, latest(t))
}

func TestCanceledMigration(t *testing.T) {
	url, raw, _, _ := singleUserDatabase(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	migrateBlocked(ctx, t, url, raw, func(_ int, result <-chan error) {
		cancel()
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Errorf("got error %v, want context.Canceled", err)
		}
	})
	checkVersion(t, url, raw, 1)
	must(t, postgres.Migrate(t.Context(), url, logger()))
	checkVersion(t, url, raw, latest(t))
}

func TestConcurrentMigrationsAreSerialized(t *testing.T) {
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

func TestMigrateRejectsNewerDatabase(t *testing.T) {
	b := setup(t)
	b.raw.MustExec(`INSERT INTO applied_migrations VALUES (99);
		UPDATE schema_migrations SET version = 99`)
	err := postgres.Migrate(t.Context(), b.url, logger())
	wantError(t, err, "use a newer program")
}

// wantError checks that err contains all of the texts.
func wantError(t *testing.T, err error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("got no error, want one with %q", texts)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("got error %v, want it to contain %q", err, text)
		}
	}
}

// versions returns the versions that the binary contains, in ascending order.
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

// above returns the number of versions above the given one.
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

// checkVersion checks that applied_migrations and golang-migrate's record have the version.
func checkVersion(t *testing.T, url string, raw *sqlx.DB, want uint) {
	t.Helper()
	got, err := postgres.MigrationVersion(t.Context(), url)
	must(t, err)
	if got != want {
		t.Errorf("got version %d, want %d", got, want)
	}
	n := count(t, raw,
		`SELECT count(*) FROM schema_migrations WHERE dirty OR version <> $1`, want)
	if n != 0 {
		t.Errorf("golang-migrate's record is dirty or not version %d", want)
	}
}

func count(t testing.TB, raw interface {
	Get(row any, query string, args ...any) error
}, query string, args ...any,
) int {
	t.Helper()
	var n int
	if err := raw.Get(&n, query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}
