package localtest_test

import (
	"bytes"
	"context"
	"database/sql"
	"testing"
	"time"

	_ "github.com/lib/pq"
	"github.com/minio/minio-go/v7"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"intray/infra/local"
	"intray/infra/local/localtest"
)

func TestMain(m *testing.M) { localtest.Main(m) }

func open(t *testing.T, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestPostgresMigratedCopiesTheTemplate(t *testing.T) {
	runs := 0
	migrate := func(ctx context.Context, url string) error {
		runs++
		db := open(t, url)
		defer func() { _ = db.Close() }()
		_, err := db.ExecContext(ctx, `CREATE TABLE thing (id int); INSERT INTO thing VALUES (7)`)
		return err
	}
	for range 3 {
		db := open(t, localtest.PostgresMigrated(t, migrate))
		var n, super int
		err := db.QueryRowContext(t.Context(), `
			DELETE FROM thing RETURNING id, (SELECT count(*) FROM pg_roles
				WHERE rolname = current_user AND (rolsuper OR NOT rolcreaterole))`).Scan(&n, &super)
		if err != nil {
			t.Fatal(err)
		}
		if n != 7 {
			t.Errorf("got row %d, want 7 as in the template", n)
		}
		if super != 0 {
			t.Error("got a superuser or a role without CREATEROLE, want a plain role with CREATEROLE")
		}
	}
	if runs != 1 {
		t.Errorf("got %d calls of migrate, want 1", runs)
	}
}

func TestPostgresEmptyReturnsSeparateDatabases(t *testing.T) {
	a, b := localtest.PostgresEmpty(t), localtest.PostgresEmpty(t)
	if _, err := open(t, a).ExecContext(t.Context(), `CREATE TABLE only_here (id int)`); err != nil {
		t.Fatal(err)
	}
	var exists bool
	err := open(t, b).QueryRowContext(t.Context(),
		`SELECT to_regclass('only_here') IS NOT NULL`).Scan(&exists)
	if err != nil {
		t.Fatal(err)
	}
	if exists {
		t.Error("got the table of the first database in the second, want no table")
	}
}

// connect returns a JetStream client for the operator.
func connect(t *testing.T, url, password string, opts ...nats.Option) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url, append(opts, nats.UserInfo(local.NATSOperator, password))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func createStream(t *testing.T, js jetstream.JetStream) jetstream.Stream {
	t.Helper()
	stream, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{
		Name: "BUCKET", Subjects: []string{"bucket.>"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

func TestNATSKeepsItsStoreInAnOutage(t *testing.T) {
	server := localtest.NATS(t)
	reconnected := make(chan struct{}, 1)
	js := connect(t, server.URL, server.Passwords[local.NATSOperator], nats.MaxReconnects(-1),
		nats.ReconnectWait(time.Millisecond),
		nats.ReconnectHandler(func(*nats.Conn) { reconnected <- struct{}{} }))
	stream := createStream(t, js)
	if _, err := js.Publish(t.Context(), "bucket.created.direct", []byte("x")); err != nil {
		t.Fatal(err)
	}
	url := server.URL
	server.Stop()
	if _, err := nats.Connect(url); err == nil {
		t.Error("connect to the stopped server: got no error, want one")
	}
	server.Start()
	if server.URL != url {
		t.Errorf("got URL %s after the outage, want %s", server.URL, url)
	}
	<-reconnected
	info, err := stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if info.State.Msgs != 1 {
		t.Errorf("got %d messages after the outage, want 1", info.State.Msgs)
	}
}

func TestMinIOPublishesToBothTargets(t *testing.T) {
	m := localtest.MinIO(t)
	js := connect(t, m.NATSURL, m.NATSPasswords[local.NATSOperator])
	stream := createStream(t, js)
	client := m.Client(t)
	err := client.SetBucketNotification(t.Context(), m.Bucket, notificationRules())
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := stream.OrderedConsumer(t.Context(), jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	body := bytes.NewReader([]byte("x"))
	_, err = client.PutObject(t.Context(), m.Bucket, "a", body, 1, minio.PutObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	received := map[string]bool{}
	for !received["bucket.created.direct"] || !received["bucket.created.durable"] {
		msg, err := consumer.Next()
		if err != nil {
			t.Fatalf("next message after those on %v: %v", received, err)
		}
		if bytes.Contains(msg.Data(), []byte(m.Bucket)) {
			received[msg.Subject()] = true
		}
	}
}
