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
	"slices"
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

// behindGateway starts a gateway in front of MinIO. It returns a function that configures the API
// to issue URLs of the gateway and to use the same restricted MinIO keys as in a deployment.
func behindGateway(t *testing.T) func(*api.Config) {
	store := localtest.MinIO(t)
	proxy := httptest.NewUnstartedServer(http.NotFoundHandler())
	proxy.Config = gateway.Server(gateway.Config{
		Upstream: &url.URL{Scheme: "http", Host: store.Endpoint},
		Bucket:   store.Bucket,
		Log:      slog.New(slog.DiscardHandler),
	})
	proxy.Start()
	t.Cleanup(proxy.Close)
	public, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	key := func() minio.Key { return minio.Key{Access: rand.Text()[:16], Secret: rand.Text()} }
	keys := minio.Keys{
		Upload: key(), Multipart: key(), Download: key(), Confirm: key(), Worker: key(),
	}
	if err := minio.Provision(t.Context(), minio.Admin{
		Endpoint:     store.Endpoint,
		RootUser:     store.RootUser,
		RootPassword: store.RootPassword,
		Bucket:       store.Bucket,
		Keys:         keys,
	}); err != nil {
		t.Fatal(err)
	}
	presigner, err := minio.NewPresigner(minio.PresignerConfig{
		Public: public, Bucket: store.Bucket, Upload: keys.Upload, Download: keys.Download,
	})
	if err != nil {
		t.Fatal(err)
	}
	withKey := func(key minio.Key) minio.Config {
		return minio.Config{Endpoint: store.Endpoint, Bucket: store.Bucket, Key: key}
	}
	objects, err := minio.NewObjects(withKey(keys.Confirm))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(objects.Close)
	multipart, err := minio.NewMultipart(withKey(keys.Multipart))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(multipart.Close)
	return func(c *api.Config) {
		c.Presigner, c.Objects, c.Multipart = presigner, objects, multipart
	}
}

const partSize = 8 << 20

// threePartFile returns a file that is uploaded in three parts, and the request for its upload.
func threePartFile() (content []byte, request api.MultipartRequest) {
	content = bytes.Repeat([]byte("0123456789abcdef"), 2*partSize/16)
	content = append(content, "and the rest"...)
	return content, api.MultipartRequest{
		Filename: "Großes.txt", ContentType: "text/plain", Size: int64(len(content)),
	}
}

// part returns the content of a part of the file.
func part(content []byte, number int) []byte {
	return content[(number-1)*partSize : min(number*partSize, len(content))]
}

// begin begins a multipart upload.
func (c *client) begin(request api.MultipartRequest) (api.Document, api.MultipartUpload) {
	c.t.Helper()
	response := c.post("/api/documents/multipart-upload", request).is(201)
	created := as[api.MultipartCreated](response)
	return created.Document, *created.Upload
}

// beginSmall begins a multipart upload of a text file of size bytes.
func (c *client) beginSmall(name string, size int) (api.Document, api.MultipartUpload) {
	c.t.Helper()
	return c.begin(api.MultipartRequest{
		Filename: name, ContentType: "text/plain", Size: int64(size),
	})
}

// signPart requests the URL of a part.
func (c *client) signPart(d api.Document, number int) *response {
	c.t.Helper()
	return c.post(path(d)+"/multipart-upload/parts/"+itoa(number), nil)
}

