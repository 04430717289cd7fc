package api_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"intray/api"
	"intray/schema"
)

const uploadsPath = "/api/documents/upload-urls"

// uploadResult is an item of the response of CreateUploadURLs.
type uploadResult struct {
	api.UploadURL
	Problem *api.Problem `json:"problem"`
}

// requestUploads requests the upload URLs of several files.
func (c *client) requestUploads(items ...map[string]any) []uploadResult {
	c.t.Helper()
	body := c.post(uploadsPath, map[string]any{"items": items}).is(http.StatusOK)
	got := as[struct{ Items []uploadResult }](body).Items
	if len(got) != len(items) {
		c.t.Fatalf("got %d results, want %d", len(got), len(items))
	}
	return got
}

func item(name string, size any, key string) map[string]any {
	i := map[string]any{"filename": name, "content_type": "text/plain", "size": size}
	if key != "" {
		i["idempotency_key"] = key
	}
	return i
}

func TestSeveralUploadURLs(t *testing.T) {
	b := setup(t, func(c *api.Config) { c.Limits.MaxSize = 1000; c.Limits.MaxPending = 4 })
	b.exec(`UPDATE quotas SET limit_bytes = 100`)
	digest := sha256.Sum256([]byte("abc"))
	withDigest := item("digest", 3, "d")
	withDigest["sha256"] = hex.EncodeToString(digest[:])
	badType := item("film", 1, "")
	badType["content_type"] = "video/mp4"
	type want struct {
		code    api.ProblemCode // "" for a document
		pointer string
	}
	cases := []struct {
		item map[string]any
		want want
	}{
		{item("first", 3, "a"), want{}},
		{withDigest, want{}},
		{item("negative", -1, ""), want{"invalid", "/items/2/size"}},
		{item("text", "1", ""), want{"invalid", "/items/3/size"}},
		{item("a/b", 1, ""), want{"invalid", "/items/4/filename"}},
		{item("large", 1001, ""), want{"too_large", "/items/5/size"}},
		{item("over the quota", 95, ""), want{"quota_exceeded", "/items/6/size"}},
		{item("fits", 94, ""), want{}},
		{item("does not fit any more", 1, ""), want{"quota_exceeded", "/items/8/size"}},
		{badType, want{"type_not_allowed", "/items/9/content_type"}},
		{item("same key", 3, "a"), want{"idempotency_mismatch", "/items/10/idempotency_key"}},
		{item("first", 3, "a"), want{}},
		{map[string]any{"size": 1, "content_type": "text/plain"}, want{"invalid", "/items/12/filename"}},
		{map[string]any{"surplus": 1}, want{"invalid", "/items/13"}},
		{item("key", 1, "with blank"), want{"invalid", "/items/14/idempotency_key"}},
		{item("empty", 0, ""), want{}},
		{item("too many", 0, ""), want{"too_many_pending", ""}},
		{nil, want{"invalid", "/items/17"}},
	}
	items := make([]map[string]any, len(cases))
	for i, c := range cases {
		items[i] = c.item
	}
	got := b.alice.requestUploads(items...)
	for i, c := range cases {
		r := got[i]
		if c.want.code == "" {
			if r.Problem != nil || r.Upload == nil || r.Document.Filename != c.item["filename"] ||
				r.Document.Upload == nil || r.Document.Upload.Multipart {
				t.Errorf("item %d: got %+v, want a pending document with a URL", i, r)
			}
			continue
		}
		p := r.Problem
		if p == nil || p.Code != c.want.code || (p.Pointer == nil) != (c.want.pointer == "") ||
			(p.Pointer != nil && *p.Pointer != c.want.pointer) || p.RequestID == "" || p.Status < 400 {
			t.Errorf("item %d: got %+v, want the problem %+v", i, p, c.want)
		}
	}
	if got[11].Document.ID != got[0].Document.ID {
		t.Errorf("got document %s, want that of the first item, %s",
			got[11].Document.ID, got[0].Document.ID)
	}
	if p := got[8].Problem; p != nil && (p.Left == nil || *p.Left != 0) {
		t.Errorf("got %+v, want 0 bytes left", p)
	}
	if got := b.alice.put(got[1].Upload, []byte("abd")); got != http.StatusBadRequest {
		t.Errorf("PUT of content with another digest: got status %d, want 400", got)
	}
	if got := b.alice.put(got[1].Upload, []byte("abc")); got != http.StatusOK {
		t.Errorf("PUT: got status %d, want 200", got)
	}
}

