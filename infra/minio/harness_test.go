package minio_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
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

// stack is one provisioned bucket with keys of its own on the real server.
type stack struct {
	minio.Admin
	server localtest.MinIOServer
	root   *miniogo.Client
}

func TestMain(m *testing.M) { localtest.Main(m) }

// unprovisioned returns what Provision needs for an empty bucket.
func unprovisioned(t *testing.T) *stack {
	t.Helper()
	server := localtest.MinIO(t)
	stream(t, server)
	key := func() minio.Key { return minio.Key{Access: rand.Text()[:16], Secret: rand.Text()} }
	s := &stack{Admin: minio.Admin{
		Endpoint: server.Endpoint, RootUser: server.RootUser, RootPassword: server.RootPassword, Bucket: server.Bucket,
		Keys: minio.Keys{Upload: key(), Multipart: key(), Download: key(), Confirm: key(), Worker: key()},
	}, server: server}
	s.root = s.client(t, minio.Key{Access: server.RootUser, Secret: server.RootPassword})
	return s
}

// stream makes the stream that takes the events. Without one MinIO waits half a second for it after each PUT.
func stream(t *testing.T, server localtest.MinIOServer) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(server.NATSURL, nats.UserInfo(local.NATSOperator, server.NATSPasswords[local.NATSOperator]))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "BUCKET", Subjects: []string{"bucket.>"}})
	if err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		t.Fatal(err)
	}
	return nc
}

func setup(t *testing.T) *stack {
	t.Helper()
	s := unprovisioned(t)
	if err := minio.Provision(t.Context(), s.Admin); err != nil {
		t.Fatal(err)
	}
	return s
}

// client speaks to the server with key in the Authorization header.
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
		Public: &url.URL{Scheme: "http", Host: s.Endpoint}, Bucket: s.Bucket, Upload: s.Keys.Upload, Download: s.Keys.Download,
	})
	if err != nil {
		t.Fatal(err)
	}
	return presigner
}

// put stores content at key as root.
func (s *stack) put(t *testing.T, key, content string) {
	t.Helper()
	_, err := s.root.PutObject(t.Context(), s.Bucket, key, strings.NewReader(content), int64(len(content)), miniogo.PutObjectOptions{})
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

// do sends a request as a browser would and returns the answer's status, headers and body.
func do(t *testing.T, method, address string, headers map[string]string, body []byte) (int, http.Header, string) {
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
