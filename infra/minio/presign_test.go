package minio_test

import (
	"crypto/sha256"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"intray/infra/minio"
)

var content = []byte("hello, in-tray")

func TestUploadURLAcceptsOnlyWhatItSigned(t *testing.T) {
	s := setup(t)
	presigner := s.presigner(t)
	digest := sha256.Sum256(content)
	set := func(name, value string) func(h map[string]string) {
		return func(h map[string]string) { h[name] = value }
	}
	drop := func(name string) func(h map[string]string) {
		return func(h map[string]string) { delete(h, name) }
	}
	const checksum, zeros = "x-amz-checksum-sha256", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	for name, test := range map[string]struct {
		digest []byte
		change func(headers map[string]string)
		body   []byte
		status int
		code   string
	}{
		"as signed":             {nil, nil, content, 200, ""},
		"as signed with digest": {digest[:], nil, content, 200, ""},
		"shorter":               {nil, nil, content[1:], 403, "SignatureDoesNotMatch"},
		"longer":                {nil, nil, append([]byte("x"), content...), 403, "SignatureDoesNotMatch"},
		"empty":                 {nil, nil, nil, 403, "SignatureDoesNotMatch"},
		"wrong type":            {nil, set("Content-Type", "text/html"), content, 403, "SignatureDoesNotMatch"},
		"no type":               {nil, drop("Content-Type"), content, 400, "AccessDenied"},
		"no condition":          {nil, drop("If-None-Match"), content, 400, "AccessDenied"},
		"wrong condition":       {nil, set("If-None-Match", `"abc"`), content, 403, "SignatureDoesNotMatch"},
		"no digest":             {digest[:], drop(checksum), content, 400, "AccessDenied"},
		"wrong digest":          {digest[:], set(checksum, zeros), content, 403, "SignatureDoesNotMatch"},
		"wrong bytes":           {digest[:], nil, []byte("HELLO, in-tray"), 400, "XAmzContentChecksumMismatch"},
	} {
		t.Run(name, func(t *testing.T) {
			key, size := newKey(t), int64(len(content))
			address, headers, _, err := presigner.UploadURL(
				t.Context(), key, "text/plain", size, test.digest, minio.Allowance{}, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			for name := range headers {
				if http.CanonicalHeaderKey(name) == "Content-Length" {
					t.Error("headers contain Content-Length, which browsers do not let scripts set")
				}
			}
			headers = maps.Clone(headers)
			if test.change != nil {
				test.change(headers)
			}
			status, _, body := do(t, http.MethodPut, address, headers, test.body)
			if status != test.status || !strings.Contains(body, test.code) {
				t.Fatalf("got status %d %s, want %d %s", status, body, test.status, test.code)
			}
			_, err = s.objects(t, s.Keys.Worker).Stat(t.Context(), key)
			if stored := err == nil; stored != (test.status == 200) {
				t.Errorf("after status %d: got object stored %v (%v), want %v",
					status, stored, err, test.status == 200)
			}
		})
	}
}

func TestUploadURLForAnEmptyFile(t *testing.T) {
	s := setup(t)
	key := newKey(t)
	address, headers, _, err := s.presigner(t).UploadURL(
		t.Context(), key, "text/plain", 0, nil, minio.Allowance{}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if status, _, body := do(t, http.MethodPut, address, headers, nil); status != 200 {
		t.Fatalf("PUT: got status %d %s, want 200", status, body)
	}
	object, err := s.objects(t, s.Keys.Worker).Stat(t.Context(), key)
	if err != nil || object.Size != 0 {
		t.Errorf("Stat: got %+v, %v; want 0 bytes", object, err)
	}
}

func TestOnlyOneConcurrentUploadSucceeds(t *testing.T) {
	s := setup(t)
	address, headers, _, err := s.presigner(t).UploadURL(
		t.Context(), newKey(t), "text/plain", int64(len(content)), nil, minio.Allowance{}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	count := map[int]int{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			status, _, _ := do(t, http.MethodPut, address, headers, content)
			mu.Lock()
			defer mu.Unlock()
			count[status]++
		})
	}
	wg.Wait()
	if count[200] != 1 || count[412] != 7 {
		t.Errorf("got responses by status %v, want one 200 and seven 412", count)
	}
}

func TestUploadURLRejectsInvalidArguments(t *testing.T) {
	presigner := setup(t).presigner(t)
	for name, test := range map[string]struct {
		contentType string
		size        int64
		digest      []byte
		expiry      time.Duration
	}{
		"negative size":      {"text/plain", -1, nil, time.Minute},
		"no content type":    {"", 1, nil, time.Minute},
		"a header injection": {"text/plain\r\nX-Amz-Acl: public-read", 1, nil, time.Minute},
		"a short digest":     {"text/plain", 1, []byte("abc"), time.Minute},
		"no expiry":          {"text/plain", 1, nil, 0},
		"over seven days":    {"text/plain", 1, nil, 8 * 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			address, _, _, err := presigner.UploadURL(
				t.Context(), newKey(t), test.contentType, test.size, test.digest, minio.Allowance{},
				test.expiry)
			if err == nil {
				t.Errorf("got %s, want an error", address)
			}
		})
	}
}