// A page that repeats a whole request receives the same documents, with URLs for those that still
// await their files.
func TestRepeatedRequestForSeveralUploadURLs(t *testing.T) {
	b := setup(t)
	items := []map[string]any{item("a", 1, "k1"), item("b", 1, "k2"), item("c", 1, "k3")}
	first := b.alice.requestUploads(items...)
	if got := b.alice.put(first[1].Upload, []byte("b")); got != http.StatusOK {
		t.Fatalf("PUT: got status %d, want 200", got)
	}
	b.alice.delete(path(first[2].Document)).is(http.StatusAccepted)
	again := b.alice.requestUploads(items...)
	if again[0].Document.ID != first[0].Document.ID || again[0].Upload == nil {
		t.Errorf("got %+v, want the first document with a URL", again[0])
	}
	if again[1].Document.ID != first[1].Document.ID || again[1].Upload != nil ||
		again[1].Document.Status != api.DocumentStatusUploaded || again[1].Document.Upload != nil {
		t.Errorf("got %+v, want the uploaded document without a URL", again[1])
	}
	if p := again[2].Problem; p == nil || p.Code != "not_found" {
		t.Errorf("got %+v, want the problem not_found", again[2])
	}
	bobs := b.bob.requestUploads(items...)
	if bobs[0].Document.ID == first[0].Document.ID || bobs[0].Upload == nil {
		t.Errorf("got %+v with another user's key, want a new document", bobs[0])
	}
}

func TestLargestRequestForUploadURLs(t *testing.T) {
	b := setup(t)
	items := make([]map[string]any, 101)
	for i := range items {
		n := strconv.Itoa(i)
		items[i] = item(strings.Repeat("𝄞", 250)+n, 1, strings.Repeat("k", 250)+n)
	}
	for _, r := range b.alice.requestUploads(items[:100]...) {
		if r.Problem != nil {
			t.Fatalf("got %+v, want a document", r.Problem)
		}
	}
	escaped := `{"filename":"` + strings.Repeat(`\ud834\udd1e`, 255) +
		`","content_type":"text/plain","size":1e0}`
	body := `{"items":[` + escaped + strings.Repeat(","+escaped, 99) + `]}`
	b.alice.post(uploadsPath, body).is(http.StatusOK)

	b.alice.post(uploadsPath, map[string]any{"items": items}).fails(schema.CodeInvalid).says("100")
	b.alice.post(uploadsPath, map[string]any{"items": []any{}}).fails(schema.CodeInvalid)
	b.alice.post(uploadsPath, map[string]any{"items": 1}).fails(schema.CodeInvalid)
	b.alice.post(uploadsPath, map[string]any{"items": []any{1}, "more": 1}).fails(schema.CodeInvalid)
	b.alice.post(uploadsPath, `{"items":["`+strings.Repeat("x", 512<<10)+`"]}`).
		fails(schema.CodeTooLarge)
	b.alice.post("/api/documents/upload-url", `{"filename":"`+strings.Repeat("x", 64<<10)+`"}`).
		fails(schema.CodeTooLarge)
}

