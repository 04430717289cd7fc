package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	miniogo "github.com/minio/minio-go/v7"

	"intray/schema"
)

const (
	clientTimeout = 25 * time.Second // after which a request counts as not answered
	workers       = 3                // for each user
	stepInterval  = 150 * time.Millisecond
	// Half of the users have a small quota, so that many of their uploads are rejected. The others
	// rarely delete documents, so that many documents are left to check at the end.
	tightLimit, largeLimit = 24_000, 100 << 20 // bytes
	maxSize                = 4_000             // bytes of a document
)

// The names under which the record counts the clients' operations.
const (
	countURLs            = "URLs issued"
	countURLsRefused     = "URLs refused because of the quota"
	countURLsFailed      = "URL requests that failed"
	countPUTs            = "PUTs acknowledged"
	countPUTsFailed      = "PUTs not acknowledged"
	countConfirms        = "confirms answered"
	countDELETEs         = "DELETEs acknowledged"
	countOverwrites      = "overwrites acknowledged"
	countPUTsAfterDelete = "PUTs to deleted documents"
)

// user is an account and the state that its workers share.
type user struct {
	email, password string
	tight           bool         // has the small quota
	lowered         atomic.Bool  // its limit was lowered at least once
	refused         atomic.Int32 // number of URLs refused because of the quota

	mu    sync.Mutex
	token string
}

// clients are the users' workers. They use the HTTP API in the way that a front end does.
type clients struct {
	s        *system
	r        *record
	http     *http.Client
	users    []*user
	inFlight atomic.Int32 // PUTs that are not yet answered
	running  sync.WaitGroup
}

// addUsers adds n accounts with the operator's command.
func addUsers(t *testing.T, s *system, n int) []*user {
	t.Helper()
	all := make([]*user, n)
	for i := range all {
		u := &user{email: fmt.Sprintf("user-%d@example.org", i), tight: i%2 == 0}
		limit := largeLimit
		if u.tight {
			limit = tightLimit
		}
		command := exec.CommandContext(t.Context(), s.up.path, "users", "add", "--data", s.dir,
			"--generate", fmt.Sprintf("--quota=%d", limit), u.email)
		out, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("users add: %v\n%s", err, out)
		}
		u.password = strings.TrimSpace(string(out))
		all[i] = u
	}
	return all
}

func newClients(s *system, r *record, all []*user) *clients {
	return &clients{s: s, r: r, users: all, http: &http.Client{
		Timeout: clientTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 64},
	}}
}

// start starts the workers of all users, which run until ctx is done.
func (c *clients) start(ctx context.Context, seed uint64) {
	for i, u := range c.users {
		for w := range workers {
			random := rand.New(rand.NewPCG(seed, uint64(i*workers+w)+1))
			c.running.Go(func() { (&worker{c, u, random, nil}).run(ctx) })
		}
	}
}

// wait waits until the workers have received their last responses.
func (c *clients) wait() {
	c.running.Wait()
	c.http.CloseIdleConnections()
}

// call makes an API call and returns the status and the beginning of the body. The status is 0 if
// there was no response; the text is then the error. The body of a successful response is decoded
// into out. call logs in if the user has no token or the token is no longer valid.
func (c *clients) call(u *user, method, path string, in, out any) (status int, text string) {
	for range 2 {
		u.mu.Lock()
		token := u.token
		if token == "" && path != loginPath {
			token = c.login(u)
		}
		u.mu.Unlock()
		status, text = c.send(method, path, token, in, out)
		if status != http.StatusUnauthorized {
			break
		}
		u.mu.Lock()
		u.token = ""
		u.mu.Unlock()
	}
	return status, text
}

const loginPath = "/api/auth/login"

// login sets and returns the user's token. It is empty if the login failed.
func (c *clients) login(u *user) string {
	var resp struct {
		Token string `json:"access_token"`
	}
	credentials := map[string]string{"email": u.email, "password": u.password}
	c.send(http.MethodPost, loginPath, "", credentials, &resp)
	u.token = resp.Token
	return u.token
}

// send sends one request to the API. It has no context, because at the end of the run the clients
// wait for the responses to their last requests.
func (c *clients) send(method, path, token string, in, out any) (status int, text string) {
	var body io.Reader = http.NoBody
	if in != nil {
		encoded, err := json.Marshal(in)
		if err != nil {
			return 0, err.Error()
		}
		body = bytes.NewReader(encoded)
	}
	req, err := http.NewRequest(method, c.s.stack.API+path, body)
	if err != nil {
		return 0, err.Error()
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return c.do(req, out)
}

// do sends the request. Its results are those of call.
func (c *clients) do(req *http.Request, out any) (status int, text string) {
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	if resp.StatusCode < 300 && out != nil {
		if err := json.Unmarshal(body, out); err != nil {
			return 0, err.Error()
		}
	}
	return resp.StatusCode, string(body[:min(len(body), 300)])
}

// worker is one client of a user. No other client uses its documents, so the order of the
// operations on each document is known.
type worker struct {
	*clients
	user      *user
	random    *rand.Rand
	documents []*document
}

func (w *worker) run(ctx context.Context) {
	tick := time.NewTicker(stepInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.step(ctx)
		}
	}
}

