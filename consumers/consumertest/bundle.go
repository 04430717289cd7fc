// Package consumertest gives the consumers' tests a database, a NATS server and
// a bucket of their own on real servers, with two users, and short words for
// what happens to them.
package consumertest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	miniogo "github.com/minio/minio-go/v7"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"intray/infra/local/localtest"
	"intray/infra/minio"
	"intray/infra/nats"
	"intray/infra/postgres"
	"intray/schema"
)

// rolePassword is the same in every package's tests: roles belong to the server
// that they share.
const rolePassword = "for-tests-only"

// Timeout is how long the tests wait for what must happen.
const Timeout = 30 * time.Second

// Bundle is what one test has.
type Bundle struct {
	t testing.TB
	// DB and API are in the roles worker and api; Raw is the owner's.
	DB, API *postgres.DB
	Raw     *sqlx.DB
	NATS    *localtest.NATSServer
	// Conn is the worker's, Operator may do everything.
	Conn, Operator *nats.Conn
	// Publisher is the worker's.
	Publisher  *nats.Publisher
	Objects    *minio.Objects
	MinIO      localtest.MinIOServer
	Alice, Bob uuid.UUID
	Log        *slog.Logger

	// Database and objects for tests that put something in between.
	DatabaseURL string
	OwnerURL    string
	root        *miniogo.Client
}

func migrated(ctx context.Context, url string) error {
	if err := postgres.Migrate(ctx, url, slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	return postgres.ProvisionRoles(ctx, url, rolePassword, rolePassword)
}

// New returns a fresh bundle, which ends with the test.
func New(t testing.TB) *Bundle {
	t.Helper()
	owner := localtest.PostgresMigrated(t, migrated)
	b := &Bundle{
		t: t, NATS: localtest.NATS(t), MinIO: localtest.MinIO(t), Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		DatabaseURL: as(t, owner, "worker"), OwnerURL: owner,
	}
	b.root = b.MinIO.Client(t)
	b.DB, b.API = b.Open(b.DatabaseURL), b.Open(as(t, owner, "api"))
	raw, err := sqlx.Open("postgres", owner)
	b.must(err)
	t.Cleanup(func() { _ = raw.Close() })
	b.Raw = raw

	b.Objects = b.ObjectsAt(b.MinIO.Endpoint)
	b.Operator = b.Connect(nats.UserOperator)
	b.must(nats.Provision(t.Context(), b.Operator, nats.StreamLimits{}))
	b.Conn = b.Connect(nats.UserWorker)
	b.Publisher = nats.NewPublisher(b.Conn, b.DB, b.Log)

	ownerDB := b.Open(owner)
	b.Alice, b.Bob = b.user(ownerDB, "alice"), b.user(ownerDB, "bob")
	return b
}

func as(t testing.TB, address, role string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, rolePassword)
	return u.String()
}

func (b *Bundle) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// Open opens a database until the test ends.
func (b *Bundle) Open(url string) *postgres.DB {
	b.t.Helper()
	db, err := postgres.Open(context.Background(), url, postgres.Options{})
	b.must(err)
	b.t.Cleanup(func() { _ = db.Close() })
	return db
}

// ObjectsAt are the bucket's objects, seen through another address.
func (b *Bundle) ObjectsAt(endpoint string) *minio.Objects {
	b.t.Helper()
	objects, err := minio.NewObjects(minio.Config{
		Endpoint: endpoint, Bucket: b.MinIO.Bucket,
		Key: minio.Key{Access: b.MinIO.RootUser, Secret: b.MinIO.RootPassword},
	})
	b.must(err)
	b.t.Cleanup(objects.Close)
	return objects
}

// Connect connects to NATS as a user until the test ends.
func (b *Bundle) Connect(user string) *nats.Conn {
	b.t.Helper()
	conn, err := nats.Connect(b.t.Context(), nats.Options{
		URL: b.NATS.URL, User: user, Password: b.NATS.Passwords[user], Name: "test", Log: slog.New(slog.DiscardHandler),
	})
	b.must(err)
	b.t.Cleanup(conn.Close)
	return conn
}