// The whole story of a PUT whose response was lost, through the gateway.
func TestResponseOfPUTIsLost(t *testing.T) {
	b := setup(t, behindGateway(t))
	key := with{"Idempotency-Key": "file-1"}
	body := api.UploadRequest{Filename: "a.txt", ContentType: "text/plain", Size: 5}
	request := func() *response { return b.alice.post("/api/documents/upload-url", body, key) }
	u := as[api.UploadURL](request().is(http.StatusCreated))
	for i, want := range []int{http.StatusOK, http.StatusPreconditionFailed} {
		if got := b.alice.put(u.Upload, []byte("hello")); got != want {
			t.Fatalf("PUT %d: got status %d, want %d", i, got, want)
		}
	}
	got := as[api.UploadURL](request().is(http.StatusOK))
	if got.Document.ID != u.Document.ID || got.Upload != nil ||
		got.Document.Status != api.DocumentStatusUploaded {
		t.Errorf("got %+v, want the uploaded document without a URL", got)
	}
}

func TestExpiredDocumentBecomesPendingAgain(t *testing.T) {
	b := setup(t)
	expire := func() {
		b.exec(`UPDATE documents SET status = 'expired', version = version + 1,
			url_issued_at = now() - interval '61 minutes'`)
	}
	checkPending := func(t *testing.T, d api.Document, multipart bool) {
		t.Helper()
		got := b.alice.document(d)
		if got.Status != api.DocumentStatusPending || got.Upload == nil ||
			got.Upload.Multipart != multipart {
			t.Fatalf("got %+v, want a pending document", got)
		}
		checkExpiry(t, "the document", got.Upload.ExpiresAt, time.Hour)
	}
	t.Run("with the same key", func(t *testing.T) {
		b := b.in(t)
		body := api.UploadRequest{Filename: "a.txt", ContentType: "text/plain", Size: 5}
		key := with{"Idempotency-Key": "k"}
		first := as[api.UploadURL](b.alice.post("/api/documents/upload-url", body, key).is(201))
		expire()
		if got := b.alice.document(first.Document); got.Upload != nil {
			t.Errorf("got %+v, want no upload of an expired document", got)
		}
		again := as[api.UploadURL](b.alice.post("/api/documents/upload-url", body, key).is(201))
		if again.Document.ID != first.Document.ID || again.Upload == nil {
			t.Fatalf("got %+v, want the first document with a URL", again)
		}
		checkPending(t, first.Document, false)
	})
	t.Run("with the URL of a part", func(t *testing.T) {
		b := b.in(t)
		d, _ := b.alice.beginSmall("a", 4)
		expire()
		b.alice.signPart(d, 1).is(200)
		checkPending(t, d, true)
	})
}

// An expired document that becomes pending again counts like a new one.
func TestExpiredDocumentsHaveTheLimitsOfNewOnes(t *testing.T) {
	b := setup(t, func(c *api.Config) { c.Limits.MaxPending = 2 })
	b.exec(`UPDATE quotas SET limit_bytes = 10`)
	single := func(name string, size int64) *response {
		return b.alice.post("/api/documents/upload-url", api.UploadRequest{
			Filename: name, ContentType: "text/plain", Size: size,
		}, with{"Idempotency-Key": name})
	}
	expire := func() {
		b.exec(`UPDATE documents SET status = 'expired', version = version + 1,
			url_issued_at = now() - interval '61 minutes'`)
		b.exec(`UPDATE multipart_uploads SET renewed_at = now() - interval '61 minutes'`)
	}
	parts, _ := b.alice.beginSmall("parts", 5)
	single("a", 6).is(http.StatusCreated)
	expire()
	b.alice.requestUploads(item("b", 6, "b"), item("c", 4, "c"))
	expire()
	got := b.alice.requestUploads(
		item("a", 6, "a"), item("b", 6, "b"), item("b", 6, "b"), item("c", 4, "c"))
	if got[0].Upload == nil || got[3].Upload == nil {
		t.Errorf("got %+v and %+v, want URLs", got[0], got[3])
	}
	for _, i := range []int{1, 2} {
		p := got[i].Problem
		if p == nil || p.Code != "quota_exceeded" || p.Left == nil || *p.Left != 4 {
			t.Errorf("item %d: got %+v, want the problem quota_exceeded with 4 bytes left", i, p)
		}
	}
	single("b", 6).fails(schema.CodeTooManyPending)
	many := map[string]any{"parts": []any{map[string]any{"number": 1}}}
	b.alice.signPart(parts, 1).fails(schema.CodeTooManyPending)
	b.alice.post(path(parts)+"/multipart-upload/parts", many).fails(schema.CodeTooManyPending)
	expire()
	b.exec(`UPDATE quotas SET limit_bytes = 4`)
	single("a", 6).fails(schema.CodeQuotaExceeded)
	b.alice.signPart(parts, 1).fails(schema.CodeQuotaExceeded)
	b.alice.post(path(parts)+"/multipart-upload/parts", many).fails(schema.CodeQuotaExceeded)
	var renewed bool
	err := b.sql.Get(&renewed,
		`SELECT renewed_at > now() - interval '61 minutes' FROM multipart_uploads`)
	if err != nil || renewed {
		t.Error("got the upload renewed by a refused request, want it to stay as it is")
	}
	if got := b.alice.document(parts); got.Status != api.DocumentStatusExpired {
		t.Errorf("got %+v, want an expired document", got)
	}
	b.exec(`UPDATE quotas SET limit_bytes = 10`)
	b.alice.signPart(parts, 1).is(200)
	b.alice.signPart(parts, 1).is(200)
}

