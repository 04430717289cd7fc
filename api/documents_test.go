package api_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	miniogo "github.com/minio/minio-go/v7"

	"intray/api"
	"intray/schema"
)

func path(d api.Document) string { return "/api/documents/" + d.ID.String() }

func TestDocumentsWay(t *testing.T) {
	b := setup(t)
	content := []byte("Dear Sir, the invoice is due.")

	u := as[api.UploadURL](b.alice.post("/api/documents/upload-url",
		api.UploadRequest{Filename: "Cafe\u0301 menu.txt", ContentType: "Text/Plain; charset=UTF-8; x=y", Size: int64(len(content))}).is(201))
	d := u.Document
	if d.Status != api.DocumentStatusPending || d.Filename != "Café menu.txt" || d.ContentType != "text/plain; charset=utf-8" || d.Size != int64(len(content)) {
		t.Fatalf("the new document is %+v", d)
	}
	if left := time.Until(u.Upload.ExpiresAt); left < 14*time.Minute || left > 15*time.Minute {
		t.Errorf("the URL lives %s", left)
	}
	b.alice.post(path(d)+"/confirm", nil).fails(schema.CodeObjectMissing)
	b.alice.get(path(d) + "/download-url").fails(schema.CodeNotDownloadable)

	if status := b.alice.put(u.Upload, content[1:]); status != http.StatusForbidden {
		t.Errorf("PUT of another size: %d", status)
	}
	if status := b.alice.put(u.Upload, content); status != http.StatusOK {
		t.Fatalf("PUT: %d", status)
	}
	if status := b.alice.put(u.Upload, content); status != http.StatusPreconditionFailed {
		t.Errorf("second PUT: %d", status)
	}

	confirmed := as[api.Document](b.alice.post(path(d)+"/confirm", nil).is(200)) // NATS is away
	if confirmed.Status != api.DocumentStatusUploaded || confirmed.UploadedAt == nil || confirmed.Reason != nil {
		t.Fatalf("after confirm: %+v", confirmed)
	}
	if again := as[api.Document](b.alice.post(path(d)+"/confirm", nil).is(200)); again.Status != api.DocumentStatusUploaded {
		t.Fatalf("after the second confirm: %+v", again)
	}
	if used := as[api.User](b.alice.get("/api/me").is(200)).Quota.UsedBytes; used != int64(len(content)) {
		t.Errorf("used bytes: %d", used)
	}

	topic := as[api.Topic](b.admin.post("/api/admin/topics", api.NewTopic{Name: "Letters"}).is(201))
	own := as[api.Topic](b.alice.post("/api/topics", api.NewTopic{Name: "Mine"}).is(201))
	b.classify(d.ID, schema.DocumentTopic{TopicID: topic.ID, Confidence: 40}, schema.DocumentTopic{TopicID: own.ID, Confidence: 70})
	classified := as[api.Document](b.alice.get(path(d)).is(200))
	if classified.Status != api.DocumentStatusClassified || len(classified.Topics) != 2 || classified.ClassifiedAt == nil ||
		classified.ClassifiedBy == nil || classified.ClassifiedBy.Provider != "builtin" {
		t.Fatalf("classified: %+v", classified)
	}
	if first, second := classified.Topics[0], classified.Topics[1]; first.Name != "Mine" || first.Scope != api.TopicScopeUser || first.Confidence != 70 ||
		second.Name != "Letters" || second.Scope != api.TopicScopeSystem {
		t.Errorf("topics: %+v", classified.Topics)
	}

	download := as[api.DownloadURL](b.alice.get(path(d) + "/download-url").is(200))
	if left := time.Until(download.ExpiresAt); left > 5*time.Minute || left < 4*time.Minute {
		t.Errorf("the download URL lives %s", left)
	}
	resp, err := b.alice.http.Get(download.URL)
	if err != nil {
		t.Fatal(err)
	}
	got, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if string(got) != string(content) || resp.Header.Get("Content-Type") != "text/plain; charset=utf-8" ||
		!strings.HasPrefix(resp.Header.Get("Content-Disposition"), "attachment;") || !strings.Contains(resp.Header.Get("Content-Disposition"), "Caf%C3%A9") {
		t.Errorf("download: %d %v %s", resp.StatusCode, resp.Header, got)
	}

	b.alice.delete(path(d)).is(202)
	b.alice.delete(path(d)).is(202)
	if deleting := as[api.Document](b.alice.get(path(d)).is(200)); deleting.Status != api.DocumentStatusDeleting {
		t.Fatalf("after DELETE: %+v", deleting)
	}
	if page := as[api.DocumentPage](b.alice.get("/api/documents").is(200)); len(page.Items) != 0 {
		t.Errorf("listed while deleting: %+v", page.Items)
	}
	b.alice.get(path(d) + "/download-url").fails(schema.CodeNotDownloadable)
	b.alice.post(path(d)+"/confirm", nil).is(200)
	gone(b, d.ID)
	b.alice.get(path(d)).fails(schema.CodeNotFound)
	b.alice.delete(path(d)).fails(schema.CodeNotFound)
	b.alice.post(path(d)+"/confirm", nil).fails(schema.CodeNotFound)
}

