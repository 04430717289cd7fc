package api_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	miniogo "github.com/minio/minio-go/v7"

	"intray/api"
	"intray/schema"
)

func path(d api.Document) string { return "/api/documents/" + d.ID.String() }

// checkExpiry checks that something expires after ttl, with a tolerance of a minute.
func checkExpiry(t testing.TB, what string, expiresAt time.Time, ttl time.Duration) {
	t.Helper()
	if left := time.Until(expiresAt); left > ttl || left < ttl-time.Minute {
		t.Errorf("%s expires in %s, want about %s", what, left, ttl)
	}
}

// TestDocumentLifecycle takes one document from its upload URL to its deletion. The subtests depend
// on each other.
func TestDocumentLifecycle(t *testing.T) {
	b := setup(t)
	content := []byte("Dear Sir, the invoice is due.")
	var u api.UploadURL
	var d api.Document

	step(t, "create an upload URL", func(t *testing.T) {
		b := b.in(t)
		u = as[api.UploadURL](b.alice.post("/api/documents/upload-url", api.UploadRequest{
			Filename:    "Cafe\u0301 menu.txt",
			ContentType: "Text/Plain; charset=UTF-8; x=y",
			Size:        int64(len(content)),
		}).is(201))
		d = u.Document
		if d.Status != api.DocumentStatusPending || d.Filename != "Café menu.txt" ||
			d.ContentType != "text/plain; charset=utf-8" || d.Size != int64(len(content)) {
			t.Fatalf("got document %+v, want it pending, with normalized name and type", d)
		}
		checkExpiry(t, "the upload URL", u.Upload.ExpiresAt, 15*time.Minute)
	})
	step(t, "a pending document has no file", func(t *testing.T) {
		b := b.in(t)
		b.alice.post(path(d)+"/confirm", nil).fails(schema.CodeObjectMissing)
		b.alice.get(path(d) + "/download-url").fails(schema.CodeNotDownloadable)
	})
	step(t, "storage accepts the declared file once", func(t *testing.T) {
		b := b.in(t)
		if got := b.alice.put(u.Upload, content[1:]); got != http.StatusForbidden {
			t.Errorf("PUT of a smaller file: got status %d, want 403", got)
		}
		if got := b.alice.put(u.Upload, content); got != http.StatusOK {
			t.Fatalf("PUT: got status %d, want 200", got)
		}
		if got := b.alice.put(u.Upload, content); got != http.StatusPreconditionFailed {
			t.Errorf("second PUT: got status %d, want 412", got)
		}
	})
	step(t, "confirming without NATS charges the quota once", func(t *testing.T) {
		b := b.in(t)
		got := b.alice.confirm(d)
		if got.Status != api.DocumentStatusUploaded || got.UploadedAt == nil || got.Reason != nil {
			t.Fatalf("got %+v, want it uploaded without a reason", got)
		}
		if got := b.alice.confirm(d); got.Status != api.DocumentStatusUploaded {
			t.Fatalf("confirmed again: got %+v, want it uploaded", got)
		}
		if got := b.alice.me().Quota.UsedBytes; got != int64(len(content)) {
			t.Errorf("got %d used bytes, want %d", got, len(content))
		}
	})
	step(t, "a classified document has its topics by confidence", func(t *testing.T) {
		b := b.in(t)
		letters := b.admin.createSystemTopic("Letters")
		mine := b.alice.createTopic("Mine")
		b.classify(d.ID,
			schema.DocumentTopic{TopicID: letters.ID, Confidence: 40},
			schema.DocumentTopic{TopicID: mine.ID, Confidence: 70})
		got := b.alice.document(d)
		if got.Status != api.DocumentStatusClassified || got.ClassifiedAt == nil ||
			got.ClassifiedBy == nil || got.ClassifiedBy.Provider != "builtin" {
			t.Fatalf("got %+v, want it classified by builtin", got)
		}
		want := []api.DocumentTopic{
			{ID: mine.ID, Name: "Mine", Scope: api.TopicScopeUser, Confidence: 70},
			{ID: letters.ID, Name: "Letters", Scope: api.TopicScopeSystem, Confidence: 40},
		}
		if !slices.Equal(got.Topics, want) {
			t.Errorf("got topics %+v, want %+v", got.Topics, want)
		}
	})
	step(t, "download the file", func(t *testing.T) {
		b := b.in(t)
		download := as[api.DownloadURL](b.alice.get(path(d) + "/download-url").is(200))
		checkExpiry(t, "the download URL", download.ExpiresAt, 5*time.Minute)
		resp, err := b.alice.http.Get(download.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		if err != nil || string(got) != string(content) {
			t.Errorf("got content %q and error %v, want %q", got, err, content)
		}
		if got := resp.Header.Get("Content-Type"); got != "text/plain; charset=utf-8" {
			t.Errorf("got content type %q, want text/plain; charset=utf-8", got)
		}
		disposition := resp.Header.Get("Content-Disposition")
		if !strings.HasPrefix(disposition, "attachment;") ||
			!strings.Contains(disposition, "Caf%C3%A9") {
			t.Errorf("got disposition %q, want an attachment with the filename", disposition)
		}
	})
	step(t, "a deleted document is hidden until its file is gone", func(t *testing.T) {
		b := b.in(t)
		b.alice.delete(path(d)).is(202)
		b.alice.delete(path(d)).is(202)
		if got := b.alice.document(d).Status; got != api.DocumentStatusDeleting {
			t.Fatalf("got status %s, want deleting", got)
		}
		if got := b.alice.documents(); len(got) != 0 {
			t.Errorf("got the listing %+v, want it empty", got)
		}
		b.alice.get(path(d) + "/download-url").fails(schema.CodeNotDownloadable)
		b.alice.confirm(d)
	})
	step(t, "a document without its file does not exist", func(t *testing.T) {
		b := b.in(t)
		b.finishDeletion(d.ID)
		b.alice.get(path(d)).fails(schema.CodeNotFound)
		b.alice.delete(path(d)).fails(schema.CodeNotFound)
		b.alice.post(path(d)+"/confirm", nil).fails(schema.CodeNotFound)
	})
}

// step runs a subtest on which the following ones depend. If it fails, the test ends.
func step(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	if !t.Run(name, f) {
		t.FailNow()
	}
}

// finishDeletion ends the deletion of a document in the same way as the remove consumer.
func (b *bundle) finishDeletion(id uuid.UUID) {
	b.t.Helper()
	gone := func(d *schema.Document, q *schema.Quota, _ time.Time) schema.Decision {
		return d.MarkGone(q, d.ChangedAt)
	}
	if _, err := b.owner.Transition(b.t.Context(), []uuid.UUID{id}, gone); err != nil {
		b.t.Fatal(err)
	}
}

// The remedy in the error depends on whether the upload URL can still be used.
func TestConfirmWithoutObject(t *testing.T) {
	b := setup(t)
	pending := b.alice.requestUpload("pending", 1).Document
	b.alice.post(path(pending)+"/confirm", nil).
		fails(schema.CodeObjectMissing).says("pending", "PUT the file")

	lost := b.alice.confirmed("lost", []byte("x"))
	key := schema.ObjectKey(lost.ID)
	err := b.minio.RemoveObject(t.Context(), b.bucket, key, miniogo.RemoveObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b.alice.post(path(lost)+"/confirm", nil).
		fails(schema.CodeObjectMissing).says("uploaded", "Ask the operator")
}

// A damaged file is not missing, and is no internal error either. Other uploads are confirmed.
func TestConfirmWithDamagedObject(t *testing.T) {
	b := setup(t)
	damaged := b.alice.upload("damaged", []byte("x"))
	restore := b.store.Damage(t, schema.ObjectKey(damaged.ID))
	got := b.alice.post(path(damaged)+"/confirm", nil).fails(schema.CodeUnavailable)
	got.says("cannot read the file")
	if retry := got.header.Get("Retry-After"); retry != "60" {
		t.Errorf("got Retry-After %q, want 60", retry)
	}
	b.alice.confirmed("sound", []byte("x"))
	if d := b.alice.document(damaged); d.Status != api.DocumentStatusPending {
		t.Errorf("got status %s, want pending", d.Status)
	}
	restore()
	if d := b.alice.confirm(damaged); d.Status != api.DocumentStatusUploaded {
		t.Errorf("after the file was healed: got status %s, want uploaded", d.Status)
	}
}

func TestConfirmEnforcesQuota(t *testing.T) {
	b := setup(t)
	content := make([]byte, 1000)
	first, second := b.alice.upload("first", content), b.alice.upload("second", content)
	b.exec(`UPDATE quotas SET limit_bytes = 1500 WHERE user_id = $1`, b.alice.id)

	if got := b.alice.confirm(first); got.Status != api.DocumentStatusUploaded {
		t.Fatalf("first document: got %+v, want it uploaded", got)
	}
	got := b.alice.confirm(second)
	if got.Status != api.DocumentStatusRejected || got.Reason == nil ||
		*got.Reason != api.DocumentReasonQuotaExceeded {
		t.Fatalf("second document: got %+v, want it rejected with quota_exceeded", got)
	}

	// The sweeper deletes the object of a rejected document. Confirming it must not fail then.
	key := schema.ObjectKey(second.ID)
	err := b.minio.RemoveObject(t.Context(), b.bucket, key, miniogo.RemoveObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := b.alice.confirm(second); got.Status != api.DocumentStatusRejected {
		t.Fatalf("second document without its object: got %+v, want it rejected", got)
	}

	tooLarge := api.UploadRequest{Filename: "x", ContentType: "text/plain", Size: 501}
	b.alice.post("/api/documents/upload-url", tooLarge).
		fails(schema.CodeQuotaExceeded).says("501", "500")
	b.alice.requestUpload("x", 500)
}

func TestUploadURLRefusesInvalidRequests(t *testing.T) {
	b := setup(t, func(c *api.Config) { c.Limits.MaxPending = 3; c.Limits.MaxSize = 1 << 20 })
	request := func(t *testing.T, body any, headers ...with) *response {
		t.Helper()
		return b.alice.in(t).post("/api/documents/upload-url", body, headers...)
	}
	type members map[string]any
	file := func(name, contentType string, size int64) members {
		return members{"filename": name, "content_type": contentType, "size": size}
	}
	const (
		invalid = schema.CodeInvalid
		text    = "text/plain"
	)
	raw := func(size string) string {
		return `{"filename":"a","content_type":"text/plain","size":` + size + `}`
	}
	for _, c := range []struct {
		name string
		body any
		code schema.Code
		says string
	}{
		{"no body", nil, invalid, "body is missing"},
		{"not JSON", "{", invalid, "not valid JSON"},
		{"two JSON values", raw("1") + " {}", invalid, "JSON"},
		{"not UTF-8", "{\"filename\":\"\xff\",\"content_type\":\"text/plain\",\"size\":1}", invalid, "UTF-8"},
		{"array", `[]`, invalid, "must be of type object"},
		{"no size", members{"filename": "a", "content_type": text}, invalid, `"size"`},
		{"unknown member", members{"filename": "a", "content_type": text, "size": 1, "owner": "bob"}, invalid, "may only have"},
		{"member in another case", `{"Filename":"a","filename":"a","content_type":"text/plain","size":1}`, invalid, "may only have"},
		{"negative size", file("a", text, -1), invalid, `"size" of the request body must be at least 0`},
		{"size of 2^63", raw("9223372036854775808"), invalid, `"size"`},
		{"size of 1e400", raw("1e400"), invalid, ""},
		{"fractional size", raw("1.5"), invalid, `"size"`},
		{"size as a string", raw(`"1"`), invalid, "type integer"},
		{"file too large", file("a", text, 1<<20+1), schema.CodeTooLarge, "1048576"},
		{"type not allowed", file("a", "video/mp4", 1), schema.CodeTypeNotAllowed, "video/mp4"},
		{"empty type", file("a", "", 1), invalid, `"content_type"`},
		{"type without subtype", file("a", "text", 1), invalid, "content_type"},
		{"wildcard type", file("a", "text/*", 1), invalid, "content_type"},
		{"type with line break", file("a", "text/plain\r\nX: y", 1), invalid, "content_type"},
		{"empty name", file("", text, 1), invalid, `"filename"`},
		{"name of spaces", file(" ", text, 1), invalid, "filename"},
		{"path", file("../../etc/passwd", text, 1), invalid, "filename"},
		{"Windows path", file(`C:\x`, text, 1), invalid, "filename"},
		{"dots", file("..", text, 1), invalid, "filename"},
		{"NUL in name", file("a\x00b", text, 1), invalid, "control characters"},
		{"line break in name", file("a\nb", text, 1), invalid, "control characters"},
		{"text direction override", file("fdp\u202Eexe.pdf", text, 1), invalid, "direction"},
		{"name of 256 characters", file(strings.Repeat("a", 256), text, 1), invalid, "255"},
		{"name of 10,000 characters", file(strings.Repeat("a", 10_000), text, 1), invalid, "255"},
		{"short digest", members{"filename": "a", "content_type": text, "size": 1, "sha256": "abc"}, invalid, `"sha256"`},
		{"body too large", `{"filename":"` + strings.Repeat("a", 70_000) + `"}`, schema.CodeTooLarge, "65536"},
	} {
		t.Run(c.name, func(t *testing.T) { request(t, c.body).fails(c.code).says(c.says) })
	}

	t.Run("headers", func(t *testing.T) {
		form := with{"Content-Type": "application/x-www-form-urlencoded"}
		request(t, "a=b", form).fails(schema.CodeTypeNotAllowed).says("application/json")
		longKey := with{"Idempotency-Key": strings.Repeat("k", 256)}
		request(t, file("a", text, 1), longKey).fails(invalid).says("Idempotency-Key")
		spaceInKey := with{"Idempotency-Key": "with space"}
		request(t, file("a", text, 1), spaceInKey).fails(invalid).
			says("Idempotency-Key", "printable ASCII")
	})
	t.Run("more pending documents than allowed", func(t *testing.T) {
		request(t, file(strings.Repeat("ä", 255), text, 0)).is(201)
		request(t, file("日本語 – “x”.pdf", "APPLICATION/PDF", 1<<20)).is(201)
		request(t, file("c", "application/octet-stream", 1)).is(201)
		request(t, file("d", text, 1)).fails(schema.CodeTooManyPending).says("3")
	})
}

func TestIdempotencyKey(t *testing.T) {
	b := setup(t)
	body := api.UploadRequest{Filename: "a.txt", ContentType: "text/plain", Size: 4}
	request := func(c *client, body api.UploadRequest) *response {
		t.Helper()
		key := with{"Idempotency-Key": "one,two%41"}
		return c.post("/api/documents/upload-url", body, key)
	}
	first := as[api.UploadURL](request(b.alice, body).is(201))
	second := as[api.UploadURL](request(b.alice, body).is(201))
	if got, want := second.Document.ID, first.Document.ID; got != want {
		t.Fatalf("same key: got document %s, want %s", got, want)
	}
	bobs := as[api.UploadURL](request(b.bob, body).is(201))
	if got := bobs.Document.ID; got == first.Document.ID {
		t.Fatalf("same key of another user: got alice's document %s, want a different one", got)
	}
	other := body
	other.Size = 5
	request(b.alice, other).fails(schema.CodeIdempotencyMismatch).says("Idempotency-Key")

	if got := b.alice.put(second.Upload, []byte("1234")); got != 200 {
		t.Fatalf("PUT: got status %d, want 200", got)
	}
	b.alice.confirm(first.Document)
	repeated := as[api.UploadURL](request(b.alice, body).is(200))
	if got := repeated.Document; got.ID != first.Document.ID ||
		got.Status != api.DocumentStatusUploaded {
		t.Errorf("after the upload: got %+v, want the uploaded document %s", got, first.Document.ID)
	}
	if repeated.Upload != nil {
		t.Errorf("after the upload: got %+v, want no URL", repeated.Upload)
	}
}

func TestStorageVerifiesDigest(t *testing.T) {
	b := setup(t)
	content, other := []byte("good"), []byte("evil")
	sum := sha256.Sum256(content)
	digest := strings.ToUpper(hex.EncodeToString(sum[:]))
	u := as[api.UploadURL](b.alice.post("/api/documents/upload-url", api.UploadRequest{
		Filename: "a", ContentType: "text/plain", Size: 4, Sha256: &digest,
	}).is(201))
	if got := b.alice.put(u.Upload, other); got != http.StatusBadRequest {
		t.Errorf("PUT of a different file: got status %d, want 400", got)
	}
	if got := b.alice.put(u.Upload, content); got != http.StatusOK {
		t.Errorf("PUT: got status %d, want 200", got)
	}
}

func TestDocumentETag(t *testing.T) {
	b := setup(t)
	d := b.alice.confirmed("a", []byte("x"))
	get := func(ifNoneMatch string) *response {
		t.Helper()
		return b.alice.get(path(d), with{"If-None-Match": ifNoneMatch})
	}
	etag := b.alice.get(path(d)).is(200).header.Get("ETag")
	if !strings.HasPrefix(etag, `"`) || !strings.HasSuffix(etag, `"`) {
		t.Fatalf("got ETag %s, want it in quotes", etag)
	}
	for _, ifNoneMatch := range []string{etag, "W/" + etag, `"zzz", ` + etag, "*"} {
		got := get(ifNoneMatch).is(304)
		if got.header.Get("ETag") != etag || len(got.body) != 0 {
			t.Errorf("If-None-Match %s: got 304 with ETag %s and body %q, want ETag %s and no body",
				ifNoneMatch, got.header.Get("ETag"), got.body, etag)
		}
	}
	get(`"zzz"`).is(200)

	// Renaming a topic changes the response, but not the document's version.
	topic := b.alice.createTopic("Old")
	b.classify(d.ID, schema.DocumentTopic{TopicID: topic.ID, Confidence: 50})
	etag = get(etag).is(200).header.Get("ETag")
	get(etag).is(304)
	b.alice.patch("/api/topics/"+topic.ID.String(), api.TopicPatch{Name: ptr("New")}).is(200)
	get(etag).is(200)
}

func ptr[T any](v T) *T { return &v }