func (b *Bundle) user(owner *postgres.DB, name string) uuid.UUID {
	b.t.Helper()
	id := uuid.Must(uuid.NewV7())
	b.must(owner.AddUser(b.t.Context(), postgres.NewUser{ID: id, Email: name + "@example.org", LimitBytes: 1 << 20}))
	return id
}

// Document makes a pending document of the user.
func (b *Bundle) Document(user uuid.UUID, size int) schema.Document {
	b.t.Helper()
	d := schema.NewDocument(uuid.Must(uuid.NewV7()), user, "letter.txt", "text/plain", int64(size), time.Now())
	d, _, err := b.API.ForUser(user).CreateDocument(b.t.Context(), d, "", 10_000)
	b.must(err)
	return d
}

// Put stores an object.
func (b *Bundle) Put(key, content string) {
	b.t.Helper()
	_, err := b.root.PutObject(b.t.Context(), b.MinIO.Bucket, key, strings.NewReader(content), int64(len(content)), miniogo.PutObjectOptions{})
	b.must(err)
}

// Delete deletes an object, as somebody else would.
func (b *Bundle) Delete(key string) {
	b.t.Helper()
	b.must(b.Objects.Remove(b.t.Context(), key))
}

// Exists reports whether an object is at the key.
func (b *Bundle) Exists(key string) bool {
	b.t.Helper()
	_, err := b.Objects.Stat(b.t.Context(), key)
	return err == nil
}

// Uploaded makes a document with its object, and a made-up confirm of it.
func (b *Bundle) Uploaded(user uuid.UUID, content string) schema.Document {
	b.t.Helper()
	d := b.Document(user, len(content))
	b.Put(d.ObjectKey, content)
	o, err := b.Objects.Stat(b.t.Context(), d.ObjectKey)
	b.must(err)
	return b.Change(d.ID, func(d *schema.Document, q *schema.Quota) schema.Decision { return d.Confirm(o, q, time.Now()) })
}

// Change carries out one transition and marks it as published.
func (b *Bundle) Change(id uuid.UUID, decide func(*schema.Document, *schema.Quota) schema.Decision) schema.Document {
	b.t.Helper()
	docs, err := b.DB.Transition(b.t.Context(), []uuid.UUID{id}, decide)
	b.must(err)
	b.must(b.DB.MarkPublished(b.t.Context(), docs))
	return docs[0]
}

// Expect compares a document with what it must be, "gone" where there is no row.
func (b *Bundle) Expect(id uuid.UUID, want string) {
	b.t.Helper()
	if got := b.Status(id); got != want {
		b.t.Errorf("document %s is %q, want %q", id, got, want)
	}
}

// Status is a document's status with its reason, or "gone".
func (b *Bundle) Status(id uuid.UUID) string {
	b.t.Helper()
	var found []struct{ Status, Reason string }
	b.must(b.Raw.SelectContext(b.t.Context(), &found, `SELECT status, reason FROM documents WHERE id = $1 AND gone_at IS NULL`, id))
	if len(found) == 0 {
		return "gone"
	}
	return strings.TrimSpace(found[0].Status + " " + found[0].Reason)
}

// Count runs a query that gives one number.
func (b *Bundle) Count(query string, args ...any) int {
	b.t.Helper()
	var n int
	b.must(b.Raw.GetContext(b.t.Context(), &n, query, args...))
	return n
}

// Exec runs a statement as the owner.
func (b *Bundle) Exec(statement string, args ...any) {
	b.t.Helper()
	_, err := b.Raw.ExecContext(b.t.Context(), statement, args...)
	b.must(err)
}

// ExpectUsed compares a user's used bytes, and those with the sum of the charges.
func (b *Bundle) ExpectUsed(user uuid.UUID, want int) {
	b.t.Helper()
	used := b.Count(`SELECT used_bytes FROM quotas WHERE user_id = $1`, user)
	sum := b.Count(`SELECT coalesce(sum(charged_bytes), 0) FROM documents WHERE user_id = $1`, user)
	if used != want || sum != used {
		b.t.Errorf("used bytes are %d, the sum of the charges %d, want %d", used, sum, want)
	}
}

