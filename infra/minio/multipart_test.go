package minio_test

import (
	"bytes"
	"errors"
	"io"
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

// minPartSize is the smallest size that S3 accepts for a part other than the last one.
const minPartSize = 5 << 20

func (s *stack) multipart(t *testing.T) *minio.Multipart {
	t.Helper()
	config := minio.Config{Endpoint: s.Endpoint, Bucket: s.Bucket, Key: s.Keys.Multipart}
	m, err := minio.NewMultipart(config)
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

// putPart uploads a part as a browser would.
func (s *stack) putPart(
	t *testing.T, key, uploadID string, number int, content []byte,
) schema.Part {
	t.Helper()
	size := int64(len(content))
	address, _, _, err := s.presigner(t).PartURL(
		t.Context(), key, uploadID, number, size, nil, minio.Allowance{}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	status, header, body := do(t, http.MethodPut, address, nil, content)
	if status != http.StatusOK {
		t.Fatalf("PUT part %d: got status %d %s, want 200", number, status, body)
	}
	return schema.Part{Number: number, Size: size, ETag: strings.Trim(header.Get("ETag"), `"`)}
}

func TestMultipartUpload(t *testing.T) {
	s := setup(t)
	m, objects := s.multipart(t), s.objects(t, s.Keys.Worker)
	key := newKey(t)
	id := s.begin(t, m, key)
	first, last := bytes.Repeat([]byte("a"), minPartSize), []byte("the end")
	parts := []schema.Part{{}, s.putPart(t, key, id, 2, last)}
	s.putPart(t, key, id, 1, []byte("replaced by the next PUT"))
	parts[0] = s.putPart(t, key, id, 1, first)

	t.Run("a part that is uploaded again replaces the first", func(t *testing.T) {
		if got, err := m.Parts(t.Context(), key, id); err != nil || !slices.Equal(got, parts) {
			t.Errorf("Parts: got %v, %v; want %v", got, err, parts)
		}
	})
	t.Run("there is no object before Complete", func(t *testing.T) {
		if _, err := objects.Stat(t.Context(), key); !errors.Is(err, minio.ErrNotExist) {
			t.Errorf("Stat: got %v, want ErrNotExist", err)
		}
	})
	t.Run("Complete rejects wrong parts", func(t *testing.T) {
		wrong := slices.Clone(parts)
		wrong[1].ETag = strings.Repeat("0", 32)
		missing := append(slices.Clone(parts), schema.Part{Number: 3, ETag: wrong[1].ETag})
		for name, list := range map[string][]schema.Part{
			"a wrong ETag": wrong, "a part that was not uploaded": missing,
		} {
			if err := m.Complete(t.Context(), key, id, list); !errors.Is(err, minio.ErrChanged) {
				t.Errorf("%s: got %v, want ErrChanged", name, err)
			}
		}
	})
	if err := m.Complete(t.Context(), key, id, parts); err != nil {
		t.Fatal(err)
	}
	t.Run("a completed upload does not exist", func(t *testing.T) {
		err := m.Complete(t.Context(), key, id, parts)
		if !errors.Is(err, minio.ErrNoUpload) && !errors.Is(err, minio.ErrExists) {
			t.Errorf("second Complete: got %v, want ErrNoUpload or ErrExists", err)
		}
		if _, err := m.Parts(t.Context(), key, id); !errors.Is(err, minio.ErrNoUpload) {
			t.Errorf("Parts: got %v, want ErrNoUpload", err)
		}
	})
	object, err := objects.Stat(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("the object has the size and an ETag with the number of parts", func(t *testing.T) {
		etag := regexp.MustCompile(`^[0-9a-f]{32}-2$`)
		if object.Size != minPartSize+7 || !etag.MatchString(object.ETag) {
			t.Errorf("got %+v, want %d bytes and an ETag like %s", object, minPartSize+7, etag)
		}
	})
	t.Run("a listing shows the same object", func(t *testing.T) {
		for listed, err := range objects.List(t.Context(), key, "") {
			if err != nil || listed.ETag != object.ETag || listed.Size != object.Size {
				t.Errorf("got %+v, %v; want %+v", listed, err, object)
			}
		}
	})
	t.Run("Get requires the whole ETag", func(t *testing.T) {
		_, _, err := objects.Get(t.Context(), key, strings.TrimSuffix(object.ETag, "-2"))
		if !errors.Is(err, minio.ErrChanged) {
			t.Errorf("Get without the number of parts: got %v, want ErrChanged", err)
		}
		body, _, err := objects.Get(t.Context(), key, object.ETag)
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		content, err := io.ReadAll(body)
		if err != nil || !bytes.Equal(content, append(first, last...)) {
			t.Errorf("read: got %d bytes, %v; want both parts", len(content), err)
		}
	})
	t.Run("the object has the content type that was passed to Begin", func(t *testing.T) {
		info, err := s.root.StatObject(t.Context(), s.Bucket, key, miniogo.StatObjectOptions{})
		if err != nil || info.ContentType != "text/plain" {
			t.Errorf("got content type %q, %v; want text/plain", info.ContentType, err)
		}
	})
}

func TestCompleteDoesNotReplaceAnObject(t *testing.T) {
	s := setup(t)
	m := s.multipart(t)
	key := newKey(t)
	id := s.begin(t, m, key)
	part := s.putPart(t, key, id, 1, []byte("late"))
	s.put(t, key, "first")
	err := m.Complete(t.Context(), key, id, []schema.Part{part})
	if !errors.Is(err, minio.ErrExists) {
		t.Errorf("Complete: got %v, want ErrExists", err)
	}
	if o, err := s.objects(t, s.Keys.Worker).Stat(t.Context(), key); err != nil || o.Size != 5 {
		t.Errorf("Stat: got %+v, %v; want the first object with 5 bytes", o, err)
	}
}

func TestAbortUpload(t *testing.T) {
	s := setup(t)
	m, worker := s.multipart(t), s.objects(t, s.Keys.Worker)
	key := newKey(t)
	id := s.begin(t, m, key)
	s.putPart(t, key, id, 1, []byte("x"))
	address, _, _, err := s.presigner(t).PartURL(
		t.Context(), key, id, 2, 1, nil, minio.Allowance{}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := worker.AbortUpload(t.Context(), key, id); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("the upload does not exist", func(t *testing.T) {
		if _, err := m.Parts(t.Context(), key, id); !errors.Is(err, minio.ErrNoUpload) {
			t.Errorf("Parts: got %v, want ErrNoUpload", err)
		}
		parts := []schema.Part{{Number: 1, ETag: strings.Repeat("0", 32)}}
		if err := m.Complete(t.Context(), key, id, parts); !errors.Is(err, minio.ErrNoUpload) {
			t.Errorf("Complete: got %v, want ErrNoUpload", err)
		}
	})
	t.Run("a part can no longer be uploaded", func(t *testing.T) {
		status, _, body := do(t, http.MethodPut, address, nil, []byte("x"))
		if status != http.StatusNotFound {
			t.Errorf("PUT: got status %d %s, want 404", status, body)
		}
	})
	t.Run("the confirm key has no permission", func(t *testing.T) {
		if err := s.objects(t, s.Keys.Confirm).AbortUpload(t.Context(), key, id); err == nil {
			t.Error("AbortUpload with the confirm key: got success, want an error")
		}
	})
}

func TestMultipartWithoutMinIOIsUnavailable(t *testing.T) {
	config := minio.Config{
		Endpoint: "127.0.0.1:1", Bucket: "documents", Key: minio.Key{Access: "any", Secret: "any"},
	}
	m, err := minio.NewMultipart(config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Parts(t.Context(), "documents/a", "b"); !errors.Is(err, minio.ErrUnavailable) {
		t.Errorf("Parts: got %v, want ErrUnavailable", err)
	}
}

func TestPartURLAcceptsOnlyWhatItSigned(t *testing.T) {
	s := setup(t)
	m := s.multipart(t)
	key, other := newKey(t), newKey(t)
	id, otherID := s.begin(t, m, key), s.begin(t, m, other)
	address, _, _, err := s.presigner(t).PartURL(
		t.Context(), key, id, 1, 5, nil, minio.Allowance{}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	// with returns the URL with a different value of the parameter, or without the parameter if the
	// value is empty.
	with := func(name, value string) string {
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
	copySource := map[string]string{"X-Amz-Copy-Source": "/" + s.Bucket + "/" + other}
	for name, test := range map[string]struct {
		address string
		content string
		headers map[string]string
	}{
		"one byte too many":      {address, "123456", nil},
		"one byte too few":       {address, "1234", nil},
		"another part":           {with("partNumber", "2"), "12345", nil},
		"another upload":         {with("uploadId", otherID), "12345", nil},
		"a whole object":         {with("uploadId", ""), "12345", nil},
		"another key":            {strings.Replace(address, key, other, 1), "12345", nil},
		"copy of another object": {address, "12345", copySource},
	} {
		t.Run(name, func(t *testing.T) {
			content := []byte(test.content)
			status, _, body := do(t, http.MethodPut, test.address, test.headers, content)
			if status != http.StatusForbidden {
				t.Errorf("PUT: got status %d %s, want 403", status, body)
			}
		})
	}
	t.Run("nothing was stored", func(t *testing.T) {
		if got, err := m.Parts(t.Context(), key, id); err != nil || len(got) != 0 {
			t.Errorf("Parts: got %v, %v; want none", got, err)
		}
	})
	t.Run("the signed part can be sent twice", func(t *testing.T) {
		for range 2 {
			status, _, body := do(t, http.MethodPut, address, nil, []byte("12345"))
			if status != http.StatusOK {
				t.Errorf("PUT: got status %d %s, want 200", status, body)
			}
		}
	})
}

func TestPartURLExpires(t *testing.T) {
	s := setup(t)
	key := newKey(t)
	before := time.Now()
	_, _, expiresAt, err := s.presigner(t).PartURL(
		t.Context(), key, "upload", 1, 5, nil, minio.Allowance{}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	// The signing time in the URL is in whole seconds.
	earliest, latest := before.Add(time.Minute-time.Second), time.Now().Add(time.Minute)
	if expiresAt.Before(earliest) || expiresAt.After(latest) {
		t.Errorf("got expiry %s, want from %s to %s", expiresAt, earliest, latest)
	}
}

func TestPartURLRejectsInvalidNumbers(t *testing.T) {
	presigner := setup(t).presigner(t)
	for _, number := range []int{0, -1, 10_001} {
		address, _, _, err := presigner.PartURL(
			t.Context(), newKey(t), "upload", number, 5, nil, minio.Allowance{}, time.Minute)
		if err == nil {
			t.Errorf("part %d: got %s, want an error", number, address)
		}
	}
}

// The multipart key works in the Authorization header only, which the gateway refuses.
func TestMultipartKeyCannotSignURLs(t *testing.T) {
	s := setup(t)
	key := newKey(t)
	client := s.client(t, s.Keys.Multipart)
	for name, test := range map[string]struct {
		method string
		query  url.Values
	}{
		"put an object":   {http.MethodPut, nil},
		"start an upload": {http.MethodPost, url.Values{"uploads": {""}}},
	} {
		u, err := client.Presign(t.Context(), test.method, s.Bucket, key, time.Minute, test.query)
		if err != nil {
			t.Fatal(err)
		}
		status, _, body := do(t, test.method, u.String(), nil, nil)
		if status != http.StatusForbidden {
			t.Errorf("%s: got status %d %s, want 403", name, status, body)
		}
	}
}
