package localtest_test

import (
	"bytes"
	"context"
	"database/sql"
	"testing"

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
		err := db.QueryRowContext(t.Context(), `DELETE FROM thing RETURNING id, (SELECT count(*) FROM pg_roles
			WHERE rolname = current_user AND (rolsuper OR NOT rolcreaterole))`).Scan(&n, &super)
		if err != nil || n != 7 || super != 0 {
			t.Errorf("got %d, %d, %v, want the template's row as a role that may create roles and no more", n, super, err)
		}
	}
	if runs != 1 {
		t.Errorf("migrated %d times, want once", runs)
	}
}

func TestPostgresEmptyIsApart(t *testing.T) {
	a, b := localtest.PostgresEmpty(t), localtest.PostgresEmpty(t)
	if _, err := open(t, a).ExecContext(t.Context(), `CREATE TABLE only_here (id int)`); err != nil {
		t.Fatal(err)
	}
	var there bool
	err := open(t, b).QueryRowContext(t.Context(), `SELECT to_regclass('only_here') IS NOT NULL`).Scan(&there)
	if err != nil || there {
		t.Errorf("got %v, %v, want a database without the other's table", there, err)
	}
}

func connect(t *testing.T, url, password string, opts ...nats.Option) (*nats.Conn, jetstream.JetStream) {
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
	return nc, js
}

func TestNATSKeepsItsStoreOverAnOutage(t *testing.T) {
	server := localtest.NATS(t)
	back := make(chan struct{}, 1)
	_, js := connect(t, server.URL, server.Passwords[local.NATSOperator], nats.MaxReconnects(-1),
		nats.ReconnectWait(1e6), nats.ReconnectHandler(func(*nats.Conn) { back <- struct{}{} }))
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "BUCKET", Subjects: []string{"bucket.>"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "bucket.created.direct", []byte("x")); err != nil {
		t.Fatal(err)
	}
	url := server.URL
	server.Stop()
	if _, err := nats.Connect(url); err == nil {
		t.Error("connected to a stopped server")
	}
	server.Start()
	if server.URL != url {
		t.Errorf("URL is %s after the outage, was %s", server.URL, url)
	}
	<-back
	info, err := stream.Info(t.Context())
	if err != nil || info.State.Msgs != 1 {
		t.Errorf("got %+v, %v, want the message from before the outage", info, err)
	}
}

func TestMinIOTellsNATS(t *testing.T) {
	m := localtest.MinIO(t)
	_, js := connect(t, m.NATSURL, m.NATSPasswords[local.NATSOperator])
	stream, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: "BUCKET", Subjects: []string{"bucket.>"}})
	if err != nil {
		t.Fatal(err)
	}
	client := m.Client(t)
	if err := client.SetBucketNotification(t.Context(), m.Bucket, rules()); err != nil {
		t.Fatal(err)
	}
	consumer, err := stream.OrderedConsumer(t.Context(), jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.PutObject(t.Context(), m.Bucket, "a", bytes.NewReader([]byte("x")), 1, minio.PutObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for !seen["bucket.created.direct"] || !seen["bucket.created.durable"] {
		msg, err := consumer.Next()
		if err != nil {
			t.Fatalf("after %v: %v", seen, err)
		}
		if bytes.Contains(msg.Data(), []byte(m.Bucket)) {
			seen[msg.Subject()] = true
		}
	}
}
