package api_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"intray/api"
	"intray/schema"
)

func (c *client) rename(d api.Document, name string, headers ...with) *response {
	c.t.Helper()
	return c.patch(path(d), api.DocumentPatch{Filename: &name}, headers...)
}

func TestRename(t *testing.T) {
	b := setup(t)
	d := b.alice.confirmed("a.txt", []byte("x"))
	for name, want := range map[string]string{
		"b.txt": "b.txt", strings.Repeat("ü", 255): strings.Repeat("ü", 255), "e\u0301.txt": "é.txt",
	} {
		if got := as[api.Document](b.alice.rename(d, name).is(200)); got.Filename != want {
			t.Errorf("got filename %q, want %q", got.Filename, want)
		}
	}
	version := b.alice.document(d).Version
	for _, name := range []string{"", "../a", "a\nb", strings.Repeat("a", 256), "a\u202Eb", " . "} {
		b.alice.rename(d, name).fails(schema.CodeInvalid)
	}
	b.bob.rename(d, "bob's").fails(schema.CodeNotFound)
	b.alice.rename(b.alice.requestUpload("p", 1).Document, "q").fails(schema.CodeWrongStatus)
	if got := b.alice.document(d).Version; got != version {
		t.Errorf("got version %d after refused requests, want still %d", got, version)
	}
	b.exec(`UPDATE documents SET unpublished_at = NULL`)
	present := b.alice.document(d)
	same := b.alice.rename(d, present.Filename)
	if got := as[api.Document](same.is(200)); got.Version != version ||
		got.Filename != present.Filename ||
		same.header.Get("ETag") != fmt.Sprintf("%q", itoa(int(version))) {
		t.Errorf("got %+v for the present filename, want the document unchanged", got)
	}
	b.alice.rename(d, present.Filename, with{"If-Match": `"1"`}).fails(schema.CodeVersionMismatch)
	var unpublished int
	err := b.sql.Get(&unpublished, `SELECT count(*) FROM documents WHERE unpublished_at IS NOT NULL`)
	if err != nil || unpublished != 0 {
		t.Errorf("got %d unpublished documents and error %v after the present filename, want none",
			unpublished, err)
	}

	topic := b.alice.createTopic("T").ID
	both := as[api.Document](b.alice.patch(path(d), api.DocumentPatch{
		Filename: ptr("both.txt"), TopicIds: &[]uuid.UUID{topic}}).is(200))
	if both.Filename != "both.txt" || len(both.Topics) != 1 || both.Version != version+1 ||
		!both.TopicsLocked {
		t.Errorf("got %+v, want it renamed with a locked topic, and the next version", both)
	}
	// A renamed document is still that of the request with the idempotency key.
	key := with{"Idempotency-Key": "k"}
	request := api.UploadRequest{Filename: "k.txt", ContentType: "text/plain", Size: 1}
	first := as[api.UploadURL](b.alice.post("/api/documents/upload-url", request, key).is(201))
	b.alice.put(first.Upload, []byte("x"))
	b.alice.confirm(first.Document)
	b.alice.rename(first.Document, "renamed.txt").is(200)
	again := as[api.UploadURL](b.alice.post("/api/documents/upload-url", request, key).is(200))
	if again.Document.ID != first.Document.ID || again.Document.Filename != "renamed.txt" {
		t.Errorf("got %+v, want the renamed document", again.Document)
	}
	request.Filename = "renamed.txt"
	b.alice.post("/api/documents/upload-url", request, key).fails(schema.CodeIdempotencyMismatch)

	download := as[api.DownloadURL](b.alice.get(path(d) + "/download-url").is(200))
	_, header := b.alice.download(download.URL)
	if got := header.Get("Content-Disposition"); !strings.Contains(got, "both.txt") {
		t.Errorf("got Content-Disposition %s, want the new filename", got)
	}
	if names, _ := b.alice.listDocuments("q=BOTH"); len(names) != 1 {
		t.Errorf("got %q for the new name, want one document", names)
	}
}