func TestURLsExpire(t *testing.T) {
	s := setup(t)
	key := newKey(t)
	presigner := s.presigner(t)
	s.put(t, key, "x")
	up, headers, upUntil, err := presigner.UploadURL(
		t.Context(), newKey(t), "text/plain", int64(len(content)), nil, minio.Allowance{}, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	down, downUntil, err := presigner.DownloadURL(
		t.Context(), key, minio.Attachment, "a.txt", "text/plain", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	for expired := false; !expired; {
		status, _, body := do(t, http.MethodGet, down, nil, nil)
		expired = status == 403 && strings.Contains(body, "expired")
		if !expired && status != 200 {
			t.Fatalf("download: got status %d %s, want 200 or 403", status, body)
		}
	}
	if early := time.Until(downUntil); early > 0 {
		t.Errorf("the download URL expired %s before the returned time", early)
	}
	if upUntil.After(downUntil) {
		t.Fatalf("got expiries %s and %s, want the URL signed first to expire first", upUntil, downUntil)
	}
	status, _, body := do(t, http.MethodPut, up, headers, content)
	if status != 403 || !strings.Contains(body, "expired") {
		t.Errorf("upload after expiry: got status %d %s, want 403 with expired", status, body)
	}
}

func TestDownloadURL(t *testing.T) {
	s := setup(t)
	presigner := s.presigner(t)
	key := newKey(t)
	s.put(t, key, string(content))
	name := "Übersicht \"1/2\" 東京\r\nX-Evil: 1.pdf"
	const expiry = minio.MaxDownloadExpiry
	before := time.Now()
	address, until, err := presigner.DownloadURL(
		t.Context(), key, minio.Attachment, name, "application/pdf", expiry)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("expiry", func(t *testing.T) {
		// The signing time in the URL is in whole seconds.
		earliest, latest := before.Add(expiry-time.Second), time.Now().Add(expiry)
		if until.Before(earliest) || until.After(latest) {
			t.Errorf("got %s, want from %s to %s", until, earliest, latest)
		}
		_, _, err := presigner.DownloadURL(
			t.Context(), key, minio.Attachment, "a", "text/plain", expiry+time.Second)
		if err == nil {
			t.Errorf("expiry of more than %s: got success, want an error", expiry)
		}
	})
	t.Run("content and headers", func(t *testing.T) {
		status, header, body := do(t, http.MethodGet, address, nil, nil)
		if status != 200 || body != string(content) {
			t.Fatalf("got status %d %q, want 200 %q", status, body, content)
		}
		disposition := header.Get("Content-Disposition")
		kind, params, err := mime.ParseMediaType(disposition)
		want := "Übersicht \"1_2\" 東京X-Evil: 1.pdf"
		if err != nil || kind != "attachment" || params["filename"] != want {
			t.Errorf("Content-Disposition %q: got %s, %q, %v; want attachment, filename %q",
				disposition, kind, params, err, want)
		}
		if got := header.Get("Content-Type"); got != "application/pdf" {
			t.Errorf("got Content-Type %q, want application/pdf", got)
		}
		if got := header.Get("X-Evil"); got != "" {
			t.Errorf("got X-Evil %q, want no header that the file name injects", got)
		}
	})
	t.Run("another method", func(t *testing.T) {
		if status, _, _ := do(t, http.MethodHead, address, nil, nil); status != 403 {
			t.Errorf("HEAD: got status %d, want 403", status)
		}
	})
	t.Run("changed parameters", func(t *testing.T) {
		parsed, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		for _, parameter := range []string{"response-content-disposition", "response-content-type"} {
			for _, value := range []string{"", "inline"} {
				query := parsed.Query()
				if query.Set(parameter, value); value == "" {
					query.Del(parameter)
				}
				changed := *parsed
				changed.RawQuery = query.Encode()
				if status, _, _ := do(t, http.MethodGet, changed.String(), nil, nil); status != 403 {
					t.Errorf("%s changed to %q: got status %d, want 403", parameter, value, status)
				}
			}
		}
	})
}

func TestNewPresignerRejectsInvalidAddresses(t *testing.T) {
	for name, public := range map[string]*url.URL{
		"none":           nil,
		"without a host": {Scheme: "https"},
		"another scheme": {Scheme: "ftp", Host: "minio"},
		"with a path":    {Scheme: "https", Host: "files.example.org", Path: "/s3"},
	} {
		config := minio.PresignerConfig{Public: public, Bucket: "documents"}
		if _, err := minio.NewPresigner(config); err == nil {
			t.Errorf("address %s (%v): got success, want an error", name, public)
		}
	}
}

func TestPresignerNeedsNoNetwork(t *testing.T) {
	public, err := url.Parse("https://files.example.org")
	if err != nil {
		t.Fatal(err)
	}
	presigner, err := minio.NewPresigner(minio.PresignerConfig{
		Public:   public,
		Bucket:   "documents",
		Upload:   minio.Key{Access: "up", Secret: "secret"},
		Download: minio.Key{Access: "down", Secret: "secret"},
	})
	if err != nil {
		t.Fatal(err)
	}
	address, _, _, err := presigner.UploadURL(
		t.Context(), "documents/0/1", "text/plain", 1, nil, minio.Allowance{}, time.Minute)
	const want = "https://files.example.org/documents/documents/0/1?"
	if err != nil || !strings.HasPrefix(address, want) {
		t.Errorf("got %s, %v; want a URL that begins with %s", address, err, want)
	}
}