// BucketEvent is a notification as MinIO sends it, with a record for each key.
func BucketEvent(name, bucket string, keys ...string) []byte {
	var records []string
	for _, key := range keys {
		records = append(records, fmt.Sprintf(
			`{"eventName":%q,"eventTime":"2026-11-01T10:00:00.000Z","s3":{"bucket":{"name":%q},"object":{"key":%q,"size":1,"eTag":"forged"}}}`,
			name, bucket, url.QueryEscape(key)))
	}
	return []byte(`{"EventName":"` + name + `","Records":[` + strings.Join(records, ",") + `]}`)
}

// The names of the two events.
const (
	Created = "s3:ObjectCreated:Put"
	Removed = "s3:ObjectRemoved:Delete"
)

// Publish puts a message into its stream. It repeats a publish that was lost, for the client may not
// know yet that the server has just restarted; the stream keeps one of them.
func (b *Bundle) Publish(subject string, data []byte) {
	b.t.Helper()
	id := jetstream.WithMsgID(uuid.NewString())
	b.Eventually("the stream has the message", func() bool {
		_, err := b.Operator.JetStream().Publish(b.t.Context(), subject, data, id)
		return err == nil
	})
}

// Published returns the statuses in the events of the document in the stream DOCUMENTS, in order.
func (b *Bundle) Published(id uuid.UUID) []string {
	b.t.Helper()
	stream, err := b.Operator.JetStream().Stream(b.t.Context(), schema.StreamDocuments)
	b.must(err)
	var published []string
	state := stream.CachedInfo().State
	for seq := max(1, state.FirstSeq); seq <= state.LastSeq; seq++ {
		m, err := stream.GetMsg(b.t.Context(), seq)
		b.must(err)
		var e schema.DocumentEvent
		b.must(json.NewDecoder(bytes.NewReader(m.Data)).Decode(&e))
		if e.DocumentID == id {
			published = append(published, e.Status)
		}
	}
	return published
}

// ConsumerInfo is the present state of a durable consumer.
func (b *Bundle) ConsumerInfo(stream, consumer string) *jetstream.ConsumerInfo {
	b.t.Helper()
	c, err := b.Operator.JetStream().Consumer(b.t.Context(), stream, consumer)
	b.must(err)
	return c.CachedInfo()
}

// AwaitIdle waits until the consumer has delivered everything that was published before, and
// everything that it delivered is acknowledged.
func (b *Bundle) AwaitIdle(stream, consumer string) {
	b.t.Helper()
	last := b.lastFor(stream, consumer)
	b.Eventually(consumer+" has nothing left", func() bool {
		info := b.ConsumerInfo(stream, consumer)
		// A message that was just published may not be counted as pending yet.
		return info.NumPending == 0 && info.NumAckPending == 0 && info.AckFloor.Stream >= last
	})
}

// lastFor returns the sequence of the last message in the stream that is for the consumer, or 0.
func (b *Bundle) lastFor(stream, consumer string) (last uint64) {
	b.t.Helper()
	s, err := b.Operator.JetStream().Stream(b.t.Context(), stream)
	b.must(err)
	config := b.ConsumerInfo(stream, consumer).Config
	subjects := config.FilterSubjects
	if len(subjects) == 0 {
		subjects = []string{cmp.Or(config.FilterSubject, ">")}
	}
	for _, subject := range subjects {
		m, err := s.GetLastMsgForSubject(b.t.Context(), subject)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		b.must(err)
		last = max(last, m.Sequence)
	}
	return last
}

// Eventually waits until ok.
func (b *Bundle) Eventually(what string, ok func() bool) {
	b.t.Helper()
	deadline := time.After(Timeout)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			b.t.Fatalf("%s: not within %s", what, Timeout)
		case <-tick.C:
		}
	}
}

// Go runs f until the test ends or the returned function is called, which waits
// for its end.
func (b *Bundle) Go(f func(ctx context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(ctx)
	}()
	stop = func() { cancel(); <-done }
	b.t.Cleanup(stop)
	return stop
}

// Main runs a package's tests and fails if one leaves a goroutine behind. Those
// that set the servers up are let pass: the wait for the servers' process, and
// idle HTTP connections.
func Main(m *testing.M) {
	localtest.RunHelperProcess()
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("os/exec.(*Cmd).Wait"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

// Discard is a log that nobody reads.
func Discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
