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

// stack is a gateway before the real MinIO, with a provisioned bucket.
type stack struct {
	minio.Admin
	server    localtest.MinIOServer
	bare      *url.URL // MinIO's own address
	address   *url.URL // the gateway's
	log       *lines
	presigner *minio.Presigner
	objects   *minio.Objects
}

// lines is a log that tests read.
type lines struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

func setup(t testing.TB, change ...func(c *gateway.Config)) *stack {
	t.Helper()
	server := localtest.MinIO(t)
	stream(t, server)
	key := func() minio.Key { return minio.Key{Access: rand.Text()[:16], Secret: rand.Text()} }
	s := &stack{
		Admin: minio.Admin{
			Endpoint: server.Endpoint, RootUser: server.RootUser, RootPassword: server.RootPassword, Bucket: server.Bucket,
			Keys: minio.Keys{Upload: key(), Multipart: key(), Download: key(), Confirm: key(), Worker: key()},
		},
		server: server,
		bare:   &url.URL{Scheme: "http", Host: server.Endpoint},
		log:    &lines{},
	}
	if err := minio.Provision(t.Context(), s.Admin); err != nil {
		t.Fatal(err)
	}
	config := gateway.Config{
		Upstream: s.bare, Bucket: s.Bucket, Log: slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
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
	s.objects, err = minio.NewObjects(minio.Config{Endpoint: s.Endpoint, Bucket: s.Bucket, Key: s.Keys.Worker})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.objects.Close)
	return s
}

// stream makes the stream that takes the events. Without one MinIO waits half a second for it after each PUT.
func stream(t testing.TB, server localtest.MinIOServer) {
	t.Helper()
	nc, err := nats.Connect(server.NATSURL, nats.UserInfo(local.NATSOperator, server.NATSPasswords[local.NATSOperator]))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "BUCKET", Subjects: []string{"bucket.>"}})
	if err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		t.Fatal(err)
	}
}

// events hears MinIO from now on; each call returns the key of the next event.
func (s *stack) events(t testing.TB) func() string {
	t.Helper()
	nc, err := nats.Connect(s.server.NATSURL, nats.UserInfo(local.NATSOperator, s.server.NATSPasswords[local.NATSOperator]))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	heard, err := nc.SubscribeSync("bucket.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return func() string {
		t.Helper()
		msg, err := heard.NextMsg(10 * time.Second)
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

// serve runs a gateway until the test ends or stop is called; stop returns what Serve returned.
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

// upload returns a URL and headers for content at a new key.
func (s *stack) upload(t testing.TB, content []byte) (key, address string, headers map[string]string) {
	t.Helper()
	key = newKey(t)
	address, headers, _, err := s.presigner.UploadURL(t.Context(), key, "text/plain", int64(len(content)), nil, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return key, address, headers
}

// send sends a request to host (the gateway's or MinIO's) as if the browser had sent it to address: the Host header
// stays, so the same signed request can be tried on both.
func send(t testing.TB, host *url.URL, method, address string, headers map[string]string, body []byte) (int, http.Header, string) {
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

// signature is the secret part of a presigned URL.
func signature(t testing.TB, address string) string {
	t.Helper()
	_, value, ok := strings.Cut(address, "X-Amz-Signature=")
	if !ok {
		t.Fatalf("no signature in %s", address)
	}
	return value
}