func TestIfMatch(t *testing.T) {
	b := setup(t)
	d := b.alice.confirmed("a.txt", []byte("x"))
	etag := b.alice.get(path(d)).header.Get("ETag")
	renamed := 0
	calls := map[string]func(ifMatch string) *response{
		"PATCH": func(v string) *response {
			renamed++ // the present name would change nothing
			return b.alice.rename(d, fmt.Sprint("n", renamed), with{"If-Match": v})
		},
		"DELETE": func(v string) *response { return b.alice.delete(path(d), with{"If-Match": v}) },
		"reclassify": func(v string) *response {
			return b.alice.post(path(d)+"/reclassify", nil, with{"If-Match": v})
		},
	}
	for name, call := range calls {
		for _, other := range []string{`"1"`, `"3", "9"`, "2", "", `"zzz"`} {
			if other == "" && name != "PATCH" {
				continue
			}
			got := call(other)
			if other == "" { // is no condition
				continue
			}
			got.fails(schema.CodeVersionMismatch).says("version is now")
			if about := as[api.Problem](got).Document; about == nil || about.ID != d.ID {
				t.Errorf("%s with If-Match %s: got document %v, want the current one", name, other, about)
			}
		}
		etag = b.alice.get(path(d)).header.Get("ETag")
	}
	for _, same := range []string{etag, `"9", ` + etag, "W/" + etag, "*"} {
		d = b.alice.document(d)
		same = strings.ReplaceAll(same, etag, fmt.Sprintf(`"%d"`, d.Version))
		got := as[api.Document](calls["PATCH"](same).is(200))
		if got.Version != d.Version+1 {
			t.Errorf("If-Match %s: got version %d, want %d", same, got.Version, d.Version+1)
		}
	}
	current := b.alice.get(path(d)).header.Get("ETag")
	calls["reclassify"](current).is(202)
	b.bob.delete(path(d), with{"If-Match": current}).fails(schema.CodeNotFound)
	current = b.alice.get(path(d)).header.Get("ETag")
	calls["DELETE"](current).is(202)
	calls["DELETE"](current).is(202) // the response to the first one was lost
}

// changeAll calls the batch operation and returns what happened to each document: its status and
// the names of its topics, or the code of a problem.
func (c *client) changeAll(
	action api.BatchAction, topics *[]uuid.UUID, documents ...uuid.UUID,
) (results []string) {
	c.t.Helper()
	got := as[api.BatchResult](c.post("/api/documents/batch",
		api.BatchRequest{Ids: documents, Action: action, TopicIds: topics}).is(200))
	for i, item := range got.Items {
		if item.ID != documents[i] || (item.Document == nil) == (item.Problem == nil) {
			c.t.Errorf("got item %+v, want either a document or a problem of %s", item, documents[i])
			continue
		}
		if item.Problem != nil {
			result := string(item.Problem.Code)
			if item.Problem.Document != nil {
				result += " " + string(item.Problem.Document.Status)
			}
			results = append(results, result)
			continue
		}
		names := []string{string(item.Document.Status)}
		for _, t := range item.Document.Topics {
			names = append(names, t.Name)
		}
		slices.Sort(names[1:])
		results = append(results, strings.Join(names, " "))
	}
	return results
}