// putPart sends a part as a page of another origin would.
func (c *client) putPart(u api.PartUpload, content []byte) (status int, etag string) {
	c.t.Helper()
	body := bytes.NewReader(content)
	r, err := http.NewRequestWithContext(c.t.Context(), string(u.Method), u.URL, body)
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Origin", "https://app.test")
	for name, value := range u.Headers {
		r.Header.Set(name, value)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode == 200 && !exposes(resp.Header, "ETag") {
		c.t.Errorf("got headers %v, want the ETag exposed to pages of other origins", resp.Header)
	}
	return resp.StatusCode, resp.Header.Get("ETag")
}

// exposes reports whether pages of other origins can read the header.
func exposes(h http.Header, name string) bool {
	if h.Get("Access-Control-Allow-Origin") == "" {
		return false
	}
	for exposed := range strings.SplitSeq(h.Get("Access-Control-Expose-Headers"), ",") {
		if e := strings.TrimSpace(exposed); e == "*" || strings.EqualFold(e, name) {
			return true
		}
	}
	return false
}

// uploadPart requests the URL of a part and sends the part.
func (c *client) uploadPart(d api.Document, number int, content []byte) api.CompletedPart {
	c.t.Helper()
	url := as[api.PartUpload](c.signPart(d, number).is(200))
	status, etag := c.putPart(url, part(content, number))
	if status != 200 {
		c.t.Fatalf("PUT of part %d: got status %d, want 200", number, status)
	}
	return api.CompletedPart{Number: number, Etag: etag}
}

func (c *client) complete(d api.Document, parts ...api.CompletedPart) *response {
	c.t.Helper()
	return c.post(path(d)+"/multipart-upload/complete", api.CompleteRequest{Parts: &parts})
}

// TestMultipartLifecycle uploads a file in three parts through a gateway, with errors in between.
// The subtests depend on each other.
func TestMultipartLifecycle(t *testing.T) {
	b := setup(t, behindGateway(t))
	content, request := threePartFile()
	var (
		d             api.Document
		u             api.MultipartUpload
		first         api.PartUpload
		part1, part3  api.CompletedPart
		part2         = api.CompletedPart{Number: 2, Etag: strings.Repeat("0", 32)}
		multipartPath string
	)

	step(t, "begin the upload", func(t *testing.T) {
		b := b.in(t)
		d, u = b.alice.begin(request)
		multipartPath = path(d) + "/multipart-upload"
		if d.Status != api.DocumentStatusPending || d.Size != request.Size {
			t.Errorf("got document %+v, want it pending with size %d", d, request.Size)
		}
		if u.PartSize != partSize || u.PartCount != 3 || u.UploadID == "" ||
			!strings.HasSuffix(u.Key, d.ID.String()) {
			t.Fatalf("got upload %+v, want 3 parts of %d bytes", u, partSize)
		}
		checkExpiry(t, "the upload", u.ExpiresAt, time.Hour)
	})
	step(t, "a URL accepts only its own part with its size", func(t *testing.T) {
		b := b.in(t)
		first = as[api.PartUpload](b.alice.signPart(d, 1).is(200))
		checkExpiry(t, "the URL of a part", first.ExpiresAt, 15*time.Minute)
		second := first
		second.URL = strings.Replace(first.URL, "partNumber=1", "partNumber=2", 1)
		last := as[api.PartUpload](b.alice.signPart(d, 3).is(200))
		for _, c := range []struct {
			name    string
			url     api.PartUpload
			content []byte
			want    int
		}{
			{"one byte less", first, part(content, 1)[1:], 400},
			{"one byte more", first, content[:partSize+1], 400},
			{"empty part", first, nil, 400},
			{"full part as the last one", last, part(content, 1), 400},
			{"URL changed to another part", second, part(content, 1), 403},
		} {
			if got, _ := b.alice.putPart(c.url, c.content); got != c.want {
				t.Errorf("%s: got status %d, want %d", c.name, got, c.want)
			}
		}
	})
	step(t, "part numbers beyond the last one are not found", func(t *testing.T) {
		b := b.in(t)
		b.alice.signPart(d, 4).fails(schema.CodeNotFound).says("3 parts")
		b.alice.signPart(d, 0).fails(schema.CodeNotFound).says("from 1 to 800")
		b.alice.signPart(d, 801).fails(schema.CodeNotFound)
	})
	step(t, "list the uploaded parts", func(t *testing.T) {
		b := b.in(t)
		part3 = b.alice.uploadPart(d, 3, content)
		status, etag := b.alice.putPart(first, part(content, 1))
		if status != 200 {
			t.Fatalf("PUT of part 1: got status %d, want 200", status)
		}
		part1 = api.CompletedPart{Number: 1, Etag: etag}
		got := as[api.MultipartProgress](b.alice.get(multipartPath).is(200))
		want := []api.UploadedPart{
			{Number: 1, Size: partSize, Etag: strings.Trim(part1.Etag, `"`)},
			{Number: 3, Size: 12, Etag: strings.Trim(part3.Etag, `"`)},
		}
		if got.Upload.UploadID != u.UploadID || got.Upload.PartCount != 3 ||
			!slices.Equal(got.Parts, want) {
			t.Fatalf("got %+v, want upload %s with the parts %+v", got, u.UploadID, want)
		}
	})
	step(t, "the upload cannot be completed without all parts", func(t *testing.T) {
		b := b.in(t)
		b.alice.complete(d, part1, part2, part3).fails(schema.CodeObjectMissing).says("Part 2")
		part2 = b.alice.uploadPart(d, 2, content)
		part4 := api.CompletedPart{Number: 4, Etag: part2.Etag}
		wrong3 := api.CompletedPart{Number: 3, Etag: part2.Etag}
		malformed3 := api.CompletedPart{Number: 3, Etag: "x"}
		for _, c := range []struct {
			name  string
			parts []api.CompletedPart
			says  []string
		}{
			{"missing part", []api.CompletedPart{part1, part3}, []string{"part 2"}},
			{"duplicate part", []api.CompletedPart{part1, part2, part2, part3}, []string{"part 2 twice"}},
			{"surplus part", []api.CompletedPart{part1, part2, part3, part4}, []string{"3 parts"}},
			{"wrong ETag", []api.CompletedPart{part1, part2, wrong3}, []string{"Part 3", "ETag"}},
			{"malformed ETag", []api.CompletedPart{part1, part2, malformed3}, []string{"etag"}},
			{"no parts", nil, nil},
		} {
			t.Run(c.name, func(t *testing.T) {
				b.alice.in(t).complete(d, c.parts...).fails(schema.CodeInvalid).says(c.says...)
			})
		}
		b.bob.complete(d, part1, part2, part3).fails(schema.CodeNotFound)
		b.alice.post(path(d)+"/confirm", nil).fails(schema.CodeObjectMissing)
	})
	step(t, "completing can be repeated", func(t *testing.T) {
		b := b.in(t)
		for range 2 {
			done := as[api.Document](b.alice.complete(d, part3, part1, part2).is(200))
			if done.ID != d.ID {
				t.Fatalf("got document %s, want %s", done.ID, d.ID)
			}
		}
		if got := b.alice.confirm(d); got.Status != api.DocumentStatusUploaded {
			t.Fatalf("got %+v, want it uploaded", got)
		}
		b.alice.complete(d, part3, part1, part2).is(200)
	})
	step(t, "a completed upload cannot be changed", func(t *testing.T) {
		b := b.in(t)
		b.alice.signPart(d, 1).fails(schema.CodeWrongStatus)
		b.alice.get(multipartPath).fails(schema.CodeWrongStatus)
		b.alice.delete(multipartPath).fails(schema.CodeWrongStatus)
		if got := b.alice.document(d).Status; got != api.DocumentStatusUploaded {
			t.Errorf("got status %s, want uploaded", got)
		}
	})
	step(t, "download the file", func(t *testing.T) {
		b := b.in(t)
		download := as[api.DownloadURL](b.alice.get(path(d) + "/download-url").is(200))
		resp, err := b.alice.http.Get(download.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("got %d bytes and error %v, want the %d bytes of the file",
				len(got), err, len(content))
		}
		if got := resp.Header.Get("Content-Type"); got != "text/plain" {
			t.Errorf("got content type %q, want text/plain", got)
		}
		const filename = "Gro%C3%9Fes.txt"
		if got := resp.Header.Get("Content-Disposition"); !strings.Contains(got, filename) {
			t.Errorf("got disposition %q, want it to contain %q", got, filename)
		}
	})
}

// TestPartOfWrongSizeIsRefused stores a part directly in storage, because no URL of the API permits
// a part of the wrong size.
func TestPartOfWrongSizeIsRefused(t *testing.T) {
	b := setup(t)
	d, u := b.alice.beginSmall("a", 5)
	core := miniogo.Core{Client: b.minio}
	p, err := core.PutObjectPart(t.Context(), b.bucket, u.Key, u.UploadID, 1,
		strings.NewReader("four"), 4, miniogo.PutObjectPartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	part1 := api.CompletedPart{Number: 1, Etag: p.ETag}
	b.alice.complete(d, part1).fails(schema.CodeObjectMissing).says("4 bytes instead of 5")

	parts := []miniogo.CompletePart{{PartNumber: 1, ETag: p.ETag}}
	_, err = core.CompleteMultipartUpload(t.Context(), b.bucket, u.Key, u.UploadID,
		parts, miniogo.PutObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got := b.alice.confirm(d)
	if got.Status != api.DocumentStatusRejected || got.Reason == nil ||
		*got.Reason != api.DocumentReasonSizeMismatch {
		t.Errorf("got %+v, want it rejected with size_mismatch", got)
	}
	again := as[api.Document](b.alice.complete(d, part1).is(200))
	if again.Status != api.DocumentStatusRejected {
		t.Errorf("completed again: got %+v, want it rejected", again)
	}
}

func TestAbortMultipartUpload(t *testing.T) {
	b := setup(t)
	t.Run("an active upload", func(t *testing.T) {
		b := b.in(t)
		d, _ := b.alice.beginSmall("a", 4)
		multipartPath := path(d) + "/multipart-upload"
		part1 := b.alice.uploadPart(d, 1, []byte("four"))
		b.bob.delete(multipartPath).fails(schema.CodeNotFound)
		for range 2 {
			b.alice.delete(multipartPath).is(202)
		}
		if got := b.alice.documents(); len(got) != 0 {
			t.Errorf("got the listing %+v, want it empty", got)
		}
		b.alice.signPart(d, 1).fails(schema.CodeWrongStatus)
		b.alice.get(multipartPath).fails(schema.CodeWrongStatus)
		b.alice.complete(d, part1).fails(schema.CodeWrongStatus)
		due, err := b.dueAborts()
		if err != nil || len(due) != 1 || due[0].DocumentID != d.ID {
			t.Errorf("got due aborts %+v and error %v, want document %s", due, err, d.ID)
		}
		b.finishDeletion(d.ID)
		b.alice.delete(multipartPath).fails(schema.CodeNotFound)
	})
	t.Run("a document uploaded with a single PUT", func(t *testing.T) {
		b := b.in(t)
		d := b.alice.upload("single", []byte("x"))
		multipartPath := path(d) + "/multipart-upload"
		b.alice.delete(multipartPath).fails(schema.CodeWrongStatus)
		b.alice.signPart(d, 1).fails(schema.CodeWrongStatus)
		b.alice.get(multipartPath).fails(schema.CodeWrongStatus)
	})
	t.Run("a completed upload whose event is late", func(t *testing.T) {
		b := b.in(t)
		d, _ := b.alice.beginSmall("late", 4)
		b.alice.complete(d, b.alice.uploadPart(d, 1, []byte("four"))).is(200)
		b.alice.delete(path(d) + "/multipart-upload").fails(schema.CodeWrongStatus)
	})
}

// TestUploadThatEndedCanBeginAgain covers an upload that storage has removed, which happens after
// it was aborted or has expired. The subtests depend on each other.
func TestUploadThatEndedCanBeginAgain(t *testing.T) {
	b := setup(t)
	request := func(t *testing.T) *response {
		t.Helper()
		body := api.MultipartRequest{Filename: "a", ContentType: "text/plain", Size: 4}
		key := with{"Idempotency-Key": "once"}
		return b.alice.in(t).post("/api/documents/multipart-upload", body, key)
	}
	first := as[api.MultipartCreated](request(t).is(201))
	d, u := first.Document, first.Upload
	content := []byte("four")

	step(t, "the same key returns an active upload", func(t *testing.T) {
		got := as[api.MultipartCreated](request(t).is(201))
		if got.Document.ID != d.ID || got.Upload.UploadID != u.UploadID {
			t.Errorf("got %+v, want %+v", got, first)
		}
	})
	step(t, "an upload that storage has removed cannot continue", func(t *testing.T) {
		b := b.in(t)
		part1 := b.alice.uploadPart(d, 1, content)
		core := miniogo.Core{Client: b.minio}
		if err := core.AbortMultipartUpload(t.Context(), b.bucket, u.Key, u.UploadID); err != nil {
			t.Fatal(err)
		}
		b.alice.get(path(d) + "/multipart-upload").fails(schema.CodeWrongStatus)
		b.alice.complete(d, part1).fails(schema.CodeWrongStatus)
	})
	step(t, "an upload that has expired cannot continue", func(t *testing.T) {
		b := b.in(t)
		b.exec(`UPDATE multipart_uploads SET renewed_at = now() - interval '2 hours'`)
		b.exec(`UPDATE documents
			SET status = 'expired', url_issued_at = now() - interval '2 hours'`)
		due, err := b.dueAborts()
		if err != nil || len(due) != 1 {
			t.Fatalf("got due aborts %v and error %v, want one", due, err)
		}
		b.alice.signPart(d, 1).fails(schema.CodeWrongStatus).says("expired")
	})
	step(t, "the same key begins a new upload of the document", func(t *testing.T) {
		got := as[api.MultipartCreated](request(t).is(201))
		if got.Document.ID != d.ID || got.Upload.UploadID == u.UploadID {
			t.Fatalf("got %+v, want a new upload of document %s", got, d.ID)
		}
	})
	step(t, "the expired document can be confirmed", func(t *testing.T) {
		b := b.in(t)
		b.alice.complete(d, b.alice.uploadPart(d, 1, content)).is(200)
		if got := b.alice.confirm(d); got.Status != api.DocumentStatusUploaded {
			t.Errorf("got %+v, want it uploaded", got)
		}
		if got := as[api.MultipartCreated](request(t).is(200)); got.Document.ID != d.ID ||
			got.Document.Status != api.DocumentStatusUploaded || got.Upload != nil {
			t.Errorf("got %+v, want the uploaded document without an upload", got)
		}
	})
}

func TestSigningPartPostponesExpiry(t *testing.T) {
	b := setup(t)
	d, _ := b.alice.beginSmall("a", 4)
	b.exec(`UPDATE multipart_uploads SET renewed_at = now() - interval '59 minutes'`)
	b.exec(`UPDATE documents SET url_issued_at = now() - interval '59 minutes'`)
	b.alice.signPart(d, 1).is(200)
	var issued time.Time
	err := b.sql.Get(&issued, `SELECT url_issued_at FROM documents`)
	if err != nil || time.Since(issued) > time.Minute {
		t.Errorf("got url_issued_at %s and error %v, want now", issued, err)
	}
	progress := as[api.MultipartProgress](b.alice.get(path(d) + "/multipart-upload").is(200))
	checkExpiry(t, "the upload", progress.Upload.ExpiresAt, time.Hour)
}

func TestMultipartUploadRefusesInvalidRequests(t *testing.T) {
	b := setup(t, func(c *api.Config) { c.Limits.MaxPending = 1; c.Limits.MaxSize = 1 << 20 })
	b.exec(`UPDATE quotas SET limit_bytes = 1000`)
	request := func(t *testing.T, member string, value any) *response {
		t.Helper()
		body := map[string]any{"filename": "a", "content_type": "text/plain", "size": 4}
		body[member] = value
		return b.alice.in(t).post("/api/documents/multipart-upload", body)
	}
	digest := sha256.Sum256(nil)
	for _, c := range []struct {
		name   string
		member string
		value  any
		code   schema.Code
		says   string
	}{
		{"digest", "sha256", hex.EncodeToString(digest[:]), schema.CodeInvalid, ""},
		{"empty file", "size", 0, schema.CodeInvalid, "at least 1"},
		{"negative size", "size", -1, schema.CodeInvalid, ""},
		{"file too large", "size", 1<<20 + 1, schema.CodeTooLarge, ""},
		{"file over the quota", "size", 1001, schema.CodeQuotaExceeded, ""},
		{"type not allowed", "content_type", "video/mp4", schema.CodeTypeNotAllowed, ""},
		{"path as name", "filename", "a/b", schema.CodeInvalid, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			request(t, c.member, c.value).fails(c.code).says(c.says)
		})
	}
	request(t, "size", 4).is(201)
	request(t, "size", 4).fails(schema.CodeTooManyPending)
}

func TestMultipartUploadWithoutMinIOIsUnavailable(t *testing.T) {
	unreachable, err := minio.NewMultipart(minio.Config{
		Endpoint: "127.0.0.1:1",
		Bucket:   "b",
		Key:      minio.Key{Access: "key", Secret: "secretsecret"},
	})
	if err != nil {
		t.Fatal(err)
	}
	b := setup(t, func(c *api.Config) { c.Multipart = unreachable })
	request := api.MultipartRequest{Filename: "a", ContentType: "text/plain", Size: 4}
	b.alice.post("/api/documents/multipart-upload", request).fails(schema.CodeUnavailable)
}

func TestStorageVerifiesDigestBehindTheGateway(t *testing.T) {
	b := setup(t, behindGateway(t))
	content := []byte("good")
	sum := sha256.Sum256(content)
	digest := hex.EncodeToString(sum[:])
	u := as[api.UploadURL](b.alice.post("/api/documents/upload-url", api.UploadRequest{
		Filename: "a", ContentType: "text/plain", Size: 4, Sha256: &digest,
	}).is(201))
	if got := b.alice.put(u.Upload, []byte("goof")); got != http.StatusBadRequest {
		t.Errorf("PUT with a wrong byte: got status %d, want 400", got)
	}
	withoutDigest := *u.Upload
	withoutDigest.Headers = map[string]string{"Content-Type": "text/plain", "If-None-Match": "*"}
	if got := b.alice.put(&withoutDigest, []byte("goof")); got == http.StatusOK {
		t.Error("PUT with a wrong byte and without the digest header: got status 200, want an error")
	}
	b.alice.post(path(u.Document)+"/confirm", nil).fails(schema.CodeObjectMissing)
	if got := b.alice.put(u.Upload, content); got != http.StatusOK {
		t.Errorf("PUT: got status %d, want 200", got)
	}
	b.alice.confirm(u.Document)
}

// An unfinished multipart upload occupies storage, although it is not charged to the quota.
func TestUnfinishedMultipartUploadsFitIntoTheQuota(t *testing.T) {
	b := setup(t, behindGateway(t))
	const limit, size = 12 << 20, 10 << 20
	b.exec(`UPDATE quotas SET limit_bytes = $1`, limit)
	content := make([]byte, size)
	upload := func(name string, size int64) *response {
		return b.alice.post("/api/documents/multipart-upload", api.MultipartRequest{
			Filename: name, ContentType: "text/plain", Size: size,
		}, with{"Idempotency-Key": name})
	}
	sendParts := func(d api.Document) {
		t.Helper()
		for number := 1; number <= 2; number++ {
			u := as[api.PartUpload](b.alice.signPart(d, number).is(200))
			if status, _ := b.alice.putPart(u, part(content, number)); status != 200 {
				t.Fatalf("part %d: got status %d, want 200", number, status)
			}
		}
	}
	first := as[api.MultipartCreated](upload("1", size).is(201)).Document
	sendParts(first)
	for _, name := range []string{"2", "3", "4", "5", "6"} {
		p := upload(name, size).fails(schema.CodeQuotaExceeded).problem()
		if p.Left == nil || *p.Left != limit-size {
			t.Errorf("got %+v, want %d bytes left", p, limit-size)
		}
	}
	upload("1", size).is(201) // continues
	small := as[api.MultipartCreated](upload("small", limit-size).is(201)).Document
	b.alice.requestUpload("single", limit) // confirming it decides

	// The bytes of a canceled upload count until storage has deleted them.
	b.alice.delete(path(small) + "/multipart-upload").is(202)
	upload("again", limit-size).fails(schema.CodeQuotaExceeded)
	due, err := b.dueAborts()
	if err != nil || len(due) != 1 {
		t.Fatalf("got due aborts %v, %v; want 1", due, err)
	}
	if err := b.owner.DeleteAborted(t.Context(), due[0].UploadID); err != nil {
		t.Fatal(err)
	}
	upload("again", limit-size).is(201)

	b.alice.post(path(first)+"/multipart-upload/complete", nil).is(200)
	if got := b.alice.confirm(first); got.Status != api.DocumentStatusUploaded {
		t.Errorf("got %+v, want it uploaded", got)
	}
	upload("7", 1).fails(schema.CodeQuotaExceeded)
}

// Uploads that were begun concurrently, or before the quota was lowered, can exceed it together.
// Then none continues before the others end.
func TestNoPartsIfUnfinishedUploadsExceedTheQuota(t *testing.T) {
	b := setup(t)
	const size = 5
	var docs [3]api.Document
	for i := range docs {
		docs[i], _ = b.alice.beginSmall(itoa(i), size)
	}
	b.exec(`UPDATE quotas SET limit_bytes = 2 * $1`, size)
	many := map[string]any{"parts": []any{map[string]any{"number": 1}}}
	for _, d := range docs {
		p := b.alice.signPart(d, 1).fails(schema.CodeQuotaExceeded).problem()
		if p.Left == nil || *p.Left != 0 {
			t.Errorf("got %+v, want 0 bytes left", p)
		}
		b.alice.post(path(d)+"/multipart-upload/parts", many).fails(schema.CodeQuotaExceeded)
	}
	b.exec(`DELETE FROM multipart_uploads WHERE document_id = $1`, docs[0].ID)
	b.exec(`DELETE FROM documents WHERE id = $1`, docs[0].ID)
	b.alice.signPart(docs[1], 1).is(200)
	b.alice.signPart(docs[2], 1).is(200)
}

// dueAborts returns the multipart uploads that the sweeper would abort now.
func (b *bundle) dueAborts() ([]schema.MultipartUpload, error) {
	now := time.Now()
	if err := b.owner.AbandonMultiparts(b.t.Context(), now); err != nil {
		return nil, err
	}
	return b.owner.DueMultipartAborts(b.t.Context(), now, schema.MultipartUpload{}, 10)
}
