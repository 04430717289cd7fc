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
	for name, access := range map[string]minio.Key{"confirm": s.Keys.Confirm, "worker": s.Keys.Worker} {
		objects := s.objects(t, access)
		object, err := objects.Stat(t.Context(), key)
		if err != nil || object.Key != key || object.Size != 5 || object.ETag != "5d41402abc4b2a76b9719d911017c592" || time.Since(object.LastModified) > time.Minute {
			t.Errorf("%s: got %+v, %v", name, object, err)
		}
		if _, err := objects.Stat(t.Context(), newKey(t)); !errors.Is(err, minio.ErrNotExist) {
			t.Errorf("%s: missing key: %v, want ErrNotExist", name, err)
		}
	}
}

// TestOnlyNoSuchKeyIsAbsence matters more than most: what is taken for absent is expired or given back.
func TestOnlyNoSuchKeyIsAbsence(t *testing.T) {
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
	failing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer failing.Close()

	good := minio.Config{Endpoint: s.Endpoint, Bucket: s.Bucket, Key: s.Keys.Worker}
	for name, test := range map[string]struct {
		change      func(c *minio.Config)
		unavailable bool
	}{
		"refused key":  {func(c *minio.Config) { c.Key = s.Keys.Upload }, false},
		"unknown key":  {func(c *minio.Config) { c.Key = minio.Key{Access: "nobody-at-all", Secret: "nothing-at-all"} }, false},
		"wrong secret": {func(c *minio.Config) { c.Key.Secret = "nothing-at-all" }, false},
		"other bucket": {func(c *minio.Config) { c.Bucket += "-x" }, false},
		"missing bucket": {func(c *minio.Config) {
			c.Bucket, c.Key = c.Bucket+"-x", minio.Key{Access: s.RootUser, Secret: s.RootPassword}
		}, false},
		"nothing listens":   {func(c *minio.Config) { c.Endpoint = closed.Addr().String() }, true},
		"nothing answers":   {func(c *minio.Config) { c.Endpoint = hung.Addr().String() }, true},
		"another server":    {func(c *minio.Config) { c.Endpoint = other.Listener.Addr().String() }, true},
		"answers 503":       {func(c *minio.Config) { c.Endpoint = failing.Listener.Addr().String() }, true},
		"https on a server": {func(c *minio.Config) { c.Secure = true }, true},
	} {
		t.Run(name, func(t *testing.T) {
			config := good
			test.change(&config)
			objects, err := minio.NewObjects(config)
			if err != nil {
				t.Fatal(err)
			}
			defer objects.Close()
			calls := map[string]func(ctx context.Context) error{
				"stat": func(ctx context.Context) error { _, err := objects.Stat(ctx, key); return err },
				"get":  func(ctx context.Context) error { _, _, err := objects.Get(ctx, key, "abc"); return err },
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
					t.Errorf("%s: %v", call, err)
				case errors.Is(err, minio.ErrUnavailable) != test.unavailable:
					t.Errorf("%s: unavailable should be %v: %v", call, test.unavailable, err)
				case strings.Contains(err.Error(), config.Key.Secret):
					t.Errorf("%s: the secret is in the error %v", call, err)
				}
			}
		})
	}
}

func TestACanceledCallIsNoOutage(t *testing.T) {
	s := setup(t)
	objects := s.objects(t, s.Keys.Worker)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := objects.Stat(ctx, newKey(t))
	if !errors.Is(err, context.Canceled) || errors.Is(err, minio.ErrUnavailable) {
		t.Errorf("stat: %v", err)
	}
	for _, err = range objects.List(ctx, "documents/", "") {
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("list: %v, want an error and not an empty listing", err)
	}
}

