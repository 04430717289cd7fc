package api_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"intray/api"
	"intray/schema"

	"github.com/google/uuid"
)

// A client can describe these problems in its own language: their members are machine-readable.
func TestProblemMembers(t *testing.T) {
	b := setup(t, func(c *api.Config) {
		c.Limits.MaxSize = 1000
		c.Limits.MaxPending = 1
		c.Limits.AllowedTypes = []string{"text/*", "application/pdf"}
	})
	b.exec(`UPDATE quotas SET limit_bytes = 100`)
	file := func(name, contentType string, size int) map[string]any {
		return map[string]any{"filename": name, "content_type": contentType, "size": size}
	}
	const uploads = "/api/documents/upload-url"
	number := func(n float64) *float64 { return &n }
	type members struct {
		RequestID    string   `json:"request_id"`
		Pointer      string   `json:"pointer"`
		Size         *float64 `json:"size"`
		Limit        *float64 `json:"limit"`
		Left         *float64 `json:"left"`
		AllowedTypes []string `json:"allowed_types"`
	}
	for _, c := range []struct {
		name, path string
		body       any
		code       schema.Code
		want       members
	}{
		{"file too large", uploads, file("a", "text/plain", 1001), schema.CodeTooLarge,
			members{Pointer: "/size", Size: number(1001), Limit: number(1000)}},
		{"quota exceeded", uploads, file("a", "text/plain", 101), schema.CodeQuotaExceeded,
			members{Pointer: "/size", Size: number(101), Left: number(100)}},
		{"type not allowed", uploads, file("a", "video/mp4", 1), schema.CodeTypeNotAllowed,
			members{Pointer: "/content_type", AllowedTypes: []string{"text/*", "application/pdf"}}},
		{"not a type", uploads, file("a", "text", 1), schema.CodeInvalid,
			members{Pointer: "/content_type"}},
		{"filename with a path", uploads, file("a/b", "text/plain", 1), schema.CodeInvalid,
			members{Pointer: "/filename"}},
		{"negative size", uploads, file("a", "text/plain", -1), schema.CodeInvalid,
			members{Pointer: "/size"}},
		{"missing member", uploads, map[string]any{"filename": "a", "size": 1}, schema.CodeInvalid,
			members{Pointer: "/content_type"}},
		{"keyword", "/api/topics", map[string]any{"name": "a", "keywords": []string{"b", ""}},
			schema.CodeInvalid, members{Pointer: "/keywords/1"}},
		{"control character", "/api/topics", map[string]any{"name": "a\x01"}, schema.CodeInvalid,
			members{Pointer: "/name"}},
		{"null", uploads, map[string]any{"filename": nil, "content_type": "text/plain", "size": 1},
			schema.CodeInvalid, members{Pointer: "/filename"}},
		{"no JSON", uploads, "{", schema.CodeInvalid, members{}},
		{"no member at fault", "/api/documents/x/confirm", nil, schema.CodeNotFound, members{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			problem := b.alice.in(t).post(c.path, c.body).fails(c.code)
			got := as[members](problem)
			if want := problem.header.Get("X-Request-Id"); got.RequestID != want {
				t.Errorf("got request_id %q, want the X-Request-Id %q", got.RequestID, want)
			}
			got.RequestID = ""
			if g, w := encode(t, got), encode(t, c.want); g != w {
				t.Errorf("got members %s, want %s", g, w)
			}
		})
	}
	t.Run("too many pending documents", func(t *testing.T) {
		b := b.in(t)
		b.alice.requestUpload("a", 1)
		problem := b.alice.post(uploads, file("b", "text/plain", 1)).fails(schema.CodeTooManyPending)
		if got := problem.problem().Limit; got == nil || *got != 1 {
			t.Errorf("got problem %s, want the limit 1", problem.body)
		}
	})
}

// A conflict with the status of a document comes with the document.
func TestWrongStatusComesWithTheDocument(t *testing.T) {
	b := setup(t)
	d := b.alice.upload("a", []byte("x"))
	noTopics := api.DocumentPatch{TopicIds: &[]uuid.UUID{}}
	for name, request := range map[string]func() *response{
		"topics":     func() *response { return b.alice.patch(path(d), noTopics) },
		"reclassify": func() *response { return b.alice.post(path(d)+"/reclassify", nil) },
		"part":       func() *response { return b.alice.signPart(d, 1) },
		"abort":      func() *response { return b.alice.delete(path(d) + "/multipart-upload") },
	} {
		got := request().fails(schema.CodeWrongStatus).problem().Document
		if got == nil || got.ID != d.ID || got.Status != api.DocumentStatusPending {
			t.Errorf("%s: got the document %+v, want the pending document %s", name, got, d.ID)
		}
	}
}