// The file of an expired document may have arrived. Then it is confirmed, even if the document
// could not become pending again.
func TestFileOfARefusedRenewalHasArrived(t *testing.T) {
	expire := `UPDATE documents SET status = 'expired', version = version + 1,
		url_issued_at = now() - interval '61 minutes' WHERE filename = 'a'`
	tooMany := func(b *bundle) { b.alice.requestUpload("pending", 1) }
	tooLarge := func(b *bundle) { b.exec(`UPDATE quotas SET limit_bytes = 4`) }
	for name, test := range map[string]struct {
		prepare func(b *bundle)
		want    api.DocumentStatus
	}{
		"too many pending": {tooMany, api.DocumentStatusUploaded},
		"quota exceeded":   {tooLarge, api.DocumentStatusRejected},
	} {
		t.Run(name, func(t *testing.T) {
			t.Run("key", func(t *testing.T) {
				b := setup(t, func(c *api.Config) { c.Limits.MaxPending = 1 })
				body := api.UploadRequest{Filename: "a", ContentType: "text/plain", Size: 5}
				key := with{"Idempotency-Key": "k"}
				first := as[api.UploadURL](b.alice.post("/api/documents/upload-url", body, key).is(201))
				b.alice.put(first.Upload, []byte("hello"))
				b.exec(expire)
				test.prepare(b)
				got := as[api.UploadURL](b.alice.post("/api/documents/upload-url", body, key).is(200))
				if got.Upload != nil || got.Document.Status != test.want {
					t.Errorf("got %+v, want no upload of a document that is %s", got, test.want)
				}
			})
			t.Run("part", func(t *testing.T) {
				b := setup(t, func(c *api.Config) { c.Limits.MaxPending = 1 })
				d, _ := b.alice.beginSmall("a", 5)
				u := as[api.PartUpload](b.alice.signPart(d, 1).is(200))
				b.alice.putPart(u, []byte("hello"))
				b.alice.post(path(d)+"/multipart-upload/complete", nil).is(200)
				// As after a crash between the completion and its record.
				b.exec(`INSERT INTO multipart_uploads
						(upload_id, document_id, user_id, object_key, size, part_size)
					SELECT 'completed', id, user_id, object_key, size, size FROM documents`)
				b.exec(expire)
				test.prepare(b)
				b.alice.signPart(d, 1).fails(schema.CodeWrongStatus).says(string(test.want))
			})
		})
	}
}

