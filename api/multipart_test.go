package api_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	miniogo "github.com/minio/minio-go/v7"

	"intray/api"
	"intray/infra/gateway"
	"intray/infra/local/localtest"
	"intray/infra/minio"
	"intray/schema"
)

// behindGateway lets the API have the keys of a deployment, and sign for a gateway
// before its MinIO.
func behindGateway(t *testing.T) func(*api.Config) {
	store := localtest.MinIO(t)
	proxy := httptest.NewUnstartedServer(http.NotFoundHandler())
	server := gateway.Server(gateway.Config{
		Upstream: &url.URL{Scheme: "http", Host: store.Endpoint}, Bucket: store.Bucket, Log: slog.New(slog.DiscardHandler),
	})
	proxy.Config = server
	proxy.Start()
	t.Cleanup(proxy.Close)
	public, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	key := func() minio.Key { return minio.Key{Access: rand.Text()[:16], Secret: rand.Text()} }
	keys := minio.Keys{Upload: key(), Multipart: key(), Download: key(), Confirm: key(), Worker: key()}
	if err := minio.Provision(t.Context(), minio.Admin{
		Endpoint: store.Endpoint, RootUser: store.RootUser, RootPassword: store.RootPassword, Bucket: store.Bucket, Keys: keys,
	}); err != nil {
		t.Fatal(err)
	}
	presigner, err := minio.NewPresigner(minio.PresignerConfig{Public: public, Bucket: store.Bucket, Upload: keys.Upload, Download: keys.Download})
	if err != nil {
		t.Fatal(err)
	}
	at := func(key minio.Key) minio.Config {
		return minio.Config{Endpoint: store.Endpoint, Bucket: store.Bucket, Key: key}
	}
	objects, err := minio.NewObjects(at(keys.Confirm))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(objects.Close)
	multipart, err := minio.NewMultipart(at(keys.Multipart))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(multipart.Close)
	return func(c *api.Config) { c.Presigner, c.Objects, c.Multipart = presigner, objects, multipart }
}

const partSize = 8 << 20

// large is a file of three parts, and request what is asked for it.
func large() (content []byte, request api.MultipartRequest) {
	content = bytes.Repeat([]byte("0123456789abcdef"), 2*partSize/16)
	content = append(content, "and the rest"...)
	return content, api.MultipartRequest{Filename: "Großes.txt", ContentType: "text/plain", Size: int64(len(content))}
}

func part(content []byte, number int) []byte {
	return content[(number-1)*partSize : min(number*partSize, len(content))]
}

// begin begins an upload of the content.
func (c *client) begin(request api.MultipartRequest) (api.Document, api.MultipartUpload) {
	c.t.Helper()
	created := as[api.MultipartCreated](c.post("/api/documents/multipart-upload", request).is(201))
	return created.Document, created.Upload
}

// sign asks for the URL of a part.
func (c *client) sign(d api.Document, number int) *answer {
	c.t.Helper()
	return c.post(path(d)+"/multipart-upload/parts/"+itoa(number), nil)
}

// putPart uploads a part as a page of another origin would.
func (c *client) putPart(u api.PartUpload, content []byte) (status int, etag string) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), string(u.Method), u.URL, bytes.NewReader(content))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Origin", "https://app.test")
	resp, err := c.http.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode == 200 && !exposes(resp.Header, "ETag") {
		c.t.Errorf("a page cannot read the ETag: %v", resp.Header)
	}
	return resp.StatusCode, resp.Header.Get("ETag")
}

func exposes(h http.Header, name string) bool {
	if h.Get("Access-Control-Allow-Origin") == "" {
		return false
	}
	for _, exposed := range strings.Split(h.Get("Access-Control-Expose-Headers"), ",") {
		if e := strings.TrimSpace(exposed); e == "*" || strings.EqualFold(e, name) {
			return true
		}
	}
	return false
}