func encode(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var concretePath = strings.NewReplacer("{id}", uuid.Nil.String(), "{number}", "1")

// Every JSON call refuses query parameters that it does not have. Health checks ignore them.
func TestUnknownQueryParameters(t *testing.T) {
	b := setup(t)
	contract := loadContract()
	for _, path := range slices.Sorted(maps.Keys(contract.Paths.Map())) {
		for method := range contract.Paths.Value(path).Operations() {
			t.Run(method+" "+path, func(t *testing.T) {
				c := b.admin.in(t)
				got := c.do(method, concretePath.Replace(path)+"?nonsense=1", nil)
				switch {
				case path == "/healthz" || path == "/readyz":
					got.is(http.StatusOK)
				case got.status == http.StatusNotFound: // the resource is reported first
				default:
					got.fails(schema.CodeInvalid).says(`"nonsense"`)
				}
			})
		}
	}
}

// A header that is a list may be sent in several lines.
func TestListHeadersInSeveralLines(t *testing.T) {
	b := setup(t)
	d := b.alice.upload("a", []byte("x"))
	etag := b.alice.get(path(d)).header.Get("ETag")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.base+path(d), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{
		"Authorization": {"Bearer " + b.alice.token},
		"If-None-Match": {`"other"`, etag},
		"Prefer":        {"respond-async", "wait=1"},
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusNotModified {
		t.Errorf("got status %d, want 304", resp.StatusCode)
	}
	// Retry-After is 0 only after a request that waited.
	if got := resp.Header.Get("Retry-After"); got != "0" {
		t.Errorf("got Retry-After %q, want 0 after a wait", got)
	}
}

// JSON has one type of numbers, and 1e3 is an integer.
func TestWholeNumbersInAnyNotation(t *testing.T) {
	b := setup(t)
	for notation, want := range map[string]int64{
		"1000": 1000, "1e3": 1000, "1E+3": 1000, "1000.0": 1000, "100000e-2": 1000, "0.1e1": 1, "-0.0": 0,
	} {
		body := `{"filename":"1e3.5 \"2.0\"","content_type":"text/plain","size":` + notation + `}`
		got := as[api.UploadURL](b.alice.post("/api/documents/upload-url", body).is(201)).Document
		if got.Size != want || got.Filename != `1e3.5 "2.0"` {
			t.Errorf("%s: got size %d and filename %s, want %d and the filename unchanged",
				notation, got.Size, got.Filename, want)
		}
	}
	for _, notation := range []string{
		"1.5", "1e-1", "1e30", "1e400", "1e-999999999", `"1"`, "1e", ".5",
	} {
		body := `{"filename":"a","content_type":"text/plain","size":` + notation + `}`
		b.alice.post("/api/documents/upload-url", body).fails(schema.CodeInvalid)
	}
}

// A lone surrogate is no character. encoding/json would replace it.
func TestLoneSurrogates(t *testing.T) {
	b := setup(t)
	const uploads = "/api/documents/upload-url"
	filename := func(name string) string {
		return `{"filename":"` + name + `","content_type":"text/plain","size":1}`
	}
	wantPointer := func(got *string, want string) {
		t.Helper()
		if got == nil || *got != want {
			t.Errorf("got pointer %v, want %s", got, want)
		}
	}
	for _, name := range []string{
		`\ud800`, `a\uD83Db`, `\udc00\ud800`, `\\\ud800\\udc00`, `😀\udfff`, `\ud83d\ud83d\ude00`,
	} {
		r := b.alice.post(uploads, filename(name)).fails(schema.CodeInvalid)
		wantPointer(r.problem().Pointer, "/filename")
	}
	for name, want := range map[string]string{
		`\ud83d\ude00`: "😀", `\uD83D\uDE00\u0020x`: "😀 x", `\ufffd`: "\uFFFD", `\ue000`: "\uE000",
	} {
		got := as[api.UploadURL](b.alice.post(uploads, filename(name)).is(201)).Document.Filename
		if got != want {
			t.Errorf("%s: got filename %q, want %q", name, got, want)
		}
	}
	topic := b.alice.post("/api/topics", `{"name":"a","keywords":["b","c\ud800"]}`)
	wantPointer(topic.fails(schema.CodeInvalid).problem().Pointer, "/keywords/1")
	d := b.alice.confirmed("a.txt", []byte("x"))
	patch := b.alice.patch(path(d), `{"topic_ids":[],"filename":"\udead"}`)
	wantPointer(patch.fails(schema.CodeInvalid).problem().Pointer, "/filename")
	// It is the problem of one item only.
	many := as[struct{ Items []uploadResult }](b.alice.post(uploadsPath,
		`{"items":[`+filename(`\ud800`)+`,`+filename("b")+`]}`).is(200)).Items
	if p := many[0].Problem; p == nil || p.Code != "invalid" || many[1].Upload == nil {
		t.Fatalf("got %+v, want a problem and a URL", many)
	}
	wantPointer(many[0].Problem.Pointer, "/items/0/filename")
}
