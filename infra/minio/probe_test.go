package minio_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"intray/infra/minio"
)

// objectCalls returns a call of each method that sends a request about one object.
func objectCalls(o *minio.Objects, key, etag string) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"stat": func(ctx context.Context) error {
			_, err := o.Stat(ctx, key)
			return err
		},
		"get": func(ctx context.Context) error {
			body, _, err := o.Get(ctx, key, etag)
			if err == nil {
				defer body.Close()
				_, err = io.Copy(io.Discard, body)
			}
			return err
		},
		"remove": func(ctx context.Context) error { return o.Remove(ctx, key) },
	}
}

// A damaged object is inaccessible, which is neither an outage nor a proof that it does not exist,
// and affects no other object. It is accessible again when it has been healed.
func TestDamagedObjectIsInaccessible(t *testing.T) {
	s := setup(t)
	damaged, sound := newKey(t), newKey(t)
	s.put(t, damaged, "hello")
	s.put(t, sound, "hello")
	restore := s.server.Damage(t, damaged)
	for name, access := range map[string]minio.Key{
		"confirm": s.Keys.Confirm, "worker": s.Keys.Worker,
	} {
		objects := s.objects(t, access)
		for call, run := range objectCalls(objects, damaged, helloETag) {
			if call == "remove" && name == "confirm" {
				continue // this key must not delete objects
			}
			expectKind(t, name+" "+call, run(t.Context()), minio.ErrInaccessible)
		}
		if _, err := objects.Stat(t.Context(), sound); err != nil {
			t.Errorf("%s: another object: got %v, want no error", name, err)
		}
		for key, result := range merged(minio.StatOrList(t.Context(), objects, siblings(t, s, damaged))) {
			if key == damaged {
				expectKind(t, name+" list", result.Err, minio.ErrInaccessible)
			} else if result.Err != nil {
				t.Errorf("%s list: %s: got %v, want no error", name, key, result.Err)
			}
		}
	}
	restore()
	if _, err := s.objects(t, s.Keys.Worker).Stat(t.Context(), damaged); err != nil {
		t.Errorf("after it was healed: got %v, want no error", err)
	}
}

// siblings stores ten objects in the folder of key and returns their keys and key.
func siblings(t *testing.T, s *stack, key string) []string {
	t.Helper()
	keys := []string{key}
	folder := key[:strings.LastIndexByte(key, '/')+1]
	for _, name := range "0123456789" {
		keys = append(keys, folder+string(name))
		s.put(t, folder+string(name), "hello")
	}
	return keys
}

// An object that MinIO refuses to read for any other reason is treated like a damaged one.
func TestRefusedObjectIsInaccessible(t *testing.T) {
	s := setup(t)
	s.put(t, "elsewhere/file", "hello")
	objects := s.objects(t, s.Keys.Worker)
	for call, run := range objectCalls(objects, "elsewhere/file", helloETag) {
		expectKind(t, call, run(t.Context()), minio.ErrInaccessible)
	}
}

// failingServer forwards requests to MinIO, but answers those for which fails returns true with
// status 500.
func failingServer(t *testing.T, endpoint string, fails func(*http.Request) bool) string {
	t.Helper()
	target, err := url.Parse("http://" + endpoint)
	if err != nil {
		t.Fatal(err)
	}
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host },
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if fails(r) {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// A failed request is an outage if any request of the probe fails, and concerns its object alone if
// all of them succeed.
func TestProbeDecidesWhetherAFailureIsAnOutage(t *testing.T) {
	s := setup(t)
	key := newKey(t)
	s.put(t, key, "hello")
	isHealth := func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/minio/health/") }
	isList := func(r *http.Request) bool { return r.URL.Query().Has("list-type") }
	isObject := func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, key) }
	isHead := func(r *http.Request) bool { return r.Method == http.MethodHead }
	never := func(*http.Request) bool { return false }
	for name, test := range map[string]struct {
		object bool                     // whether requests for the object fail
		probe  func(*http.Request) bool // whether a request of the probe fails
		want   error
	}{
		"only the object fails":            {true, never, minio.ErrInaccessible},
		"the health check fails as well":   {true, isHealth, minio.ErrUnavailable},
		"the listing fails as well":        {true, isList, minio.ErrUnavailable},
		"every HEAD fails":                 {true, isHead, minio.ErrUnavailable},
		"only the probe would have failed": {false, isList, nil},
	} {
		t.Run(name, func(t *testing.T) {
			objects, err := minio.NewObjects(minio.Config{
				Endpoint: failingServer(t, s.Endpoint, func(r *http.Request) bool {
					return test.object && isObject(r) || test.probe(r)
				}),
				Bucket: s.Bucket, Key: s.Keys.Worker,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer objects.Close()
			_, err = objects.Stat(t.Context(), key)
			expectKind(t, "stat", err, test.want)
		})
	}
}

// A request that failed because MinIO was being restarted is repeated after the probe.
func TestRequestIsRepeatedAfterARestart(t *testing.T) {
	s := setup(t)
	key := newKey(t)
	s.put(t, key, "hello")
	var requests atomic.Int64
	firstFails := func(r *http.Request) bool {
		return strings.HasSuffix(r.URL.Path, key) && requests.Add(1) == 1
	}
	objects, err := minio.NewObjects(minio.Config{
		Endpoint: failingServer(t, s.Endpoint, firstFails), Bucket: s.Bucket, Key: s.Keys.Worker,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer objects.Close()
	if _, err := objects.Stat(t.Context(), key); err != nil || requests.Load() != 2 {
		t.Errorf("got %v after %d requests, want success after 2", err, requests.Load())
	}
}

func TestProbe(t *testing.T) {
	s := setup(t)
	for name, access := range map[string]minio.Key{
		"confirm": s.Keys.Confirm, "worker": s.Keys.Worker,
	} {
		if err := s.objects(t, access).Probe(t.Context()); err != nil {
			t.Errorf("%s: got %v, want no error", name, err)
		}
	}
	unknown := minio.Key{Access: "unknown-key", Secret: "wrong-secret"}
	expectKind(t, "unknown key", s.objects(t, unknown).Probe(t.Context()), minio.ErrUnavailable)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	expectKind(t, "canceled", s.objects(t, s.Keys.Worker).Probe(canceled), context.Canceled)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	objects, err := minio.NewObjects(minio.Config{
		Endpoint: closed.Addr().String(), Bucket: s.Bucket, Key: s.Keys.Worker,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := objects.Probe(t.Context()); !errors.Is(err, minio.ErrUnavailable) {
		t.Errorf("closed port: got %v, want ErrUnavailable", err)
	}
}
