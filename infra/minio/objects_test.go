package minio_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"intray/infra/minio"
)

func TestStat(t *testing.T) {
	s := setup(t)
	key := newKey(t)
	s.put(t, key, "hello")
	for name, access := range map[string]minio.Key{
		"confirm": s.Keys.Confirm, "worker": s.Keys.Worker,
	} {
		t.Run(name, func(t *testing.T) {
			objects := s.objects(t, access)
			object, err := objects.Stat(t.Context(), key)
			age := time.Since(object.LastModified)
			if err != nil || object.Key != key || object.Size != 5 || object.ETag != helloETag ||
				age > time.Minute {
				t.Errorf("got %+v, %v; want key %s, 5 bytes, ETag %s, just modified",
					object, err, key, helloETag)
			}
			if _, err := objects.Stat(t.Context(), newKey(t)); !errors.Is(err, minio.ErrNotExist) {
				t.Errorf("missing key: got %v, want ErrNotExist", err)
			}
		})
	}
}

// helloETag is the ETag of an object with the content "hello".
const helloETag = "5d41402abc4b2a76b9719d911017c592"

// If another failure were mistaken for ErrNotExist, documents would expire and their charges would
// be released although their objects exist. If MinIO refuses everything, no attempt may count.
func TestOnlyNoSuchKeyMeansNotExist(t *testing.T) {
	s := setup(t)
	key := newKey(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	hung, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hung.Close()
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	answer503 := func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	failing := httptest.NewServer(http.HandlerFunc(answer503))
	defer failing.Close()

	valid := minio.Config{Endpoint: s.Endpoint, Bucket: s.Bucket, Key: s.Keys.Worker}
	unknown := minio.Key{Access: "unknown-key", Secret: "wrong-secret"}
	root := minio.Key{Access: s.RootUser, Secret: s.RootPassword}
	for name, test := range map[string]struct {
		change func(c *minio.Config)
		// unavailable reports whether a listing fails with ErrUnavailable. The calls for one object do so
		// in all cases, because a probe of MinIO fails as well.
		unavailable bool
	}{
		"key without permission": {func(c *minio.Config) { c.Key = s.Keys.Upload }, false},
		"unknown key":            {func(c *minio.Config) { c.Key = unknown }, false},
		"wrong secret":           {func(c *minio.Config) { c.Key.Secret = "wrong-secret" }, false},
		"another bucket":         {func(c *minio.Config) { c.Bucket += "-x" }, false},
		"missing bucket":         {func(c *minio.Config) { c.Bucket, c.Key = c.Bucket+"-x", root }, false},
		"closed port":            {func(c *minio.Config) { c.Endpoint = closed.Addr().String() }, true},
		"server that hangs":      {func(c *minio.Config) { c.Endpoint = hung.Addr().String() }, true},
		"another HTTP server":    {func(c *minio.Config) { c.Endpoint = other.Listener.Addr().String() }, true},
		"server returns 503":     {func(c *minio.Config) { c.Endpoint = failing.Listener.Addr().String() }, true},
		"server without TLS":     {func(c *minio.Config) { c.Secure = true }, true},
	} {
		t.Run(name, func(t *testing.T) {
			config := valid
			test.change(&config)
			objects, err := minio.NewObjects(config)
			if err != nil {
				t.Fatal(err)
			}
			defer objects.Close()
			calls := map[string]func(ctx context.Context) error{
				"stat": func(ctx context.Context) error {
					_, err := objects.Stat(ctx, key)
					return err
				},
				"get": func(ctx context.Context) error {
					_, _, err := objects.Get(ctx, key, "abc")
					return err
				},
				"list": func(ctx context.Context) error {
					for _, err := range objects.List(ctx, "documents/", "") {
						return err
					}
					return nil
				},
				"remove": func(ctx context.Context) error { return objects.Remove(ctx, key) },
			}
			for call, run := range calls {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				err := run(ctx)
				cancel()
				switch {
				case err == nil, errors.Is(err, minio.ErrNotExist), errors.Is(err, minio.ErrChanged):
					t.Errorf("%s: got %v, want another error", call, err)
				case errors.Is(err, minio.ErrUnavailable) != (test.unavailable || call != "list"):
					t.Errorf("%s: got %v, want ErrUnavailable: %v", call, err, test.unavailable)
				case errors.Is(err, minio.ErrInaccessible):
					t.Errorf("%s: got %v, want no ErrInaccessible", call, err)
				case strings.Contains(err.Error(), config.Key.Secret):
					t.Errorf("%s: the error contains the secret: %v", call, err)
				}
			}
		})
	}
}

func TestCanceledContextIsNotAnOutage(t *testing.T) {
	s := setup(t)
	objects := s.objects(t, s.Keys.Worker)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := objects.Stat(ctx, newKey(t))
	if !errors.Is(err, context.Canceled) || errors.Is(err, minio.ErrUnavailable) {
		t.Errorf("Stat: got %v, want context.Canceled without ErrUnavailable", err)
	}
	for _, err = range objects.List(ctx, "documents/", "") {
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("List: got %v, want context.Canceled instead of an empty listing", err)
	}
}

func TestGetRequiresTheETag(t *testing.T) {
	s := setup(t)
	key := newKey(t)
	s.put(t, key, "hello")
	objects := s.objects(t, s.Keys.Worker)
	t.Run("same ETag", func(t *testing.T) {
		body, object, err := objects.Get(t.Context(), key, helloETag)
		if err != nil {
			t.Fatal(err)
		}
		read, err := io.ReadAll(body)
		if err != nil || string(read) != "hello" || object.Size != 5 || object.Key != key {
			t.Errorf("got %q, %+v, %v; want hello, 5 bytes, key %s", read, object, err, key)
		}
		if err := body.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Run("changed object", func(t *testing.T) {
		s.put(t, key, "other")
		if _, _, err := objects.Get(t.Context(), key, helloETag); !errors.Is(err, minio.ErrChanged) {
			t.Errorf("got %v, want ErrChanged", err)
		}
	})
	t.Run("missing object", func(t *testing.T) {
		_, _, err := objects.Get(t.Context(), newKey(t), helloETag)
		if !errors.Is(err, minio.ErrNotExist) {
			t.Errorf("got %v, want ErrNotExist", err)
		}
	})
	t.Run("empty ETag", func(t *testing.T) {
		if _, _, err := objects.Get(t.Context(), key, ""); err == nil {
			t.Error("got success, want an error")
		}
	})
}

// A connection that breaks while an object is read concerns this object alone if MinIO serves other
// requests, and is an outage otherwise.
func TestBrokenBody(t *testing.T) {
	s := setup(t)
	key := newKey(t)
	s.put(t, key, strings.Repeat("x", 1<<20))
	object, err := s.objects(t, s.Keys.Worker).Stat(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		connections int64 // how many connections are accepted
		want        error
	}{
		"while MinIO serves other requests": {1 << 30, minio.ErrInaccessible},
		"at the start of an outage":         {1, minio.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			objects, err := minio.NewObjects(minio.Config{
				Endpoint: cutAfter(t, s.Endpoint, 100<<10, test.connections),
				Bucket:   s.Bucket, Key: s.Keys.Worker,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer objects.Close()
			body, _, err := objects.Get(t.Context(), key, object.ETag)
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()
			_, err = io.Copy(io.Discard, body)
			expectKind(t, "read", err, test.want)
		})
	}
}

// expectKind checks that err wraps want and no other sentinel error.
func expectKind(t *testing.T, call string, err, want error) {
	t.Helper()
	for _, kind := range []error{
		minio.ErrNotExist, minio.ErrChanged, minio.ErrUnavailable, minio.ErrInaccessible,
		context.Canceled,
	} {
		if errors.Is(err, kind) != (kind == want) { //nolint:errorlint // want is a sentinel error
			t.Errorf("%s: got %v, want only %v", call, err, want)
			return
		}
	}
}

// cutAfter listens on a new address and forwards a number of connections to endpoint, but closes
// each after n bytes of the response. It closes all later ones immediately. Requests are signed for
// the new address and have it as their Host, so MinIO accepts them.
func cutAfter(t *testing.T, endpoint string, n, connections int64) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for accepted := int64(0); ; accepted++ {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			if accepted >= connections {
				client.Close()
				continue
			}
			go func() {
				defer client.Close()
				server, err := net.Dial("tcp", endpoint)
				if err != nil {
					return
				}
				defer server.Close()
				go func() { _, _ = io.Copy(server, client) }()
				_, _ = io.CopyN(client, server, n)
			}()
		}
	}()
	return listener.Addr().String()
}

func TestRemoveIsIdempotent(t *testing.T) {
	s := setup(t)
	objects := s.objects(t, s.Keys.Worker)
	for _, key := range []string{newKey(t), "null-user/old report.pdf"} {
		s.put(t, key, "x")
		for range 2 {
			if err := objects.Remove(t.Context(), key); err != nil {
				t.Errorf("remove %s: %v", key, err)
			}
		}
		if _, err := objects.Stat(t.Context(), key); !errors.Is(err, minio.ErrNotExist) {
			t.Errorf("stat %s: got %v, want ErrNotExist", key, err)
		}
	}
}

func TestList(t *testing.T) {
	s := setup(t)
	var keys []string
	for i := range 5 {
		key := fmt.Sprintf("documents/0000000000/%d ü+&%%.txt", i)
		s.put(t, key, strings.Repeat("x", i))
		keys = append(keys, key)
	}
	s.put(t, "null-user/other", "x")
	objects := s.objects(t, s.Keys.Worker)
	list := func(prefix, after string) (listed []string) {
		for object, err := range objects.List(t.Context(), prefix, after) {
			if err != nil {
				t.Fatal(err)
			}
			if object.ETag == "" || strings.Contains(object.ETag, `"`) || object.LastModified.IsZero() {
				t.Errorf("got %+v, want an ETag without quotes and a time", object)
			}
			listed = append(listed, object.Key)
		}
		return listed
	}
	if got := list("documents/", ""); !slices.Equal(got, keys) {
		t.Errorf("below documents/: got %q, want %q", got, keys)
	}
	if got := list("documents/", keys[2]); !slices.Equal(got, keys[3:]) {
		t.Errorf("after the third key: got %q, want %q", got, keys[3:])
	}
	if got := list("", ""); len(got) != 6 {
		t.Errorf("whole bucket: got %q, want 6 keys", got)
	}
	for object, err := range objects.List(t.Context(), "documents/", "") {
		if err != nil || object.Key != keys[0] {
			t.Errorf("first object: got %+v, %v; want key %q", object, err, keys[0])
		}
		break
	}
}

// The context is canceled between the first page of 1000 objects and the second page.
func TestPartialListIsAnError(t *testing.T) {
	s := setup(t)
	for i := range 1001 {
		// MinIO publishes no events for keys outside documents/, which makes these PUTs faster.
		s.put(t, fmt.Sprintf("elsewhere/%04d", i), "")
	}
	objects := s.objects(t, s.Keys.Worker)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	var last error
	for _, err := range objects.List(ctx, "elsewhere/", "") {
		if last = err; err == nil {
			n++
		}
		if n == 1000 {
			cancel()
		}
	}
	if n != 1000 || !errors.Is(last, context.Canceled) {
		t.Errorf("got %d objects, then %v; want 1000, then context.Canceled", n, last)
	}
}

func TestPage(t *testing.T) {
	s := setup(t)
	objects := s.objects(t, s.Keys.Worker)
	var want []string
	for _, name := range []string{"a/1", "a/2", "a/3", "b/1"} {
		want = append(want, "documents/"+name)
		s.put(t, "documents/"+name, name)
	}
	for _, test := range []struct {
		prefix, after string
		limit         int
		want          []string
	}{
		{"documents/", "", 10, want},
		{"documents/a/", "", 10, want[:3]},
		{"documents/a/", "", 2, want[:2]},
		{"documents/a/", "documents/a/1", 1, want[1:2]},
		{"documents/a/", "documents/a/", 3, want[:3]},
		{"documents/a/", "documents/a/3", 3, nil},
		{"documents/c/", "", 3, nil},
	} {
		page, err := objects.Page(t.Context(), test.prefix, test.after, test.limit)
		var keys []string
		for _, o := range page {
			keys = append(keys, o.Key)
			head, err := objects.Stat(t.Context(), o.Key)
			if err != nil || head.Size != o.Size || head.ETag != o.ETag {
				t.Errorf("Stat: got %+v, %v; want %+v as in the page", head, err, o)
			}
		}
		if err != nil || !slices.Equal(keys, test.want) {
			t.Errorf("Page(%q, %q, %d): got %v, %v; want %v",
				test.prefix, test.after, test.limit, keys, err, test.want)
		}
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	page, err := objects.Page(canceled, "documents/", "", 10)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("canceled context: got %v, %v; want context.Canceled", page, err)
	}
}