func TestBatch(t *testing.T) {
	b := setup(t)
	first := b.alice.confirmed("first", []byte("x")).ID
	second := b.alice.confirmed("second", []byte("x")).ID
	pending := b.alice.requestUpload("pending", 1).Document.ID
	bobs, unknown := b.bob.confirmed("bob's", []byte("x")).ID, uuid.New()
	one, two, three := b.alice.createTopic("1").ID, b.alice.createTopic("2").ID,
		b.admin.createSystemTopic("3").ID
	all := []uuid.UUID{second, bobs, first, pending, unknown, first}
	b.classify(second, schema.DocumentTopic{TopicID: three, Confidence: 50})

	expect := func(action api.BatchAction, topics *[]uuid.UUID, want ...string) {
		t.Helper()
		if got := b.alice.changeAll(action, topics, all...); !slices.Equal(got, want) {
			t.Errorf("%s %v:\n got %q,\nwant %q", action, topics, got, want)
		}
	}
	const notFound, wrong = "not_found", "wrong_status pending"
	expect(api.BatchActionSetTopics, &[]uuid.UUID{one},
		"classified 1", notFound, "uploaded 1", wrong, notFound, "uploaded 1")
	expect(api.BatchActionAddTopics, &[]uuid.UUID{two, three},
		"classified 1 2 3", notFound, "uploaded 1 2 3", wrong, notFound, "uploaded 1 2 3")
	b.alice.setTopics(api.Document{ID: first}, one).is(200)
	expect(api.BatchActionRemoveTopics, &[]uuid.UUID{one, unknown},
		"classified 2 3", notFound, "uploaded", wrong, notFound, "uploaded")

	version := b.alice.document(api.Document{ID: first}).Version
	expect(api.BatchActionRemoveTopics, &[]uuid.UUID{one},
		"classified 2 3", notFound, "uploaded", wrong, notFound, "uploaded")
	if got := b.alice.document(api.Document{ID: first}).Version; got != version {
		t.Errorf("got version %d after a change that changes nothing, want %d", got, version)
	}
	expect(api.BatchActionReclassify, nil,
		"uploaded 2 3", notFound, "uploaded", wrong, notFound, "uploaded")
	expect(api.BatchActionDelete, nil,
		"deleting", notFound, "deleting", "deleting", notFound, "deleting")
	if got := b.bob.document(api.Document{ID: bobs}); got.Version != 2 {
		t.Errorf("got version %d of bob's document, want it unchanged", got.Version)
	}
}

func TestBatchRefusesInvalidRequests(t *testing.T) {
	b := setup(t)
	d := b.alice.confirmed("a", []byte("x")).ID
	bobs := b.bob.createTopic("Bob's").ID
	many := make([]uuid.UUID, 101)
	for i := range many {
		many[i] = uuid.New()
	}
	ids := []uuid.UUID{d}
	for name, body := range map[string]any{
		"no ids":            api.BatchRequest{Ids: []uuid.UUID{}, Action: api.BatchActionDelete},
		"101 ids":           api.BatchRequest{Ids: many, Action: api.BatchActionDelete},
		"an unknown action": api.BatchRequest{Ids: ids, Action: "purge"},
		"no topics to set":  api.BatchRequest{Ids: ids, Action: api.BatchActionSetTopics},
		"topics to delete": api.BatchRequest{
			Ids: ids, Action: api.BatchActionDelete, TopicIds: &ids},
		"a member too many":     map[string]any{"ids": ids, "action": "delete", "force": true},
		"an id that is no UUID": map[string]any{"ids": []string{"x"}, "action": "delete"},
	} {
		t.Run(name, func(t *testing.T) {
			b.alice.in(t).post("/api/documents/batch", body).fails(schema.CodeInvalid)
		})
	}
	for _, action := range []api.BatchAction{api.BatchActionSetTopics, api.BatchActionAddTopics} {
		b.alice.post("/api/documents/batch", api.BatchRequest{
			Ids: ids, Action: action, TopicIds: &[]uuid.UUID{bobs},
		}).fails(schema.CodeUnknownTopic)
	}
	if got := b.alice.document(api.Document{ID: d}); got.Version != 2 {
		t.Errorf("got version %d, want the document unchanged", got.Version)
	}
}

// A document that a batch does not change is sorted as before.
func TestBatchThatRemovesNothingDoesNotLockTopics(t *testing.T) {
	b := setup(t)
	d := b.alice.confirmed("a", []byte("x"))
	topic := b.alice.createTopic("T").ID
	b.alice.changeAll(api.BatchActionRemoveTopics, &[]uuid.UUID{topic}, d.ID)
	if got := b.alice.document(d); got.TopicsLocked || got.Version != d.Version {
		t.Errorf("got locked %t and version %d, want the document unchanged", got.TopicsLocked,
			got.Version)
	}
}

