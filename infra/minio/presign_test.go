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

func TestUploadURLTakesExactlyWhatItSigned(t *testing.T) {
	s := setup(t)
	presigner := s.presigner(t)
	digest := sha256.Sum256(content)
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
		"other type":            {nil, func(h map[string]string) { h["Content-Type"] = "text/html" }, content, 403, "SignatureDoesNotMatch"},
		"no type":               {nil, func(h map[string]string) { delete(h, "Content-Type") }, content, 400, "AccessDenied"},
		"no condition":          {nil, func(h map[string]string) { delete(h, "If-None-Match") }, content, 400, "AccessDenied"},
		"other condition":       {nil, func(h map[string]string) { h["If-None-Match"] = `"abc"` }, content, 403, "SignatureDoesNotMatch"},
		"no digest":             {digest[:], func(h map[string]string) { delete(h, "x-amz-checksum-sha256") }, content, 400, "AccessDenied"},
		"other digest":          {digest[:], func(h map[string]string) { h["x-amz-checksum-sha256"] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" }, content, 403, "SignatureDoesNotMatch"},
		"other bytes":           {digest[:], nil, []byte("HELLO, in-tray"), 400, "XAmzContentChecksumMismatch"},
	} {
		t.Run(name, func(t *testing.T) {
			key := newKey(t)
			address, headers, _, err := presigner.UploadURL(t.Context(), key, "text/plain", int64(len(content)), test.digest, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			for name := range headers {
				if http.CanonicalHeaderKey(name) == "Content-Length" {
					t.Error("Content-Length is among the headers; browsers forbid setting it")
				}
			}
			headers = maps.Clone(headers)
			if test.change != nil {
				test.change(headers)
			}
			status, _, body := do(t, http.MethodPut, address, headers, test.body)
			if status != test.status || !strings.Contains(body, test.code) {
				t.Fatalf("got %d %s, want %d %s", status, body, test.status, test.code)
			}
			_, err = s.objects(t, s.Keys.Worker).Stat(t.Context(), key)
			if stored := err == nil; stored != (test.status == 200) {
				t.Errorf("stored is %v after status %d (%v)", stored, status, err)
			}
		})
	}
}

func TestUploadURLForAnEmptyFile(t *testing.T) {
	s := setup(t)
	key := newKey(t)
	address, headers, _, err := s.presigner(t).UploadURL(t.Context(), key, "text/plain", 0, nil, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if status, _, body := do(t, http.MethodPut, address, headers, nil); status != 200 {
		t.Fatalf("got %d %s", status, body)
	}
	object, err := s.objects(t, s.Keys.Worker).Stat(t.Context(), key)
	if err != nil || object.Size != 0 {
		t.Errorf("got %+v, %v", object, err)
	}
}

func TestOnlyOneOfConcurrentUploadsWins(t *testing.T) {
	s := setup(t)
	address, headers, _, err := s.presigner(t).UploadURL(t.Context(), newKey(t), "text/plain", int64(len(content)), nil, time.Minute)
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
		t.Errorf("got %v, want one 200 and seven 412", count)
	}
}

func TestUploadURLRefusesWhatCannotBeSigned(t *testing.T) {
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
			address, _, _, err := presigner.UploadURL(t.Context(), newKey(t), test.contentType, test.size, test.digest, test.expiry)
			if err == nil {
				t.Errorf("got %s", address)
			}
		})
	}
}

func TestURLsExpire(t *testing.T) {
	s := setup(t)
	key := newKey(t)
	presigner := s.presigner(t)
	s.put(t, key, "x")
	up, headers, upUntil, err := presigner.UploadURL(t.Context(), newKey(t), "text/plain", int64(len(content)), nil, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	down, downUntil, err := presigner.DownloadURL(t.Context(), key, "a.txt", "text/plain", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := downUntil.Add(5 * time.Second); ; {
		status, _, body := do(t, http.MethodGet, down, nil, nil)
		if status == 403 && strings.Contains(body, "expired") {
			break
		}
		if status != 200 || time.Now().After(deadline) {
			t.Fatalf("download: got %d %s", status, body)
		}
	}
	if early := time.Until(downUntil); early > 0 {
		t.Errorf("the download expired %s before its time", early)
	}
	if upUntil.After(downUntil) {
		t.Fatalf("the upload, signed first, expires last: %s after %s", upUntil, downUntil)
	}
	if status, _, body := do(t, http.MethodPut, up, headers, content); status != 403 || !strings.Contains(body, "expired") {
		t.Errorf("upload after expiry: got %d %s", status, body)
	}
}

func TestDownloadURL(t *testing.T) {
	s := setup(t)
	presigner := s.presigner(t)
	key := newKey(t)
	s.put(t, key, string(content))
	name := "Übersicht \"1/2\" 東京\r\nX-Evil: 1.pdf"
	address, until, err := presigner.DownloadURL(t.Context(), key, name, "application/pdf", 5*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(until); left > 5*time.Minute || left < 5*time.Minute-2*time.Second {
		t.Errorf("expires in %s", left)
	}
	status, header, body := do(t, http.MethodGet, address, nil, nil)
	if status != 200 || body != string(content) {
		t.Fatalf("got %d %s", status, body)
	}
	kind, params, err := mime.ParseMediaType(header.Get("Content-Disposition"))
	if err != nil || kind != "attachment" || params["filename"] != "Übersicht \"1_2\" 東京X-Evil: 1.pdf" {
		t.Errorf("disposition %q: %s %q %v", header.Get("Content-Disposition"), kind, params, err)
	}
	if header.Get("Content-Type") != "application/pdf" || header.Get("X-Evil") != "" {
		t.Errorf("headers %v", header)
	}
	if status, _, _ := do(t, http.MethodHead, address, nil, nil); status != 403 {
		t.Errorf("HEAD with a URL for GET: got %d", status)
	}

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
				t.Errorf("%s changed to %q: got %d, want 403", parameter, value, status)
			}
		}
	}
	if _, _, err := presigner.DownloadURL(t.Context(), key, "a", "text/plain", 5*time.Minute+time.Second); err == nil {
		t.Error("a download URL of more than five minutes was issued")
	}
}

func TestPresignerNeedsAPublicAddressWithoutAPath(t *testing.T) {
	for _, address := range []string{"", "minio:9000", "ftp://minio", "https://files.example.org/s3"} {
		public, err := url.Parse(address)
		if err != nil {
			continue
		}
		if _, err := minio.NewPresigner(minio.PresignerConfig{Public: public, Bucket: "documents"}); err == nil {
			t.Errorf("%q was taken", address)
		}
	}
}

func TestPresignerSignsForItsHostWithoutANetwork(t *testing.T) {
	public, err := url.Parse("https://files.example.org")
	if err != nil {
		t.Fatal(err)
	}
	presigner, err := minio.NewPresigner(minio.PresignerConfig{
		Public: public, Bucket: "documents", Upload: minio.Key{Access: "up", Secret: "secret"}, Download: minio.Key{Access: "down", Secret: "secret"},
	})
	if err != nil {
		t.Fatal(err)
	}
	address, _, _, err := presigner.UploadURL(t.Context(), "documents/0/1", "text/plain", 1, nil, time.Minute)
	if err != nil || !strings.HasPrefix(address, "https://files.example.org/documents/documents/0/1?") {
		t.Errorf("got %s, %v", address, err)
	}
}
