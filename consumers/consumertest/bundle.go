// Package consumertest provides test fixtures for the consumers. Each test gets its own database,
// NATS server and bucket, with two users, Alice and Bob, and helpers that create documents and
// objects and check their state. The servers are real.
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
	"intray/infra/postgres/postgrestest"
	"intray/schema"
)

// Timeout is how long tests wait for an expected condition.
const Timeout = 30 * time.Second

// Bundle holds the fixtures of one test.
type Bundle struct {
	t testing.TB
	// DB connects with the role worker, API with the role api, and Raw as the owner.
	DB, API *postgres.DB
	Raw     *sqlx.DB
	NATS    *localtest.NATSServer
	// Conn connects as the user worker, Operator as the operator, who has all permissions.
	Conn, Operator *nats.Conn
	// Publisher publishes through Conn and DB.
	Publisher  *nats.Publisher
	Objects    *minio.Objects
	MinIO      localtest.MinIOServer
	Alice, Bob uuid.UUID
	Log        *slog.Logger

	// DatabaseURL is the database's URL for the role worker, and OwnerURL its URL for the owner.
	DatabaseURL string
	OwnerURL    string
	root        *miniogo.Client
}

// New returns a new Bundle, which is closed when the test ends.
func New(t testing.TB) *Bundle {
	t.Helper()
	owner := localtest.PostgresMigrated(t, postgrestest.Migrate)
	b := &Bundle{
		t:           t,
		NATS:        localtest.NATS(t),
		MinIO:       localtest.MinIO(t),
		Log:         slog.New(slog.NewTextHandler(t.Output(), nil)),
		DatabaseURL: postgrestest.RoleURL(owner, "worker"),
		OwnerURL:    owner,
	}
	b.root = b.MinIO.Client(t)
	auth, err := postgres.OpenAuth(postgrestest.RoleURL(owner, "auth"), postgres.Options{})
	b.must(err)
	t.Cleanup(func() { _ = auth.Close() })
	b.DB = b.Open(b.DatabaseURL)
	b.API = b.open(postgrestest.RoleURL(owner, "api"), postgres.Options{Auth: auth})
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

func (b *Bundle) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// Open opens a database, which is closed when the test ends.
func (b *Bundle) Open(url string) *postgres.DB {
	b.t.Helper()
	return b.open(url, postgres.Options{})
}

func (b *Bundle) open(url string, o postgres.Options) *postgres.DB {
	b.t.Helper()
	db, err := postgres.Open(url, o)
	b.must(err)
	b.t.Cleanup(func() { _ = db.Close() })
	return db
}

// ObjectsAt returns a client of the bucket that connects to endpoint, such as a Proxy.
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

// LimitStream sets the size of a stream in bytes, also to less than before.
func (b *Bundle) LimitStream(name string, bytes int64) {
	b.t.Helper()
	js := b.Operator.JetStream()
	stream, err := js.Stream(b.t.Context(), name)
	b.must(err)
	config := stream.CachedInfo().Config
	config.MaxBytes = bytes
	_, err = js.UpdateStream(b.t.Context(), config)
	b.must(err)
}

// Connect connects to NATS as a user. The connection is closed when the test ends.
func (b *Bundle) Connect(user string) *nats.Conn {
	b.t.Helper()
	conn, err := nats.Connect(b.t.Context(), nats.Options{
		URL: b.NATS.URL, User: user, Password: b.NATS.Passwords[user], Name: "test", Log: Discard(),
	})
	b.must(err)
	b.t.Cleanup(conn.Close)
	return conn
}

// user creates a user with a quota of 1 MiB.
func (b *Bundle) user(owner *postgres.DB, name string) uuid.UUID {
	b.t.Helper()
	id := uuid.Must(uuid.NewV7())
	user := postgres.NewUser{ID: id, Email: name + "@example.org", LimitBytes: 1 << 20}
	b.must(owner.AddUser(b.t.Context(), user))
	return id
}

// Document creates a pending document of the user with the declared size.
func (b *Bundle) Document(user uuid.UUID, size int) schema.Document {
	b.t.Helper()
	id := uuid.Must(uuid.NewV7())
	d := schema.NewDocument(id, user, "letter.txt", "text/plain", int64(size), time.Now())
	d, _, err := b.API.ForUser(user).CreateDocument(b.t.Context(), d, "", 10_000)
	b.must(err)
	return d
}

// Put stores an object at the key.
func (b *Bundle) Put(key, content string) {
	b.t.Helper()
	_, err := b.root.PutObject(b.t.Context(), b.MinIO.Bucket, key,
		strings.NewReader(content), int64(len(content)), miniogo.PutObjectOptions{})
	b.must(err)
}

// Delete deletes the object at the key, without any change in the database.
func (b *Bundle) Delete(key string) {
	b.t.Helper()
	b.must(b.Objects.Remove(b.t.Context(), key))
}

// Exists reports whether there is an object at the key.
func (b *Bundle) Exists(key string) bool {
	b.t.Helper()
	_, err := b.Objects.Stat(b.t.Context(), key)
	return err == nil
}

// Uploaded creates an uploaded document and its object, without running the consumer confirm.
func (b *Bundle) Uploaded(user uuid.UUID, content string) schema.Document {
	b.t.Helper()
	d := b.Document(user, len(content))
	b.Put(d.ObjectKey, content)
	o, err := b.Objects.Stat(b.t.Context(), d.ObjectKey)
	b.must(err)
	return b.Change(d.ID, func(d *schema.Document, q *schema.Quota, now time.Time) schema.Decision {
		return d.Confirm(o, q, now)
	})
}

// Change carries out one transition of a document and marks it as published, without publishing an
// event.
func (b *Bundle) Change(
	id uuid.UUID, decide func(*schema.Document, *schema.Quota, time.Time) schema.Decision,
) schema.Document {
	b.t.Helper()
	docs, err := b.DB.Transition(b.t.Context(), []uuid.UUID{id}, decide)
	b.must(err)
	b.must(b.DB.MarkPublished(b.t.Context(), docs))
	return docs[0]
}

// Expect compares the document's Status.
func (b *Bundle) Expect(id uuid.UUID, want string) {
	b.t.Helper()
	if got := b.Status(id); got != want {
		b.t.Errorf("document %s: got status %q, want %q", id, got, want)
	}
}

// Status returns a document's status and reason, separated by a space, or "gone" if there is no
// such document or its object is gone.
func (b *Bundle) Status(id uuid.UUID) string {
	b.t.Helper()
	var found []struct{ Status, Reason string }
	b.must(b.Raw.SelectContext(b.t.Context(), &found,
		`SELECT status, reason FROM documents WHERE id = $1 AND gone_at IS NULL`, id))
	if len(found) == 0 {
		return "gone"
	}
	return strings.TrimSpace(found[0].Status + " " + found[0].Reason)
}

// Count runs a query that returns one number.
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

// ExpectUsed checks that both the user's used bytes and the sum of the user's charges are want.
func (b *Bundle) ExpectUsed(user uuid.UUID, want int) {
	b.t.Helper()
	used := b.Count(`SELECT used_bytes FROM quotas WHERE user_id = $1`, user)
	const charges = `SELECT coalesce(sum(charged_bytes), 0) FROM documents WHERE user_id = $1`
	sum := b.Count(charges, user)
	if used != want || sum != used {
		b.t.Errorf("got %d used bytes and charges of %d, want %d for both", used, sum, want)
	}
}

// BucketEvent returns a notification in MinIO's format, with a record for each key.
func BucketEvent(name, bucket string, keys ...string) []byte {
	var records []string
	for _, key := range keys {
		records = append(records, fmt.Sprintf(
			`{"eventName":%q,"eventTime":"2026-11-01T10:00:00.000Z",
			"s3":{"bucket":{"name":%q},"object":{"key":%q,"size":1,"eTag":"forged"}}}`,
			name, bucket, url.QueryEscape(key)))
	}
	return []byte(`{"EventName":"` + name + `","Records":[` + strings.Join(records, ",") + `]}`)
}

// Event names for BucketEvent.
const (
	Created = "s3:ObjectCreated:Put"
	Removed = "s3:ObjectRemoved:Delete"
)

// Publish publishes a message and waits until its stream has stored it. It retries a failed
// publish, because the client may not have noticed yet that the server was restarted. The stream
// drops duplicates.
func (b *Bundle) Publish(subject string, data []byte) {
	b.t.Helper()
	id := jetstream.WithMsgID(uuid.NewString())
	b.Eventually("the stream stores the message", func() bool {
		_, err := b.Operator.JetStream().Publish(b.t.Context(), subject, data, id)
		return err == nil
	})
}

// Hints subscribes to hints. The function that it returns waits for a hint with this kind and user.
func (b *Bundle) Hints() (expect func(h schema.Hint, user uuid.UUID)) {
	b.t.Helper()
	conn := b.Connect(nats.UserOperator).Core()
	sub, err := conn.SubscribeSync(schema.SubjectsHints)
	b.must(err)
	b.must(conn.Flush())
	return func(h schema.Hint, user uuid.UUID) {
		b.t.Helper()
		for {
			m, err := sub.NextMsg(20 * time.Second)
			if err != nil {
				b.t.Fatalf("got no hint %s for user %s within 20 s: %v", h, user, err)
			}
			if m.Subject == h.Subject(user) {
				return
			}
		}
	}
}

// Published returns the statuses in the document's events in the stream DOCUMENTS, in order.
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

// ConsumerInfo returns the current state of a durable consumer.
func (b *Bundle) ConsumerInfo(stream, consumer string) *jetstream.ConsumerInfo {
	b.t.Helper()
	c, err := b.Operator.JetStream().Consumer(b.t.Context(), stream, consumer)
	b.must(err)
	return c.CachedInfo()
}

// AwaitIdle waits until the consumer has delivered all messages published before the call, and all
// delivered messages have been acknowledged.
func (b *Bundle) AwaitIdle(stream, consumer string) {
	b.t.Helper()
	last := b.lastFor(stream, consumer)
	b.Eventually(consumer+" is idle", func() bool {
		info := b.ConsumerInfo(stream, consumer)
		// NumPending may not yet include a message that has just been published.
		return info.NumPending == 0 && info.NumAckPending == 0 && info.AckFloor.Stream >= last
	})
}

// lastFor returns the sequence of the last message in the stream that the consumer receives, or 0.
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

// Eventually waits until condition returns true, and fails the test after Timeout.
func (b *Bundle) Eventually(what string, condition func() bool) {
	b.t.Helper()
	deadline := time.After(Timeout)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline:
			b.t.Fatalf("got no success within %s, want: %s", Timeout, what)
		case <-tick.C:
		}
	}
}

// Go runs f in a goroutine. The returned function cancels f's context and waits until f has
// returned. It is also called when the test ends.
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

// Main runs a package's tests and fails if a goroutine is left running. It ignores the goroutines
// that belong to the shared servers: the one that waits for their process, and those of idle HTTP
// connections.
func Main(m *testing.M) {
	localtest.RunHelperProcess()
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("os/exec.(*Cmd).Wait"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

// Discard returns a logger that discards its output.
func Discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