// A batch adds topics to those that a document has, even if they change at the same time.
func TestBatchAddsTopicsWhileTheyChange(t *testing.T) {
	b := setup(t)
	d := b.alice.confirmed("a", []byte("x"))
	const n = 8
	topics := make([]uuid.UUID, n)
	for i := range topics {
		topics[i] = b.alice.createTopic(fmt.Sprint(i)).ID
	}
	results := make(chan string, n)
	for _, topic := range topics {
		go func() {
			for { // a document that keeps changing is reported as such
				got := b.alice.changeAll(api.BatchActionAddTopics, &[]uuid.UUID{topic}, d.ID)
				if got[0] != string(schema.CodeUnavailable) {
					results <- got[0]
					return
				}
			}
		}()
	}
	for range n {
		<-results
	}
	if got := b.alice.document(d).Topics; len(got) != n {
		t.Errorf("got %d topics, want all %d", len(got), n)
	}
}

// download gets a file from storage.
func (c *client) download(url string) (content string, header http.Header) {
	c.t.Helper()
	response, err := c.http.Get(url)
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		c.t.Fatalf("GET of the file: got status %d and %v, want 200", response.StatusCode, err)
	}
	return string(body), response.Header
}

func TestInlineByContent(t *testing.T) {
	b := setup(t)
	for _, test := range []struct{ declared, detected, want string }{
		{"application/pdf", "", "application/pdf"},
		{"application/pdf", "application/pdf", "application/pdf"},
		{"application/pdf", "text/html", ""},
		{"image/png", "image/svg+xml", ""},
		{"application/octet-stream", "", ""},
		{"application/octet-stream", "image/webp", "image/webp"},
		{"text/html", "", ""},
		{"text/html", "text/plain", "text/plain; charset=utf-8"},
		{"text/plain; charset=iso-8859-1", "text/plain", "text/plain; charset=iso-8859-1"},
		{"text/markdown", "text/plain", "text/plain; charset=utf-8"},
		{"image/svg+xml", "", ""},
		{"image/jpeg", "image/jpeg", "image/jpeg"},
		{"image/gif", "image/gif", "image/gif"},
	} {
		t.Run(test.declared+" is "+test.detected, func(t *testing.T) {
			b := b.in(t)
			d := b.alice.confirmed("ü.bin", []byte("content"))
			b.exec(`UPDATE documents SET content_type = $2, detected_type = nullif($3, '') WHERE id = $1`,
				d.ID, test.declared, test.detected)
			got := b.alice.get(path(d) + "/download-url?disposition=inline")
			if test.want == "" {
				got.fails(schema.CodeTypeNotAllowed)
				if types := as[api.Problem](got).AllowedTypes; types == nil || len(*types) != 6 {
					t.Errorf("got allowed types %v, want six", types)
				}
			} else {
				_, header := b.alice.download(as[api.DownloadURL](got.is(200)).URL)
				if got := header.Get("Content-Type"); got != test.want {
					t.Errorf("got Content-Type %q, want %q", got, test.want)
				}
				if got := header.Get("Content-Disposition"); !strings.HasPrefix(got, "inline; filename=") {
					t.Errorf("got Content-Disposition %q, want it inline with a filename", got)
				}
			}
			attachment := as[api.DownloadURL](b.alice.get(path(d) + "/download-url").is(200))
			_, header := b.alice.download(attachment.URL)
			if got := header.Get("Content-Disposition"); !strings.HasPrefix(got, "attachment; ") {
				t.Errorf("got Content-Disposition %q, want an attachment", got)
			}
			b.bob.get(path(d) + "/download-url?disposition=inline").fails(schema.CodeNotFound)
		})
	}
	d := b.alice.confirmed("a", []byte("x"))
	b.alice.get(path(d) + "/download-url?disposition=download").fails(schema.CodeInvalid)
}