// step performs one random operation.
func (w *worker) step(ctx context.Context) {
	p := w.random.IntN(100)
	deletes := 5
	if w.user.tight {
		deletes = 25
	}
	switch {
	case p < 45 || len(w.documents) == 0:
		w.upload(ctx)
	case p < 45+deletes:
		w.delete(w.pick())
	case p < 80:
		w.confirm(w.pick())
	case p < 88:
		w.overwrite(w.pick())
	case p < 93:
		w.putAfterDelete()
	default:
		w.get(w.pick())
	}
}

// pick returns a random document. Half of the time it is one of the four newest.
func (w *worker) pick() *document {
	n := len(w.documents)
	if w.random.IntN(2) == 0 {
		return w.documents[n-1-w.random.IntN(min(n, 4))]
	}
	return w.documents[w.random.IntN(n)]
}

// text returns n bytes of text. It begins with a UUID, so that no other document has the same
// content.
func (w *worker) text(n int) []byte {
	words := []string{"river", "stone", "letter", "cloud", "harbor", "window", "garden", "paper"}
	out := []byte(uuid.NewString())
	for len(out) < n {
		out = append(out, ' ')
		out = append(out, words[w.random.IntN(len(words))]...)
	}
	return out[:n]
}

// upload requests up to four URLs before it uses the first one, so that the documents may exceed
// the quota together. Then it uploads most of them and confirms some.
func (w *worker) upload(ctx context.Context) {
	var requested []*document
	for range 1 + w.random.IntN(4) {
		if d := w.requestUpload(); d != nil {
			requested = append(requested, d)
		}
	}
	for _, d := range requested {
		w.documents = append(w.documents, d)
		if w.random.IntN(12) == 0 {
			continue // the document is never uploaded
		}
		for attempt := 0; attempt < 4 && !w.put(d); attempt++ {
			pause(ctx, 500*time.Millisecond)
		}
		if w.random.IntN(3) == 0 {
			w.confirm(d)
		}
	}
}

// requestUpload requests an upload URL. It returns nil if none was issued.
func (w *worker) requestUpload() *document {
	size := 40 + w.random.IntN(maxSize-40)
	body := w.text(size)
	var resp struct {
		Document struct {
			ID uuid.UUID `json:"id"`
		} `json:"document"`
		Upload struct {
			URL     string            `json:"url"`
			Headers map[string]string `json:"headers"`
		} `json:"upload"`
	}
	request := map[string]any{
		"filename": "letter.txt", "content_type": "text/plain", "size": size,
	}
	status, _ := w.call(w.user, http.MethodPost, "/api/documents/upload-url", request, &resp)
	switch status {
	case http.StatusCreated:
	case http.StatusRequestEntityTooLarge:
		w.user.refused.Add(1)
		w.r.addCount(countURLsRefused)
		return nil
	default:
		w.r.addCount(countURLsFailed)
		return nil
	}
	d := &document{
		id: resp.Document.ID, key: schema.ObjectKey(resp.Document.ID), user: w.user,
		size: size, body: body, etag: etagOf(body),
		url: resp.Upload.URL, header: resp.Upload.Headers,
	}
	d.note("%s requested a URL for %d bytes", w.user.email, size)
	w.r.addDocument(d)
	w.r.addCount(countURLs)
	return d
}

// put uploads the document and reports whether no further attempt is needed. A response 412 means
// that an earlier PUT, which was not answered, was successful.
func (w *worker) put(d *document) bool {
	status, text := w.sendPUT(d)
	switch status {
	case http.StatusOK, http.StatusPreconditionFailed:
		d.noteOutcome(&d.put, acknowledged, "PUT answered %d", status)
		w.r.addCount(countPUTs)
		return true
	case http.StatusForbidden, http.StatusBadRequest:
		d.note("PUT refused: %d %s", status, text)
		w.r.addViolation(d.id, "a valid PUT was refused: %d %s", status, text)
		return true
	default:
		d.noteOutcome(&d.put, unknown, "PUT answered %d %s", status, text)
		w.r.addCount(countPUTsFailed)
		w.r.addLostEvent(d.key)
		return false
	}
}