// sendPart signs and uploads a part.
func (c *client) sendPart(d api.Document, number int, content []byte) api.CompletedPart {
	c.t.Helper()
	status, etag := c.putPart(as[api.PartUpload](c.sign(d, number).is(200)), part(content, number))
	if status != 200 {
		c.t.Fatalf("PUT of part %d: %d", number, status)
	}
	return api.CompletedPart{Number: number, Etag: etag}
}

func (c *client) complete(d api.Document, parts ...api.CompletedPart) *answer {
	c.t.Helper()
	return c.post(path(d)+"/multipart-upload/complete", api.CompleteRequest{Parts: parts})
}

// TestUploadInParts is the way of a large file through the gateway, with what goes
// wrong on it, and a page that is loaded anew in the middle.
func TestUploadInParts(t *testing.T) {
	b := setup(t, behindGateway(t))
	content, request := large()
	d, u := b.alice.begin(request)
	if d.Status != api.DocumentStatusPending || d.Size != request.Size || u.PartSize != partSize || u.PartCount != 3 || u.UploadID == "" || !strings.HasSuffix(u.Key, d.ID.String()) {
		t.Fatalf("begun: %+v %+v", d, u)
	}
	if left := time.Until(u.ExpiresAt); left < 59*time.Minute || left > time.Hour {
		t.Errorf("it lives %s", left)
	}

	first := as[api.PartUpload](b.alice.sign(d, 1).is(200))
	if left := time.Until(first.ExpiresAt); left < 14*time.Minute || left > 15*time.Minute {
		t.Errorf("a part's URL lives %s", left)
	}
	for name, wrong := range map[string][]byte{"a byte less": part(content, 1)[1:], "a byte more": content[:partSize+1], "nothing": {}} {
		if status, _ := b.alice.putPart(first, wrong); status != http.StatusForbidden {
			t.Errorf("a part of %s: %d", name, status)
		}
	}
	if status, _ := b.alice.putPart(as[api.PartUpload](b.alice.sign(d, 3).is(200)), part(content, 1)); status != http.StatusForbidden {
		t.Errorf("another part in place of the last: %d", status)
	}
	if status, _ := b.alice.putPart(api.PartUpload{Method: "PUT", URL: strings.Replace(first.URL, "partNumber=1", "partNumber=2", 1)}, part(content, 1)); status != http.StatusForbidden {
		t.Errorf("the first URL for the second part: %d", status)
	}
	b.alice.sign(d, 4).fails(schema.CodeNotFound).says("3 parts")
	b.alice.sign(d, 0).fails(schema.CodeNotFound)
	b.alice.sign(d, 10_001).fails(schema.CodeNotFound)

	third := b.alice.sendPart(d, 3, content)
	status, etag := b.alice.putPart(first, part(content, 1))
	if status != 200 {
		t.Fatalf("the first part: %d", status)
	}
	one := api.CompletedPart{Number: 1, Etag: etag}

	// The page is loaded anew: what arrived is known.
	progress := as[api.MultipartProgress](b.alice.get(path(d) + "/multipart-upload").is(200))
	if progress.Upload.UploadID != u.UploadID || progress.Upload.PartCount != 3 || len(progress.Parts) != 2 ||
		progress.Parts[0] != (api.UploadedPart{Number: 1, Size: partSize, Etag: strings.Trim(one.Etag, `"`)}) ||
		progress.Parts[1] != (api.UploadedPart{Number: 3, Size: 12, Etag: strings.Trim(third.Etag, `"`)}) {
		t.Fatalf("what arrived: %+v", progress)
	}

	two := api.CompletedPart{Number: 2, Etag: strings.Repeat("0", 32)}
	b.alice.complete(d, one, two, third).fails(schema.CodeObjectMissing).says("Part 2")
	two = b.alice.sendPart(d, 2, content)
	b.alice.complete(d, one, third).fails(schema.CodeInvalid).says("part 2")
	b.alice.complete(d, one, two, two, third).fails(schema.CodeInvalid).says("part 2 twice")
	b.alice.complete(d, one, two, third, api.CompletedPart{Number: 4, Etag: two.Etag}).fails(schema.CodeInvalid).says("3 parts")
	b.alice.complete(d, one, two, api.CompletedPart{Number: 3, Etag: two.Etag}).fails(schema.CodeInvalid).says("Part 3", "ETag")
	b.alice.complete(d, one, two, api.CompletedPart{Number: 3, Etag: "x"}).fails(schema.CodeInvalid).says("etag")
	b.alice.complete(d).fails(schema.CodeInvalid)
	b.bob.complete(d, one, two, third).fails(schema.CodeNotFound)
	b.alice.post(path(d)+"/confirm", nil).fails(schema.CodeObjectMissing)

	for range 2 { // the second is for an answer that was lost
		if done := as[api.Document](b.alice.complete(d, third, one, two).is(200)); done.ID != d.ID {
			t.Fatalf("completed: %+v", done)
		}
	}
	done := as[api.Document](b.alice.post(path(d)+"/confirm", nil).is(200))
	if done.Status != api.DocumentStatusUploaded {
		t.Fatalf("confirmed: %+v", done)
	}
	b.alice.complete(d, third, one, two).is(200)
	b.alice.sign(d, 1).fails(schema.CodeWrongStatus)
	b.alice.get(path(d) + "/multipart-upload").fails(schema.CodeWrongStatus)
	b.alice.delete(path(d) + "/multipart-upload").fails(schema.CodeWrongStatus)
	if got := as[api.Document](b.alice.get(path(d)).is(200)); got.Status != api.DocumentStatusUploaded {
		t.Errorf("after the refusals: %+v", got)
	}

	download := as[api.DownloadURL](b.alice.get(path(d) + "/download-url").is(200))
	resp, err := b.alice.http.Get(download.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Equal(got, content) || resp.Header.Get("Content-Type") != "text/plain" || !strings.Contains(resp.Header.Get("Content-Disposition"), "Gro%C3%9Fes.txt") {
		t.Errorf("downloaded %d bytes, %v, %v", len(got), err, resp.Header)
	}
}

// TestPartsOfAnotherSize: whoever has the keys may store what no URL of ours permits;
// it is not taken all the same.
func TestPartsOfAnotherSize(t *testing.T) {
	b := setup(t)
	d, u := b.alice.begin(api.MultipartRequest{Filename: "a", ContentType: "text/plain", Size: 5})
	core := miniogo.Core{Client: b.minio}
	p, err := core.PutObjectPart(t.Context(), b.bucket, u.Key, u.UploadID, 1, strings.NewReader("four"), 4, miniogo.PutObjectPartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b.alice.complete(d, api.CompletedPart{Number: 1, Etag: p.ETag}).fails(schema.CodeObjectMissing).says("4 bytes instead of 5")
	if _, err := core.CompleteMultipartUpload(t.Context(), b.bucket, u.Key, u.UploadID, []miniogo.CompletePart{{PartNumber: 1, ETag: p.ETag}}, miniogo.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	rejected := as[api.Document](b.alice.post(path(d)+"/confirm", nil).is(200))
	if rejected.Status != api.DocumentStatusRejected || rejected.Reason == nil || *rejected.Reason != api.DocumentReasonSizeMismatch {
		t.Errorf("a file of another size: %+v", rejected)
	}
	if again := as[api.Document](b.alice.complete(d, api.CompletedPart{Number: 1, Etag: p.ETag}).is(200)); again.Status != api.DocumentStatusRejected {
		t.Errorf("completed again: %+v", again)
	}
}

func TestAbortingAnUpload(t *testing.T) {
	b := setup(t)
	d, _ := b.alice.begin(api.MultipartRequest{Filename: "a", ContentType: "text/plain", Size: 4})
	one := b.alice.sendPart(d, 1, []byte("four"))
	b.bob.delete(path(d) + "/multipart-upload").fails(schema.CodeNotFound)
	for range 2 {
		b.alice.delete(path(d) + "/multipart-upload").is(202)
	}
	if page := as[api.DocumentPage](b.alice.get("/api/documents").is(200)); len(page.Items) != 0 {
		t.Errorf("listed: %+v", page.Items)
	}
	b.alice.sign(d, 1).fails(schema.CodeWrongStatus)
	b.alice.get(path(d) + "/multipart-upload").fails(schema.CodeWrongStatus)
	b.alice.complete(d, one).fails(schema.CodeWrongStatus)
	due, err := b.owner.DueMultipartAborts(t.Context(), time.Now(), 10)
	if err != nil || len(due) != 1 || due[0].DocumentID != d.ID {
		t.Errorf("to drop: %+v, %v", due, err)
	}
	gone(b, d.ID)
	b.alice.delete(path(d) + "/multipart-upload").fails(schema.CodeNotFound)

	// A file that came by a single PUT has no such upload, and is kept.
	single := b.alice.upload("single", []byte("x"))
	b.alice.delete(path(single) + "/multipart-upload").fails(schema.CodeWrongStatus)
	b.alice.sign(single, 1).fails(schema.CodeWrongStatus)
	b.alice.get(path(single) + "/multipart-upload").fails(schema.CodeWrongStatus)
	// Nor has one whose parts are the file already, be its event late.
	late, _ := b.alice.begin(api.MultipartRequest{Filename: "late", ContentType: "text/plain", Size: 4})
	b.alice.complete(late, b.alice.sendPart(late, 1, []byte("four"))).is(200)
	b.alice.delete(path(late) + "/multipart-upload").fails(schema.CodeWrongStatus)
}

// TestAnUploadThatEnded: storage dropped it, by itself or because it was given up.
func TestAnUploadThatEnded(t *testing.T) {
	b := setup(t)
	request := api.MultipartRequest{Filename: "a", ContentType: "text/plain", Size: 4}
	key := with{"Idempotency-Key": "once"}
	ask := func() api.MultipartCreated {
		t.Helper()
		return as[api.MultipartCreated](b.alice.post("/api/documents/multipart-upload", request, key).is(201))
	}
	first := ask()
	if again := ask(); again.Document.ID != first.Document.ID || again.Upload.UploadID != first.Upload.UploadID {
		t.Errorf("the same key gave %+v and %+v", first, again)
	}
	one := b.alice.sendPart(first.Document, 1, []byte("four"))
	if err := (&miniogo.Core{Client: b.minio}).AbortMultipartUpload(t.Context(), b.bucket, first.Upload.Key, first.Upload.UploadID); err != nil {
		t.Fatal(err)
	}
	b.alice.get(path(first.Document) + "/multipart-upload").fails(schema.CodeWrongStatus)
	b.alice.complete(first.Document, one).fails(schema.CodeWrongStatus)
	// The sweeper, an hour later.
	b.exec(`UPDATE multipart_uploads SET renewed_at = now() - interval '2 hours'`)
	b.exec(`UPDATE documents SET status = 'expired', url_issued_at = now() - interval '2 hours'`)
	if due, err := b.owner.DueMultipartAborts(t.Context(), time.Now(), 10); err != nil || len(due) != 1 {
		t.Fatalf("to drop: %v, %v", due, err)
	}
	b.alice.sign(first.Document, 1).fails(schema.CodeWrongStatus).says("expired")
	second := ask()
	if second.Document.ID != first.Document.ID || second.Upload.UploadID == first.Upload.UploadID {
		t.Fatalf("after its end the same key gave %+v", second)
	}
	// It is confirmed, though its row has expired.
	b.alice.complete(second.Document, b.alice.sendPart(second.Document, 1, []byte("four"))).is(200)
	if d := as[api.Document](b.alice.post(path(first.Document)+"/confirm", nil).is(200)); d.Status != api.DocumentStatusUploaded {
		t.Errorf("confirmed: %+v", d)
	}
	b.alice.post("/api/documents/multipart-upload", request, key).fails(schema.CodeWrongStatus)
}

// TestASlowUploadLives: asking for the URL of a part puts the end off.
func TestASlowUploadLives(t *testing.T) {
	b := setup(t)
	d, _ := b.alice.begin(api.MultipartRequest{Filename: "a", ContentType: "text/plain", Size: 4})
	b.exec(`UPDATE multipart_uploads SET renewed_at = now() - interval '59 minutes'`)
	b.exec(`UPDATE documents SET url_issued_at = now() - interval '59 minutes'`)
	b.alice.sign(d, 1).is(200)
	var issued time.Time
	if err := b.sql.Get(&issued, `SELECT url_issued_at FROM documents`); err != nil || time.Since(issued) > time.Minute {
		t.Errorf("the URL counts as issued at %s, %v", issued, err)
	}
	if u := as[api.MultipartProgress](b.alice.get(path(d) + "/multipart-upload").is(200)).Upload; time.Until(u.ExpiresAt) < 59*time.Minute {
		t.Errorf("it ends at %s", u.ExpiresAt)
	}
}

func TestMultipartRefusals(t *testing.T) {
	b := setup(t, func(c *api.Config) { c.Limits.MaxPending = 1; c.Limits.MaxSize = 1 << 20 })
	b.exec(`UPDATE quotas SET limit_bytes = 1000`)
	ask := func(change map[string]any) *answer {
		t.Helper()
		body := map[string]any{"filename": "a", "content_type": "text/plain", "size": 4}
		for name, value := range change {
			body[name] = value
		}
		return b.alice.post("/api/documents/multipart-upload", body)
	}
	digest := sha256.Sum256(nil)
	ask(map[string]any{"sha256": hex.EncodeToString(digest[:])}).fails(schema.CodeInvalid)
	ask(map[string]any{"size": 0}).fails(schema.CodeInvalid).says("at least 1")
	ask(map[string]any{"size": -1}).fails(schema.CodeInvalid)
	ask(map[string]any{"size": 1<<20 + 1}).fails(schema.CodeTooLarge)
	ask(map[string]any{"size": 1001}).fails(schema.CodeQuotaExceeded)
	ask(map[string]any{"content_type": "video/mp4"}).fails(schema.CodeTypeNotAllowed)
	ask(map[string]any{"filename": "a/b"}).fails(schema.CodeInvalid)
	ask(nil).is(201)
	ask(nil).fails(schema.CodeTooManyPending)
}

// TestMultipartWithoutMinIO: an outage is said to be one.
func TestMultipartWithoutMinIO(t *testing.T) {
	away, err := minio.NewMultipart(minio.Config{Endpoint: "127.0.0.1:1", Bucket: "b", Key: minio.Key{Access: "key", Secret: "secretsecret"}})
	if err != nil {
		t.Fatal(err)
	}
	b := setup(t, func(c *api.Config) { c.Multipart = away })
	b.alice.post("/api/documents/multipart-upload", api.MultipartRequest{Filename: "a", ContentType: "text/plain", Size: 4}).fails(schema.CodeUnavailable)
}

// TestDigestThroughTheGateway: a file with a wrong byte does not get past storage.
func TestDigestThroughTheGateway(t *testing.T) {
	b := setup(t, behindGateway(t))
	content := []byte("good")
	sum := sha256.Sum256(content)
	digest := hex.EncodeToString(sum[:])
	u := as[api.UploadURL](b.alice.post("/api/documents/upload-url",
		api.UploadRequest{Filename: "a", ContentType: "text/plain", Size: 4, Sha256: &digest}).is(201))
	if status := b.alice.put(u.Upload, []byte("goof")); status != http.StatusBadRequest {
		t.Errorf("a wrong byte: %d", status)
	}
	bare := u.Upload
	bare.Headers = map[string]string{"Content-Type": "text/plain", "If-None-Match": "*"}
	if status := b.alice.put(bare, []byte("goof")); status == http.StatusOK {
		t.Error("without the header a wrong byte is taken")
	}
	b.alice.post(path(u.Document)+"/confirm", nil).fails(schema.CodeObjectMissing)
	if status := b.alice.put(u.Upload, content); status != http.StatusOK {
		t.Errorf("as it is: %d", status)
	}
	b.alice.post(path(u.Document)+"/confirm", nil).is(200)
}