func TestPartsWithDigests(t *testing.T) {
	b := setup(t, behindGateway(t))
	content, request := threePartFile()
	d, _ := b.alice.begin(request)
	partsPath := path(d) + "/multipart-upload/parts"
	digest := func(number int) string {
		sum := sha256.Sum256(part(content, number))
		return hex.EncodeToString(sum[:])
	}
	parts := func(parts ...map[string]any) map[string]any { return map[string]any{"parts": parts} }
	b.bob.post(partsPath, parts(map[string]any{"number": 1})).fails(schema.CodeNotFound)
	b.bob.post(partsPath+"/1", map[string]any{"sha256": digest(1)}).fails(schema.CodeNotFound)
	b.bob.post(path(d)+"/multipart-upload/complete", nil).fails(schema.CodeNotFound)
	surplus := b.alice.post(partsPath, parts(map[string]any{"number": 1}, map[string]any{"number": 4}))
	surplus.fails(schema.CodeInvalid).says("3 parts")
	p := surplus.problem()
	if p.Pointer == nil || *p.Pointer != "/parts/1/number" {
		t.Errorf("got pointer %v, want /parts/1/number", p.Pointer)
	}
	items := as[api.PartUploads](b.alice.post(partsPath, parts(
		map[string]any{"number": 3, "sha256": digest(3)}, map[string]any{"number": 1},
	)).is(200)).Items
	if len(items) != 2 || items[0].Number != 3 || items[1].Number != 1 {
		t.Fatalf("got %+v, want the URLs of parts 3 and 1", items)
	}
	second := as[api.PartUpload](
		b.alice.post(partsPath+"/2", map[string]any{"sha256": digest(2)}).is(200))
	b.alice.post(path(d)+"/multipart-upload/complete", "{}").fails(schema.CodeObjectMissing).
		says("Part 1")
	for _, u := range []api.PartUpload{items[0], second} {
		wrong := append([]byte("?"), part(content, u.Number)[1:]...)
		if got, _ := b.alice.putPart(u, wrong); got != http.StatusBadRequest {
			t.Errorf("PUT of part %d with another digest: got status %d, want 400", u.Number, got)
		}
		withoutHeader := u
		withoutHeader.Headers = nil
		if got, _ := b.alice.putPart(withoutHeader, part(content, u.Number)); got < 400 {
			t.Errorf("PUT of part %d without its header: got status %d, want an error", u.Number, got)
		}
	}
	for _, u := range append(items, second) {
		if got, _ := b.alice.putPart(u, part(content, u.Number)); got != http.StatusOK {
			t.Fatalf("PUT of part %d: got status %d, want 200", u.Number, got)
		}
	}
	b.alice.post(path(d)+"/multipart-upload/complete", nil).is(200)
	if got := b.alice.confirm(d); got.Status != api.DocumentStatusUploaded {
		t.Errorf("got %+v, want it uploaded", got)
	}
	b.alice.post(path(d)+"/multipart-upload/complete", "{}").is(200)
}

// A body that may be absent may also be absent from a request that does not declare its length.
func TestAbsentBodyWithoutLength(t *testing.T) {
	b := setup(t)
	d, _ := b.alice.beginSmall("a", 4)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		b.base+path(d)+"/multipart-upload/parts/1", io.NopCloser(strings.NewReader("")))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+b.alice.token)
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var got json.RawMessage
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || resp.StatusCode != 200 {
		t.Errorf("got status %d, %s and error %v, want 200", resp.StatusCode, got, err)
	}
}

// Each of several identical requests at the same time gets the same documents.
func TestSameRequestsAtTheSameTime(t *testing.T) {
	b := setup(t)
	items := make([]map[string]any, 100)
	for i := range items {
		items[i] = item(strconv.Itoa(i), 1, "key"+strconv.Itoa(i))
	}
	const n = 4
	results := make(chan string, n)
	for range n {
		go func() {
			var ids []string
			defer func() { results <- strings.Join(ids, " ") }() // also if the request fails
			for _, r := range b.alice.requestUploads(items...) {
				ids = append(ids, r.Document.ID.String())
			}
		}()
	}
	first := <-results
	for range n - 1 {
		if got := <-results; got != first {
			t.Errorf("got the documents %s, want %s", got, first)
		}
	}
}