func TestGetReadsWhatWasConfirmedOrNothing(t *testing.T) {
	s := setup(t)
	key := newKey(t)
	s.put(t, key, "hello")
	objects := s.objects(t, s.Keys.Worker)
	body, object, err := objects.Get(t.Context(), key, "5d41402abc4b2a76b9719d911017c592")
	if err != nil {
		t.Fatal(err)
	}
	read, err := io.ReadAll(body)
	if err != nil || string(read) != "hello" || object.Size != 5 || object.Key != key {
		t.Errorf("got %q %+v %v", read, object, err)
	}
	if err := body.Close(); err != nil {
		t.Error(err)
	}

	s.put(t, key, "other")
	if _, _, err := objects.Get(t.Context(), key, "5d41402abc4b2a76b9719d911017c592"); !errors.Is(err, minio.ErrChanged) {
		t.Errorf("changed object: %v, want ErrChanged", err)
	}
	if _, _, err := objects.Get(t.Context(), newKey(t), "5d41402abc4b2a76b9719d911017c592"); !errors.Is(err, minio.ErrNotExist) {
		t.Errorf("missing object: %v, want ErrNotExist", err)
	}
	if _, _, err := objects.Get(t.Context(), key, ""); err == nil {
		t.Error("an object was read without saying which")
	}
}

func TestABodyThatBreaksOffIsAnOutage(t *testing.T) {
	s := setup(t)
	key := newKey(t)
	s.put(t, key, strings.Repeat("x", 1<<20))
	object, err := s.objects(t, s.Keys.Worker).Stat(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := minio.NewObjects(minio.Config{Endpoint: cutAfter(t, s.Endpoint, 100<<10), Bucket: s.Bucket, Key: s.Keys.Worker})
	if err != nil {
		t.Fatal(err)
	}
	defer objects.Close()
	body, _, err := objects.Get(t.Context(), key, object.ETag)
	if err == nil {
		defer body.Close()
		_, err = io.Copy(io.Discard, body)
	}
	if !errors.Is(err, minio.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
}

// cutAfter listens on a new address and passes connections to endpoint, but cuts each after n bytes of answer.
// A signature covers the host, and this one is signed for the new address, which MinIO does not mind.
func cutAfter(t *testing.T, endpoint string, n int64) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
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
			t.Errorf("stat %s: %v", key, err)
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
	list := func(prefix, after string) (found []string) {
		for object, err := range objects.List(t.Context(), prefix, after) {
			if err != nil {
				t.Fatal(err)
			}
			if object.ETag == "" || strings.Contains(object.ETag, `"`) || object.LastModified.IsZero() {
				t.Errorf("incomplete: %+v", object)
			}
			found = append(found, object.Key)
		}
		return found
	}
	if got := list("documents/", ""); !slices.Equal(got, keys) {
		t.Errorf("all: %q", got)
	}
	if got := list("documents/", keys[2]); !slices.Equal(got, keys[3:]) {
		t.Errorf("after the third: %q", got)
	}
	if got := list("", ""); len(got) != 6 {
		t.Errorf("whole bucket: %q", got)
	}
	for object, err := range objects.List(t.Context(), "documents/", "") {
		if err != nil || object.Key != keys[0] {
			t.Errorf("first: %+v %v", object, err)
		}
		break
	}
}

// TestAPartialListingIsAnError cancels between the first page of a thousand and the second.
func TestAPartialListingIsAnError(t *testing.T) {
	s := setup(t)
	for i := range 1001 {
		s.put(t, fmt.Sprintf("elsewhere/%04d", i), "") // no events there
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
		t.Errorf("%d objects, then %v; want 1000, then context.Canceled", n, last)
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
			if head, err := objects.Stat(t.Context(), o.Key); err != nil || head.Size != o.Size || head.ETag != o.ETag {
				t.Errorf("listed %+v, a HEAD says %+v, %v", o, head, err)
			}
		}
		if err != nil || !slices.Equal(keys, test.want) {
			t.Errorf("page of %s after %q, %d long: %v, %v; want %v", test.prefix, test.after, test.limit, keys, err, test.want)
		}
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if page, err := objects.Page(canceled, "documents/", "", 10); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v, %v", page, err)
	}
}
