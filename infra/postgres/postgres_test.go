package postgres_test

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"go.uber.org/goleak"

	"intray/infra/local/localtest"
	"intray/infra/postgres"
	"intray/infra/postgres/postgrestest"
	"intray/schema"
)

func TestMain(m *testing.M) {
	localtest.RunHelperProcess()
	if url := os.Getenv(leaseHolderURL); url != "" {
		os.Exit(runLeaseHolder(url))
	}
	// localtest waits for the server processes that the tests use. This package starts no process.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("os/exec.(*Cmd).Wait"),
		// golang-migrate leaves the goroutine that reads a migration if it cannot begin the migration.
		goleak.IgnoreAnyFunction("github.com/golang-migrate/migrate/v4.(*Migration).Buffer"))
}

// bundle is a new database with connections in its four roles, and three users.
type bundle struct {
	url           string
	apiURL        string
	owner         *postgres.DB
	api           *postgres.DB
	auth          *postgres.Auth
	worker        *postgres.DB
	raw           *sqlx.DB // as the owner
	rawAPI        *sqlx.DB
	rawAuth       *sqlx.DB
	rawWorker     *sqlx.DB
	alice, bob    uuid.UUID
	administrator uuid.UUID
}

func setup(t testing.TB) *bundle {
	t.Helper()
	return setupAt(t, localtest.PostgresMigrated(t, postgrestest.Migrate))
}

// setupAt returns the bundle of a database that was migrated, with its owner's URL.
func setupAt(t testing.TB, url string) *bundle {
	t.Helper()
	api, worker := postgrestest.RoleURL(url, "api"), postgrestest.RoleURL(url, "worker")
	b := &bundle{url: url, apiURL: api}
	auth := postgrestest.RoleURL(b.url, "auth")
	b.auth = openAuth(t, auth)
	b.owner, b.api, b.worker = open(t, b.url), b.openAPI(t, api), open(t, worker)
	b.raw, b.rawAPI, b.rawWorker = openRaw(t, b.url), openRaw(t, api), openRaw(t, worker)
	b.rawAuth = openRaw(t, auth)
	b.alice = b.user(t, "alice@example.org", schema.RoleUser)
	b.bob = b.user(t, "bob@example.org", schema.RoleUser)
	b.administrator = b.user(t, "admin@example.org", schema.RoleAdmin)
	return b
}

func open(t testing.TB, url string) *postgres.DB {
	t.Helper()
	return openWith(t, url, postgres.Options{})
}

// openAPI opens a DB with the role api that can be bound to users.
func (b *bundle) openAPI(t testing.TB, url string) *postgres.DB {
	t.Helper()
	return openWith(t, url, postgres.Options{Auth: b.auth})
}

func openAuth(t testing.TB, url string) *postgres.Auth {
	t.Helper()
	auth, err := postgres.OpenAuth(url, postgres.Options{})
	must(t, err)
	t.Cleanup(func() { _ = auth.Close() })
	must(t, auth.Ping(t.Context()))
	return auth
}

func openWith(t testing.TB, url string, o postgres.Options) *postgres.DB {
	t.Helper()
	db, err := postgres.Open(url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := db.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

func openRaw(t testing.TB, url string) *sqlx.DB {
	t.Helper()
	db, err := sqlx.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// proof returns the arguments of set_current_user for a user.
func (b *bundle) proof(t testing.TB, user uuid.UUID) []any {
	t.Helper()
	var key []byte
	must(t, b.raw.Get(&key, `SELECT proof_key()`))
	return proofOf(key, user, time.Now().Add(time.Minute)).args()
}

func newID(t testing.TB) uuid.UUID {
	t.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (b *bundle) user(t testing.TB, email string, role schema.Role) uuid.UUID {
	t.Helper()
	id := newID(t)
	must(t, b.owner.AddUser(t.Context(), postgres.NewUser{
		ID: id, Email: email, PasswordHash: "hash of " + email, Role: role,
	}))
	return id
}

// newDocument returns a pending document of the user that is not stored.
func newDocument(t testing.TB, user uuid.UUID, size int64) schema.Document {
	t.Helper()
	return schema.NewDocument(newID(t), user, "f", "t", size, time.Now())
}

// create stores a pending document with the role api.
func (b *bundle) create(t testing.TB, user uuid.UUID, name string, size int64) schema.Document {
	t.Helper()
	d := schema.NewDocument(newID(t), user, name, "text/plain", size, time.Now())
	d, created, err := b.api.ForUser(user).CreateDocument(t.Context(), d, "", 1000)
	if err != nil || !created {
		t.Fatalf("create document %s: got created %v and error %v, want true", name, created, err)
	}
	return d
}

func confirm(d *schema.Document, q *schema.Quota, now time.Time) schema.Decision {
	return d.Confirm(schema.Object{Key: d.ObjectKey, Size: d.Size, ETag: "etag"}, q, now)
}

func gone(d *schema.Document, q *schema.Quota, now time.Time) schema.Decision {
	return d.MarkGone(q, now)
}

func remove(d *schema.Document, _ *schema.Quota, now time.Time) schema.Decision {
	return d.Delete(now)
}

// uploaded stores a document and confirms it.
func (b *bundle) uploaded(t testing.TB, user uuid.UUID, name string, size int64) schema.Document {
	t.Helper()
	d := b.create(t, user, name, size)
	return b.transition(t, d.ID, confirm)
}

func (b *bundle) transition(
	t testing.TB, id uuid.UUID, decide postgres.DecideFunc,
) schema.Document {
	t.Helper()
	docs, err := b.worker.Transition(t.Context(), []uuid.UUID{id}, decide)
	if err != nil {
		t.Fatal(err)
	}
	if len(docs) != 1 {
		t.Fatalf("Transition returned %d documents, want 1", len(docs))
	}
	return docs[0]
}

// checkQuotas checks that the used bytes of each quota are the sum of the charges.
func (b *bundle) checkQuotas(t interface {
	Helper()
	Fatalf(string, ...any)
}) {
	t.Helper()
	var wrong []string
	err := b.raw.Select(&wrong, `
		SELECT q.user_id || ': used ' || q.used_bytes ||
			', charged ' || coalesce(sum(d.charged_bytes), 0)
		FROM quotas q LEFT JOIN documents d ON d.user_id = q.user_id GROUP BY q.user_id, q.used_bytes
		HAVING q.used_bytes <> coalesce(sum(d.charged_bytes), 0)`)
	if err != nil {
		t.Fatalf("read quotas: %v", err)
	}
	if len(wrong) > 0 {
		t.Fatalf("quotas whose used bytes are not the sum of the charges: %s", fmt.Sprint(wrong))
	}
}

func wantCode(t testing.TB, err error, code schema.Code) {
	t.Helper()
	if err == nil || schema.CodeOf(err) != code {
		t.Fatalf("got error %v, want code %s", err, code)
	}
}

// execStatement executes a statement and returns its error.
func execStatement(db sqlx.Execer, statement string, args ...any) error {
	_, err := db.Exec(statement, args...)
	return err
}

// wantInsufficientPrivilege checks that the operation failed with PostgreSQL's
// insufficient_privilege.
func wantInsufficientPrivilege(t testing.TB, operation string, err error) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), "42501") {
		t.Errorf("%s: got error %v, want insufficient_privilege", operation, err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func logger() *slog.Logger { return slog.New(slog.NewTextHandler(os.Stderr, nil)) }
