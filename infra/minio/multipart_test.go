package minio_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	miniogo "github.com/minio/minio-go/v7"

	"intray/infra/minio"
	"intray/schema"
)

const fiveMiB = 5 << 20

func (s *stack) multipart(t *testing.T) *minio.Multipart {
	t.Helper()
	m, err := minio.NewMultipart(minio.Config{Endpoint: s.Endpoint, Bucket: s.Bucket, Key: s.Keys.Multipart})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

func (s *stack) begin(t *testing.T, m *minio.Multipart, key string) (uploadID string) {
	t.Helper()
	id, err := m.Begin(t.Context(), key, "text/plain")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// putPart uploads one part as a browser would and returns its ETag.
func (s *stack) putPart(t *testing.T, key, uploadID string, number int, content []byte) schema.Part {
	t.Helper()
	address, _, err := s.presigner(t).PartURL(t.Context(), key, uploadID, number, int64(len(content)), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	status, header, body := do(t, http.MethodPut, address, nil, content)
	if status != http.StatusOK {
		t.Fatalf("PUT of part %d: %d %s", number, status, body)
	}
	return schema.Part{Number: number, Size: int64(len(content)), ETag: strings.Trim(header.Get("ETag"), `"`)}
}

func TestUploadInParts(t *testing.T) {
	s := setup(t)
	m, objects := s.multipart(t), s.objects(t, s.Keys.Worker)
	key := newKey(t)
	id := s.begin(t, m, key)
	first, last := bytes.Repeat([]byte("a"), fiveMiB), []byte("the end")
	parts := []schema.Part{{}, s.putPart(t, key, id, 2, last)}
	parts[0] = s.putPart(t, key, id, 1, []byte("something else that is sent again"))
	parts[0] = s.putPart(t, key, id, 1, first)
	if got, err := m.Parts(t.Context(), key, id); err != nil || !slices.Equal(got, parts) {
		t.Fatalf("Parts: %v, %v; want %v", got, err, parts)
	}
	if _, err := objects.Stat(t.Context(), key); !errors.Is(err, minio.ErrNotExist) {
		t.Fatalf("before it is complete: %v", err)
	}

	wrong := slices.Clone(parts)
	wrong[1].ETag = strings.Repeat("0", 32)
	missing := append(slices.Clone(parts), schema.Part{Number: 3, ETag: wrong[1].ETag})
	for name, test := range map[string][]schema.Part{"another ETag": wrong, "a part that is not there": missing} {
		if err := m.Complete(t.Context(), key, id, test); !errors.Is(err, minio.ErrChanged) {
			t.Errorf("%s: %v, want ErrChanged", name, err)
		}
	}
	if err := m.Complete(t.Context(), key, id, parts); err != nil {
		t.Fatal(err)
	}
	if err := m.Complete(t.Context(), key, id, parts); !errors.Is(err, minio.ErrNoUpload) && !errors.Is(err, minio.ErrExists) {
		t.Errorf("completed twice: %v", err)
	}
	if _, err := m.Parts(t.Context(), key, id); !errors.Is(err, minio.ErrNoUpload) {
		t.Errorf("parts of a complete upload: %v, want ErrNoUpload", err)
	}

	// The ETag is of another form, and means the same everywhere.
	o, err := objects.Stat(t.Context(), key)
	if err != nil || o.Size != fiveMiB+7 || !regexp.MustCompile(`^[0-9a-f]{32}-2$`).MatchString(o.ETag) {
		t.Fatalf("the object: %+v, %v", o, err)
	}
	for listed, err := range objects.List(t.Context(), key, "") {
		if err != nil || listed.ETag != o.ETag || listed.Size != o.Size {
			t.Errorf("listed as %+v, %v; seen as %+v", listed, err, o)
		}
	}
	if _, _, err := objects.Get(t.Context(), key, strings.TrimSuffix(o.ETag, "-2")); !errors.Is(err, minio.ErrChanged) {
		t.Errorf("Get with another ETag: %v", err)
	}
	body, _, err := objects.Get(t.Context(), key, o.ETag)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	var content bytes.Buffer
	if _, err := content.ReadFrom(body); err != nil || !bytes.Equal(content.Bytes(), append(first, last...)) {
		t.Errorf("read %d bytes, %v", content.Len(), err)
	}
	info, err := s.root.StatObject(t.Context(), s.Bucket, key, miniogo.StatObjectOptions{})
	if err != nil || info.ContentType != "text/plain" {
		t.Errorf("stored as %q, %v", info.ContentType, err)
	}
}

func TestCompletingReplacesNothing(t *testing.T) {
	s := setup(t)
	m := s.multipart(t)
	key := newKey(t)
	id := s.begin(t, m, key)
	part := s.putPart(t, key, id, 1, []byte("late"))
	s.put(t, key, "first")
	if err := m.Complete(t.Context(), key, id, []schema.Part{part}); !errors.Is(err, minio.ErrExists) {
		t.Errorf("Complete over an object: %v, want ErrExists", err)
	}
	if o, err := s.objects(t, s.Keys.Worker).Stat(t.Context(), key); err != nil || o.Size != 5 {
		t.Errorf("the object: %+v, %v", o, err)
	}
}

func TestAbortUpload(t *testing.T) {
	s := setup(t)
	m, worker := s.multipart(t), s.objects(t, s.Keys.Worker)
	key := newKey(t)
	id := s.begin(t, m, key)
	s.putPart(t, key, id, 1, []byte("x"))
	address, _, err := s.presigner(t).PartURL(t.Context(), key, id, 2, 1, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := worker.AbortUpload(t.Context(), key, id); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.Parts(t.Context(), key, id); !errors.Is(err, minio.ErrNoUpload) {
		t.Errorf("parts: %v, want ErrNoUpload", err)
	}
	if err := m.Complete(t.Context(), key, id, []schema.Part{{Number: 1, ETag: strings.Repeat("0", 32)}}); !errors.Is(err, minio.ErrNoUpload) {
		t.Errorf("complete: %v, want ErrNoUpload", err)
	}
	if status, _, body := do(t, http.MethodPut, address, nil, []byte("x")); status != http.StatusNotFound {
		t.Errorf("a part of a dropped upload: %d %s", status, body)
	}
	if err := s.objects(t, s.Keys.Confirm).AbortUpload(t.Context(), key, id); err == nil {
		t.Error("a key without the right could abort")
	}
	closed, err := minio.NewMultipart(minio.Config{Endpoint: "127.0.0.1:1", Bucket: s.Bucket, Key: s.Keys.Multipart})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := closed.Parts(t.Context(), key, id); !errors.Is(err, minio.ErrUnavailable) {
		t.Errorf("without MinIO: %v, want ErrUnavailable", err)
	}
}

// TestPartURL: what a part's URL is good for is one part of one size of one upload, and nothing else.
func TestPartURL(t *testing.T) {
	s := setup(t)
	m := s.multipart(t)
	key, other := newKey(t), newKey(t)
	id, otherID := s.begin(t, m, key), s.begin(t, m, other)
	address, expiresAt, err := s.presigner(t).PartURL(t.Context(), key, id, 1, 5, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(expiresAt); left < 58*time.Second || left > time.Minute {
		t.Errorf("it lives %s", left)
	}
	changed := func(name, value string) string {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		if q.Del(name); value != "" {
			q.Set(name, value)
		}
		u.RawQuery = q.Encode()
		return u.String()
	}
	for name, test := range map[string]struct {
		address string
		content string
		headers map[string]string
	}{
		"a byte more":           {address, "123456", nil},
		"a byte less":           {address, "1234", nil},
		"another number":        {changed("partNumber", "2"), "12345", nil},
		"another upload":        {changed("uploadId", otherID), "12345", nil},
		"a whole object":        {changed("uploadId", ""), "12345", nil},
		"another key":           {strings.Replace(address, key, other, 1), "12345", nil},
		"another's object read": {address, "12345", map[string]string{"X-Amz-Copy-Source": "/" + s.Bucket + "/" + other}},
	} {
		if status, _, body := do(t, http.MethodPut, test.address, test.headers, []byte(test.content)); status != http.StatusForbidden {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	if got, err := m.Parts(t.Context(), key, id); err != nil || len(got) != 0 {
		t.Errorf("parts: %v, %v", got, err)
	}
	for range 2 {
		if status, _, body := do(t, http.MethodPut, address, nil, []byte("12345")); status != http.StatusOK {
			t.Errorf("as it is: %d %s", status, body)
		}
	}
	for _, number := range []int{0, -1, 10_001} {
		if _, _, err := s.presigner(t).PartURL(t.Context(), key, id, number, 5, time.Minute); err == nil {
			t.Errorf("part %d was signed", number)
		}
	}
}

// TestMultipartKeySignsNoURLs: what it may do it may do with the Authorization header only, which the gateway refuses.
func TestMultipartKeySignsNoURLs(t *testing.T) {
	s := setup(t)
	key := newKey(t)
	client := s.client(t, s.Keys.Multipart)
	for name, test := range map[string]struct {
		method string
		query  url.Values
	}{
		"put": {http.MethodPut, nil}, "begin": {http.MethodPost, url.Values{"uploads": {""}}},
	} {
		u, err := client.Presign(t.Context(), test.method, s.Bucket, key, time.Minute, test.query)
		if err != nil {
			t.Fatal(err)
		}
		if status, _, body := do(t, test.method, u.String(), nil, nil); status != http.StatusForbidden {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
}
