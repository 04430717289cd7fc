package minio_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	miniogo "github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"intray/infra/local"
	"intray/infra/local/localtest"
	"intray/infra/minio"
	"intray/schema"
)

// stack is a bucket on the test server with its own access keys.
type stack struct {
	minio.Admin
	server localtest.MinIOServer
	root   *miniogo.Client
}

func TestMain(m *testing.M) { localtest.Main(m) }

// unprovisioned returns a stack with an empty bucket that has not been provisioned yet.
func unprovisioned(t *testing.T) *stack {
	t.Helper()
	server := localtest.MinIO(t)
	createStream(t, server)
	s := &stack{Admin: adminOf(server), server: server}
	s.root = s.client(t, minio.Key{Access: server.RootUser, Secret: server.RootPassword})
	return s
}

// adminOf returns an Admin for server's bucket with random access keys.
func adminOf(server localtest.MinIOServer) minio.Admin {
	key := func() minio.Key { return minio.Key{Access: rand.Text()[:16], Secret: rand.Text()} }
	return minio.Admin{
		Endpoint:     server.Endpoint,
		RootUser:     server.RootUser,
		RootPassword: server.RootPassword,
		Bucket:       server.Bucket,
		Keys: minio.Keys{
			Upload: key(), Multipart: key(), Download: key(), Confirm: key(), Worker: key(),
		},
	}
}

// exampleAdmin returns an Admin for an empty bucket on the test server, for an example, which has
// no testing.T. The caller must call cleanup at the end.
func exampleAdmin() (admin minio.Admin, cleanup func()) {
	tb := &exampleTB{}
	server := localtest.MinIO(tb)
	createStream(tb, server)
	return adminOf(server), tb.cleanup
}

// exampleTB implements the methods of testing.TB that exampleAdmin needs.
type exampleTB struct {
	testing.TB
	cleanups []func()
}

func (tb *exampleTB) Helper()                           {}
func (tb *exampleTB) Context() context.Context          { return context.Background() }
func (tb *exampleTB) Cleanup(f func())                  { tb.cleanups = append(tb.cleanups, f) }
func (tb *exampleTB) Errorf(format string, args ...any) { fmt.Printf(format+"\n", args...) }
func (tb *exampleTB) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (tb *exampleTB) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }

func (tb *exampleTB) cleanup() {
	for _, f := range slices.Backward(tb.cleanups) {
		f()
	}
}

// createStream creates the stream that stores the bucket's events and returns the connection.
// Without the stream, MinIO would wait half a second for an acknowledgment after each PUT.
func createStream(t testing.TB, server localtest.MinIOServer) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(server.NATSURL,
		nats.UserInfo(local.NATSOperator, server.NATSPasswords[local.NATSOperator]))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	config := jetstream.StreamConfig{Name: "BUCKET", Subjects: []string{"bucket.>"}}
	_, err = js.CreateStream(t.Context(), config)
	if err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		t.Fatal(err)
	}
	return nc
}

// setup returns a provisioned stack.
func setup(t *testing.T) *stack {
	t.Helper()
	s := unprovisioned(t)
	if err := minio.Provision(t.Context(), s.Admin); err != nil {
		t.Fatal(err)
	}
	return s
}

// client returns a client that authenticates with key in the Authorization header.
func (s *stack) client(t *testing.T, key minio.Key) *miniogo.Client {
	t.Helper()
	client, err := miniogo.New(s.Endpoint, &miniogo.Options{
		Creds: credentials.NewStaticV4(key.Access, key.Secret, ""), Region: "us-east-1", MaxRetries: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func (s *stack) objects(t *testing.T, key minio.Key) *minio.Objects {
	t.Helper()
	objects, err := minio.NewObjects(minio.Config{Endpoint: s.Endpoint, Bucket: s.Bucket, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(objects.Close)
	return objects
}

func (s *stack) presigner(t *testing.T) *minio.Presigner {
	t.Helper()
	presigner, err := minio.NewPresigner(minio.PresignerConfig{
		Public:   &url.URL{Scheme: "http", Host: s.Endpoint},
		Bucket:   s.Bucket,
		Upload:   s.Keys.Upload,
		Download: s.Keys.Download,
	})
	if err != nil {
		t.Fatal(err)
	}
	return presigner
}

// put stores content at key with the root credentials.
func (s *stack) put(t *testing.T, key, content string) {
	t.Helper()
	_, err := s.root.PutObject(t.Context(), s.Bucket, key,
		strings.NewReader(content), int64(len(content)), miniogo.PutObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func newKey(t *testing.T) string {
	t.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	return schema.ObjectKey(id)
}

// do sends a request as a browser would and returns the status, headers and body of the response.
func do(
	t *testing.T, method, address string, headers map[string]string, body []byte,
) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	return localtest.Send(t, req)
}
