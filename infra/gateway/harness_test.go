package gateway_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"intray/infra/gateway"
	"intray/infra/local"
	"intray/infra/local/localtest"
	"intray/infra/minio"
	"intray/schema"
)

func TestMain(m *testing.M) { localtest.Main(m) }

// stack is a gateway in front of the test's MinIO server, with a provisioned bucket.
type stack struct {
	minio.Admin
	server    localtest.MinIOServer
	direct    *url.URL // MinIO's own address
	address   *url.URL // the address of the gateway
	log       *logBuffer
	presigner *minio.Presigner
	objects   *minio.Objects
}

// logBuffer is a log that tests can read while the gateway writes to it.
type logBuffer struct {
	mu  sync.Mutex
	log bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.String()
}

// setup runs a gateway with default settings, or with those that change sets.
func setup(t testing.TB, change ...func(c *gateway.Config)) *stack {
	t.Helper()
	server := localtest.MinIO(t)
	createStream(t, server)
	key := func() minio.Key { return minio.Key{Access: rand.Text()[:16], Secret: rand.Text()} }
	s := &stack{
		Admin: minio.Admin{
			Endpoint:     server.Endpoint,
			RootUser:     server.RootUser,
			RootPassword: server.RootPassword,
			Bucket:       server.Bucket,
			Keys: minio.Keys{
				Upload: key(), Multipart: key(), Download: key(), Confirm: key(), Worker: key(),
			},
		},
		server: server,
		direct: &url.URL{Scheme: "http", Host: server.Endpoint},
		log:    &logBuffer{},
	}
	if err := minio.Provision(t.Context(), s.Admin); err != nil {
		t.Fatal(err)
	}
	handler := slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})
	config := gateway.Config{Upstream: s.direct, Bucket: s.Bucket, Log: slog.New(handler)}
	for _, change := range change {
		change(&config)
	}
	s.address, _ = serve(t, config)
	var err error
	s.presigner, err = minio.NewPresigner(minio.PresignerConfig{
		Public: s.address, Bucket: s.Bucket, Upload: s.Keys.Upload, Download: s.Keys.Download,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.objects, err = minio.NewObjects(minio.Config{
		Endpoint: s.Endpoint, Bucket: s.Bucket, Key: s.Keys.Worker,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.objects.Close)
	return s
}

// connectNATS connects to the NATS server to which MinIO publishes.
func connectNATS(t testing.TB, server localtest.MinIOServer) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(server.NATSURL,
		nats.UserInfo(local.NATSOperator, server.NATSPasswords[local.NATSOperator]))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// createStream creates the stream that stores the bucket's events. Without it, MinIO would wait
// half a second for an acknowledgment after each PUT.
func createStream(t testing.TB, server localtest.MinIOServer) {
	t.Helper()
	js, err := jetstream.New(connectNATS(t, server))
	if err != nil {
		t.Fatal(err)
	}
	config := jetstream.StreamConfig{Name: "BUCKET", Subjects: []string{"bucket.>"}}
	_, err = js.CreateStream(t.Context(), config)
	if err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		t.Fatal(err)
	}
}

// events subscribes to MinIO's events. Each call of the returned function waits for the next event
// and returns its key.
func (s *stack) events(t testing.TB) func() string {
	t.Helper()
	nc := connectNATS(t, s.server)
	subscription, err := nc.SubscribeSync("bucket.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return func() string {
		t.Helper()
		msg, err := subscription.NextMsg(testTimeout)
		if err != nil {
			t.Fatal(err)
		}
		var event struct{ Key string }
		if err := json.Unmarshal(msg.Data, &event); err != nil {
			t.Fatal(err)
		}
		return strings.TrimPrefix(event.Key, s.Bucket+"/")
	}
}

// serve runs a gateway until the test ends or stop is called. stop returns the error of Serve.
func serve(t testing.TB, config gateway.Config) (address *url.URL, stop func() error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- gateway.Serve(ctx, listener, config) }()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return &url.URL{Scheme: "http", Host: listener.Addr().String()}, stop
}

// upload returns an upload URL for content at a new key, and the headers of the request.
func (s *stack) upload(
	t testing.TB, content []byte,
) (key, address string, headers map[string]string) {
	t.Helper()
	return s.uploadWithin(t, content, minio.Allowance{})
}

// uploadWithin is upload with an allowance.
func (s *stack) uploadWithin(
	t testing.TB, content []byte, allowance minio.Allowance,
) (key, address string, headers map[string]string) {
	t.Helper()
	key = newKey(t)
	address, headers, _, err := s.presigner.UploadURL(
		t.Context(), key, "text/plain", int64(len(content)), nil, allowance, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return key, address, headers
}

// send sends a request for address to host, which is the gateway or MinIO itself. The Host header
// is that of address, so the same signed request is valid for both.
func send(
	t testing.TB, host *url.URL, method, address string, headers map[string]string, body []byte,
) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Host, req.URL.Host = req.URL.Host, host.Host
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	return localtest.Send(t, req)
}

func newKey(t testing.TB) string {
	t.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	return schema.ObjectKey(id)
}

// signature returns the secret part of a presigned URL.
func signature(t testing.TB, address string) string {
	t.Helper()
	_, value, ok := strings.Cut(address, "X-Amz-Signature=")
	if !ok {
		t.Fatalf("no signature in %s", address)
	}
	return value
}