// gone ends a document as remove would.
func gone(b *bundle, id uuid.UUID) {
	b.t.Helper()
	_, err := b.owner.Transition(b.t.Context(), []uuid.UUID{id}, func(d *schema.Document, q *schema.Quota) schema.Decision {
		return d.MarkGone(q, d.ChangedAt)
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

func TestOverQuota(t *testing.T) {
	b := setup(t)
	content := make([]byte, 1000)
	first, second := b.alice.upload("first", content), b.alice.upload("second", content)
	b.exec(`UPDATE quotas SET limit_bytes = 1500 WHERE user_id = $1`, b.alice.id)

	if d := as[api.Document](b.alice.post(path(first)+"/confirm", nil).is(200)); d.Status != api.DocumentStatusUploaded {
		t.Fatalf("the first: %+v", d)
	}
	d := as[api.Document](b.alice.post(path(second)+"/confirm", nil).is(200))
	if d.Status != api.DocumentStatusRejected || d.Reason == nil || *d.Reason != api.DocumentReasonQuotaExceeded {
		t.Fatalf("the second: %+v", d)
	}
	// As the sweeper would: a rejected document's object goes, and confirm still says what happened.
	key := schema.ObjectKey(second.ID)
	if err := b.minio.RemoveObject(t.Context(), b.bucket, key, miniogo.RemoveObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	if d := as[api.Document](b.alice.post(path(second)+"/confirm", nil).is(200)); d.Status != api.DocumentStatusRejected {
		t.Fatalf("the second without its object: %+v", d)
	}
	b.alice.post("/api/documents/upload-url", api.UploadRequest{Filename: "x", ContentType: "text/plain", Size: 501}).
		fails(schema.CodeQuotaExceeded).says("501", "500")
	b.alice.post("/api/documents/upload-url", api.UploadRequest{Filename: "x", ContentType: "text/plain", Size: 500}).is(201)
}

func TestUploadURLRefusals(t *testing.T) {
	b := setup(t, func(c *api.Config) { c.Limits.MaxPending = 3; c.Limits.MaxSize = 1 << 20 })
	ask := func(t *testing.T, body any, headers ...with) *answer {
		t.Helper()
		return b.alice.in(t).post("/api/documents/upload-url", body, headers...)
	}
	file := func(name, contentType string, size int64) map[string]any {
		return map[string]any{"filename": name, "content_type": contentType, "size": size}
	}
	for _, c := range []struct {
		name string
		body any
		code schema.Code
		says string
	}{
		{"no body", nil, schema.CodeInvalid, "body is missing"},
		{"no JSON", "{", schema.CodeInvalid, "not valid JSON"},
		{"two values", `{"filename":"a","content_type":"text/plain","size":1} {}`, schema.CodeInvalid, "JSON"},
		{"no UTF-8", "{\"filename\":\"\xff\",\"content_type\":\"text/plain\",\"size\":1}", schema.CodeInvalid, "UTF-8"},
		{"an array", `[]`, schema.CodeInvalid, "must be of type object"},
		{"no size", map[string]any{"filename": "a", "content_type": "text/plain"}, schema.CodeInvalid, `"size"`},
		{"an unknown member", map[string]any{"filename": "a", "content_type": "text/plain", "size": 1, "owner": "bob"}, schema.CodeInvalid, "may only have"},
		{"a member in other case", `{"Filename":"a","filename":"a","content_type":"text/plain","size":1}`, schema.CodeInvalid, "may only have"},
		{"a negative size", file("a", "text/plain", -1), schema.CodeInvalid, `"size" of the request body must be at least 0`},
		{"a size of 2^63", `{"filename":"a","content_type":"text/plain","size":9223372036854775808}`, schema.CodeInvalid, `"size"`},
		{"a size of 1e400", `{"filename":"a","content_type":"text/plain","size":1e400}`, schema.CodeInvalid, ""},
		{"half a byte", `{"filename":"a","content_type":"text/plain","size":1.5}`, schema.CodeInvalid, `"size"`},
		{"a size in quotes", `{"filename":"a","content_type":"text/plain","size":"1"}`, schema.CodeInvalid, "type integer"},
		{"too large", file("a", "text/plain", 1<<20+1), schema.CodeTooLarge, "1048576"},
		{"film", file("a", "video/mp4", 1), schema.CodeTypeNotAllowed, "video/mp4"},
		{"no type", file("a", "", 1), schema.CodeInvalid, `"content_type"`},
		{"half a type", file("a", "text", 1), schema.CodeInvalid, "content_type"},
		{"all types", file("a", "text/*", 1), schema.CodeInvalid, "content_type"},
		{"a type with a line break", file("a", "text/plain\r\nX: y", 1), schema.CodeInvalid, "content_type"},
		{"no name", file("", "text/plain", 1), schema.CodeInvalid, `"filename"`},
		{"a name of spaces", file(" ", "text/plain", 1), schema.CodeInvalid, "filename"},
		{"a path", file("../../etc/passwd", "text/plain", 1), schema.CodeInvalid, "filename"},
		{"a Windows path", file(`C:\x`, "text/plain", 1), schema.CodeInvalid, "filename"},
		{"dots", file("..", "text/plain", 1), schema.CodeInvalid, "filename"},
		{"a NUL", file("a\x00b", "text/plain", 1), schema.CodeInvalid, "control characters"},
		{"a line break", file("a\nb", "text/plain", 1), schema.CodeInvalid, "control characters"},
		{"a turned direction", file("fdp\u202Eexe.pdf", "text/plain", 1), schema.CodeInvalid, "direction"},
		{"a long name", file(strings.Repeat("a", 256), "text/plain", 1), schema.CodeInvalid, "255"},
		{"a very long name", file(strings.Repeat("a", 10_000), "text/plain", 1), schema.CodeInvalid, "255"},
		{"half a digest", map[string]any{"filename": "a", "content_type": "text/plain", "size": 1, "sha256": "abc"}, schema.CodeInvalid, `"sha256"`},
		{"a body over the limit", `{"filename":"` + strings.Repeat("a", 70_000) + `"}`, schema.CodeTooLarge, "65536"},
	} {
		t.Run(c.name, func(t *testing.T) { ask(t, c.body).fails(c.code).says(c.says) })
	}
	ask(t, "a=b", with{"Content-Type": "application/x-www-form-urlencoded"}).fails(schema.CodeTypeNotAllowed).says("application/json")
	ask(t, file("a", "text/plain", 1), with{"Idempotency-Key": strings.Repeat("k", 256)}).fails(schema.CodeInvalid).says("Idempotency-Key")
	ask(t, file("a", "text/plain", 1), with{"Idempotency-Key": "with space"}).fails(schema.CodeInvalid).says("Idempotency-Key", "printable ASCII")

	ask(t, file(strings.Repeat("ä", 255), "text/plain", 0)).is(201)
	ask(t, file("日本語 – “x”.pdf", "APPLICATION/PDF", 1<<20)).is(201)
	ask(t, file("c", "application/octet-stream", 1)).is(201)
	ask(t, file("d", "text/plain", 1)).fails(schema.CodeTooManyPending).says("3")
}

func TestIdempotencyKey(t *testing.T) {
	b := setup(t)
	request := api.UploadRequest{Filename: "a.txt", ContentType: "text/plain", Size: 4}
	key := with{"Idempotency-Key": "one,two%41"}
	first := as[api.UploadURL](b.alice.post("/api/documents/upload-url", request, key).is(201))
	second := as[api.UploadURL](b.alice.post("/api/documents/upload-url", request, key).is(201))
	if first.Document.ID != second.Document.ID {
		t.Fatalf("the same key gave %s and %s", first.Document.ID, second.Document.ID)
	}
	if other := as[api.UploadURL](b.bob.post("/api/documents/upload-url", request, key).is(201)); other.Document.ID == first.Document.ID {
		t.Fatal("another user's key gave the same document")
	}
	other := request
	other.Size = 5
	b.alice.post("/api/documents/upload-url", other, key).fails(schema.CodeInvalid).says("Idempotency-Key")
	if status := b.alice.put(second.Upload, []byte("1234")); status != 200 {
		t.Fatalf("PUT: %d", status)
	}
	b.alice.post(path(first.Document)+"/confirm", nil).is(200)
	b.alice.post("/api/documents/upload-url", request, key).fails(schema.CodeWrongStatus).says("uploaded")
}

func TestDigest(t *testing.T) {
	b := setup(t)
	content, other := []byte("good"), []byte("evil")
	sum := sha256.Sum256(content)
	digest := strings.ToUpper(hex.EncodeToString(sum[:]))
	u := as[api.UploadURL](b.alice.post("/api/documents/upload-url",
		api.UploadRequest{Filename: "a", ContentType: "text/plain", Size: 4, Sha256: &digest}).is(201))
	if status := b.alice.put(u.Upload, other); status != http.StatusBadRequest {
		t.Errorf("PUT of other bytes: %d", status)
	}
	if status := b.alice.put(u.Upload, content); status != http.StatusOK {
		t.Errorf("PUT: %d", status)
	}
}

func TestETag(t *testing.T) {
	b := setup(t)
	d := b.alice.confirmed("a", []byte("x"))
	get := func(known string) *answer { return b.alice.get(path(d), with{"If-None-Match": known}) }
	etag := b.alice.get(path(d)).is(200).header.Get("ETag")
	if !strings.HasPrefix(etag, `"`) || !strings.HasSuffix(etag, `"`) {
		t.Fatalf("ETag %s", etag)
	}
	for _, known := range []string{etag, "W/" + etag, `"zzz", ` + etag, "*"} {
		if got := get(known).is(304); got.header.Get("ETag") != etag || len(got.body) != 0 {
			t.Errorf("304 with ETag %s and %q", got.header.Get("ETag"), got.body)
		}
	}
	get(`"zzz"`).is(200)

	// What the answer shows can change while the document's version does not.
	topic := as[api.Topic](b.alice.post("/api/topics", api.NewTopic{Name: "Old"}).is(201))
	b.classify(d.ID, schema.DocumentTopic{TopicID: topic.ID, Confidence: 50})
	etag = get(etag).is(200).header.Get("ETag")
	get(etag).is(304)
	b.alice.do(http.MethodPatch, "/api/topics/"+topic.ID.String(), api.TopicPatch{Name: ptr("New")}).is(200)
	get(etag).is(200)
}

func ptr[T any](v T) *T { return &v }

func TestListing(t *testing.T) {
	b := setup(t)
	var names []string
	for i := range 7 {
		names = append([]string{fmt.Sprintf("Report %d.txt", i)}, names...) // newest first
		b.alice.upload(fmt.Sprintf("Report %d.txt", i), []byte("x"))
	}
	b.bob.upload("Report of bob.txt", []byte("x"))
	list := func(query string) (got []string, next *string) {
		t.Helper()
		page := as[api.DocumentPage](b.alice.get("/api/documents?" + query).is(200))
		for _, d := range page.Items {
			got = append(got, d.Filename)
		}
		return got, page.NextCursor
	}
	var all []string
	for query := "limit=3"; ; {
		got, next := list(query)
		all = append(all, got...)
		if next == nil {
			break
		}
		query = "limit=3&cursor=" + *next
	}
	if fmt.Sprint(all) != fmt.Sprint(names) {
		t.Errorf("by pages: %v", all)
	}
	if got, next := list("limit=7"); len(got) != 7 || next != nil {
		t.Errorf("one full page: %v %v", got, next)
	}
	if got, _ := list("q=REPORT+3"); fmt.Sprint(got) != "[Report 3.txt]" {
		t.Errorf("q: %v", got)
	}
	if got, _ := list("q=%25"); len(got) != 0 {
		t.Errorf("q of %%: %v", got)
	}
	newest := as[api.DocumentPage](b.alice.get("/api/documents?limit=1").is(200)).Items[0]
	b.alice.post(path(newest)+"/confirm", nil).is(200)
	topic := as[api.Topic](b.alice.post("/api/topics", api.NewTopic{Name: "T"}).is(201))
	b.classify(newest.ID, schema.DocumentTopic{TopicID: topic.ID, Confidence: 50})
	if got, _ := list("status=classified&topic=" + topic.ID.String()); fmt.Sprint(got) != fmt.Sprint(names[:1]) {
		t.Errorf("status and topic: %v", got)
	}
	if got, _ := list("status=deleting"); len(got) != 0 {
		t.Errorf("deleting: %v", got)
	}

	for query, says := range map[string]string{
		"limit=0": `"limit" must be at least 1`, "limit=101": `"limit" must be at most 100`, "limit=x": "whole number", "limit=": `"limit"`,
		"limit=1&limit=2": "", "status=gone": `"status" must be one of pending, uploaded`, "topic=x": `"topic"`, "q=": `"q"`, "q=%00": `"q"`, "q=%ff": `"q"`,
		"cursor=x": `"cursor"`, "cursor=" + url.QueryEscape("AQ=="): `"cursor"`, "cursor=" + strings.Repeat("A", 65): `"cursor"`,
	} {
		t.Run(query, func(t *testing.T) {
			a := b.alice.in(t).get("/api/documents?" + query)
			if query == "limit=1&limit=2" && a.status == 200 {
				return // the first one counts
			}
			a.fails(schema.CodeInvalid).says(says)
		})
	}
}