// sendPUT uploads the document's content to its URL.
func (w *worker) sendPUT(d *document) (status int, text string) {
	req, err := http.NewRequest(http.MethodPut, d.url, bytes.NewReader(d.body))
	if err != nil {
		return 0, err.Error()
	}
	for name, value := range d.header {
		req.Header.Set(name, value)
	}
	w.inFlight.Add(1)
	defer w.inFlight.Add(-1)
	return w.do(req, nil)
}

func (w *worker) confirm(d *document) {
	var resp struct{ Status string }
	path := "/api/documents/" + d.id.String() + "/confirm"
	code, text := w.call(w.user, http.MethodPost, path, nil, &resp)
	d.note("confirm answered %d %s %s", code, resp.Status, text)
	if code == http.StatusOK {
		w.r.addCount(countConfirms)
	}
	w.checkResponse(d, code, resp.Status)
}

// get requests the document and returns its status.
func (w *worker) get(d *document) (status string) {
	var resp struct{ Status string }
	code, text := w.call(w.user, http.MethodGet, "/api/documents/"+d.id.String(), nil, &resp)
	d.note("GET answered %d %s %s", code, resp.Status, text)
	w.checkResponse(d, code, resp.Status)
	return resp.Status
}

// checkResponse compares a response with the document's history and records a violation if they do
// not match. code is the HTTP status of the response, and status the document's status in it.
func (w *worker) checkResponse(d *document, code int, status string) {
	outcomes := d.outcomes()
	uploaded := status == "uploaded" || status == "classified"
	switch {
	case code == http.StatusOK && outcomes.deleted == acknowledged && status != "deleting":
		w.r.addViolation(d.id, "a response contains a deleted document: it is %q", status)
	case code == http.StatusNotFound && outcomes.deleted == notDone:
		w.r.addViolation(d.id, "a document that nobody deleted was not found")
	case code == http.StatusOK && outcomes.put == notDone && uploaded:
		w.r.addViolation(d.id, "a response contains a document whose file was not uploaded: "+
			"it is %q", status)
	}
}

func (w *worker) delete(d *document) {
	path := "/api/documents/" + d.id.String()
	status, text := w.call(w.user, http.MethodDelete, path, nil, nil)
	switch status {
	case http.StatusAccepted:
		d.noteOutcome(&d.deleted, acknowledged, "DELETE answered %d", status)
		w.r.addCount(countDELETEs)
	case http.StatusNotFound:
		w.checkResponse(d, status, "")
		d.note("DELETE answered %d", status)
	default:
		d.noteOutcome(&d.deleted, unknown, "DELETE answered %d %s", status, text)
	}
}

// overwrite replaces the object of a confirmed document with different content, as MinIO's root
// user.
func (w *worker) overwrite(d *document) {
	if outcomes := d.outcomes(); outcomes.deleted != notDone || outcomes.overwritten != notDone {
		return
	}
	if status := w.get(d); status != "uploaded" && status != "classified" {
		return
	}
	size := d.size
	if w.random.IntN(2) == 0 {
		size++
	}
	body := w.text(size)
	d.noteOutcome(&d.overwritten, unknown, "the root user overwrites the object with %d bytes", size)
	ctx, cancel := context.WithTimeout(context.Background(), clientTimeout)
	defer cancel()
	_, err := w.s.root.PutObject(ctx, w.s.stack.MinIO.Bucket, d.key, bytes.NewReader(body),
		int64(size), miniogo.PutObjectOptions{DisableMultipart: true})
	if err != nil {
		d.note("the overwrite was not acknowledged: %v", err)
		w.r.addLostEvent(d.key)
		return
	}
	d.noteOutcome(&d.overwritten, acknowledged, "the overwrite was acknowledged")
	w.r.addCount(countOverwrites)
}

// putAfterDelete uses the upload URL of a deleted document again.
func (w *worker) putAfterDelete() {
	deleted := slices.DeleteFunc(slices.Clone(w.documents), func(d *document) bool {
		outcomes := d.outcomes()
		return outcomes.deleted != acknowledged || outcomes.put == notDone
	})
	if len(deleted) == 0 {
		return
	}
	d := deleted[w.random.IntN(len(deleted))]
	d.note("PUT after the deletion")
	status, text := w.sendPUT(d)
	if status == http.StatusOK {
		d.note("PUT after the deletion acknowledged")
		w.r.addCount(countPUTsAfterDelete)
		return
	}
	d.note("PUT after the deletion answered %d %s", status, text)
	// With 403 or 412, nothing was stored.
	if status != http.StatusForbidden && status != http.StatusPreconditionFailed {
		w.r.addLostEvent(d.key)
	}
}
