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
	clientTimeout = 25 * time.Second // an answer after it is none
	workers       = 3                // of each user
	pace          = 150 * time.Millisecond
	// Half of the users are kept near their limit, so that much is rejected; the
	// others delete little, so that much stays to be looked for at the end.
	tightLimit, roomyLimit = 24_000, 100 << 20
	maxSize                = 4_000
)

// user is an account with what its workers share.
type user struct {
	email, password string
	tight           bool
	lowered         atomic.Bool  // its limit was lowered for a while
	refused         atomic.Int32 // URLs, for the quota

	mu    sync.Mutex
	token string
}

// clients use the system from outside, each operation as a front end makes it.
type clients struct {
	s        *system
	r        *record
	http     *http.Client
	users    []*user
	inFlight atomic.Int32 // PUTs whose answer has not come
	running  sync.WaitGroup
}

// users adds accounts with the operator's command.
func users(t *testing.T, s *system, n int) []*user {
	t.Helper()
	all := make([]*user, n)
	for i := range all {
		u := &user{email: fmt.Sprintf("user-%d@example.org", i), tight: i%2 == 0}
		limit := roomyLimit
		if u.tight {
			limit = tightLimit
		}
		out, err := exec.CommandContext(t.Context(), s.up.path, "users", "add", "--data", s.dir, "--generate", fmt.Sprintf("--quota=%d", limit), u.email).CombinedOutput()
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

// work starts the workers of the users; they end with ctx.
func (c *clients) work(ctx context.Context, seed uint64) {
	for i, u := range c.users {
		for w := range workers {
			choose := rand.New(rand.NewPCG(seed, uint64(i*workers+w)+1))
			c.running.Go(func() { (&worker{c, u, choose, nil}).work(ctx) })
		}
	}
}

// stop waits for the workers' last answers.
func (c *clients) stop() {
	c.running.Wait()
	c.http.CloseIdleConnections()
}

// call makes an API call and returns its status, or 0 if no answer came. An
// answer of 2xx is read into out.
func (c *clients) call(u *user, method, path string, in, out any) (status int, problem string) {
	for range 2 {
		u.mu.Lock()
		token := u.token
		if token == "" && path != loginPath {
			token = c.login(u)
		}
		u.mu.Unlock()
		status, problem = c.send(method, path, token, in, out)
		if status != http.StatusUnauthorized {
			break
		}
		u.mu.Lock()
		u.token = ""
		u.mu.Unlock()
	}
	return status, problem
}

const loginPath = "/api/auth/login"

func (c *clients) login(u *user) string {
	var answer struct {
		Token string `json:"access_token"`
	}
	c.send(http.MethodPost, loginPath, "", map[string]string{"email": u.email, "password": u.password}, &answer)
	u.token = answer.Token
	return u.token
}

// send makes one request. It does not end with the run: an answer that is on its
// way is waited for.
func (c *clients) send(method, path, token string, in, out any) (status int, problem string) {
	var body io.Reader = http.NoBody
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return 0, err.Error()
		}
		body = bytes.NewReader(text)
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

func (c *clients) do(req *http.Request, out any) (status int, problem string) {
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	if resp.StatusCode < 300 && out != nil {
		if err := json.Unmarshal(text, out); err != nil {
			return 0, err.Error()
		}
	}
	return resp.StatusCode, string(text[:min(len(text), 300)])
}

// worker is one of a user's clients. It touches its own documents only, so that
// the order of what befell each of them is known.
type worker struct {
	*clients
	user   *user
	choose *rand.Rand
	mine   []*document
}

func (w *worker) work(ctx context.Context) {
	tick := time.NewTicker(pace)
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

// step does one thing by chance.
func (w *worker) step(ctx context.Context) {
	p := w.choose.IntN(100)
	deletes := 5
	if w.user.tight {
		deletes = 25
	}
	switch {
	case p < 45 || len(w.mine) == 0:
		w.upload(ctx)
	case p < 45+deletes:
		w.delete(w.pick())
	case p < 80:
		w.confirm(w.pick())
	case p < 88:
		w.overwrite(w.pick())
	case p < 93:
		w.putAgain()
	default:
		w.look(w.pick())
	}
}

// pick prefers what was touched last.
func (w *worker) pick() *document {
	n := len(w.mine)
	if w.choose.IntN(2) == 0 {
		return w.mine[n-1-w.choose.IntN(min(n, 4))]
	}
	return w.mine[w.choose.IntN(n)]
}

// text returns n bytes that no other document holds.
func (w *worker) text(n int) []byte {
	words := []string{"river", "stone", "letter", "cloud", "harbor", "window", "garden", "paper"}
	out := []byte(uuid.NewString())
	for len(out) < n {
		out = append(out, ' ')
		out = append(out, words[w.choose.IntN(len(words))]...)
	}
	return out[:n]
}

// upload asks for some URLs at once, so that together they may not fit, and uses
// most of them.
func (w *worker) upload(ctx context.Context) {
	var asked []*document
	for range 1 + w.choose.IntN(4) {
		if d := w.ask(); d != nil {
			asked = append(asked, d)
		}
	}
	for _, d := range asked {
		w.mine = append(w.mine, d)
		if w.choose.IntN(12) == 0 {
			continue // its owner has lost interest
		}
		for try := 0; try < 4 && !w.put(d); try++ {
			pause(ctx, 500*time.Millisecond)
		}
		if w.choose.IntN(3) == 0 {
			w.confirm(d)
		}
	}
}

func (w *worker) ask() *document {
	size := 40 + w.choose.IntN(maxSize-40)
	body := w.text(size)
	var answer struct {
		Document struct {
			ID uuid.UUID `json:"id"`
		} `json:"document"`
		Upload struct {
			URL     string            `json:"url"`
			Headers map[string]string `json:"headers"`
		} `json:"upload"`
	}
	status, _ := w.call(w.user, http.MethodPost, "/api/documents/upload-url",
		map[string]any{"filename": "letter.txt", "content_type": "text/plain", "size": size}, &answer)
	switch status {
	case http.StatusCreated:
	case http.StatusRequestEntityTooLarge:
		w.user.refused.Add(1)
		w.r.count("URLs refused for the quota")
		return nil
	default:
		w.r.count("URLs not given")
		return nil
	}
	d := &document{
		id: answer.Document.ID, key: schema.ObjectKey(answer.Document.ID), user: w.user, size: size, body: body, etag: etagOf(body),
		url: answer.Upload.URL, head: answer.Upload.Headers,
	}
	d.note(nil, never, "%s asked for a URL for %d bytes", w.user.email, size)
	w.r.add(d)
	w.r.count("URLs given")
	return d
}

// put uploads and reports whether it is there. MinIO's 412 means that an earlier attempt,
// whose answer did not come, was stored.
func (w *worker) put(d *document) bool {
	status, problem := w.store(d)
	switch status {
	case http.StatusOK, http.StatusPreconditionFailed:
		d.note(&d.put, surely, "PUT answered %d", status)
		w.r.count("PUTs acknowledged")
		return true
	case http.StatusForbidden, http.StatusBadRequest:
		d.note(nil, never, "PUT refused: %d %s", status, problem)
		w.r.violated(d.id, "a PUT as its URL asks for was refused: %d %s", status, problem)
		return true
	default:
		d.note(&d.put, perhaps, "PUT answered %d %s", status, problem)
		w.r.count("PUTs not acknowledged")
		w.r.unanswered(d.key)
		return false
	}
}

func (w *worker) store(d *document) (status int, problem string) {
	req, err := http.NewRequest(http.MethodPut, d.url, bytes.NewReader(d.body))
	if err != nil {
		return 0, err.Error()
	}
	for name, value := range d.head {
		req.Header.Set(name, value)
	}
	w.inFlight.Add(1)
	defer w.inFlight.Add(-1)
	return w.do(req, nil)
}

func (w *worker) confirm(d *document) {
	var answer struct{ Status string }
	status, problem := w.call(w.user, http.MethodPost, "/api/documents/"+d.id.String()+"/confirm", nil, &answer)
	d.note(nil, never, "confirm answered %d %s %s", status, answer.Status, problem)
	if status == http.StatusOK {
		w.r.count("confirms answered")
	}
	w.judge(d, status, answer.Status)
}

func (w *worker) look(d *document) (status string) {
	var answer struct{ Status string }
	code, problem := w.call(w.user, http.MethodGet, "/api/documents/"+d.id.String(), nil, &answer)
	d.note(nil, never, "GET answered %d %s %s", code, answer.Status, problem)
	w.judge(d, code, answer.Status)
	return answer.Status
}

// judge holds an answer against what the client knows already.
func (w *worker) judge(d *document, code int, status string) {
	f := d.facts()
	switch {
	case code == http.StatusOK && f.deleted == surely && status != "deleting":
		w.r.violated(d.id, "a deleted document came back as %q", status)
	case code == http.StatusNotFound && f.deleted == never:
		w.r.violated(d.id, "a document that nobody deleted is not found")
	case code == http.StatusOK && f.put == never && (status == "uploaded" || status == "classified"):
		w.r.violated(d.id, "a document whose file never came is %q", status)
	}
}

func (w *worker) delete(d *document) {
	status, problem := w.call(w.user, http.MethodDelete, "/api/documents/"+d.id.String(), nil, nil)
	switch status {
	case http.StatusAccepted:
		d.note(&d.deleted, surely, "DELETE answered %d", status)
		w.r.count("DELETEs acknowledged")
	case http.StatusNotFound:
		w.judge(d, status, "")
		d.note(nil, never, "DELETE answered %d", status)
	default:
		d.note(&d.deleted, perhaps, "DELETE answered %d %s", status, problem)
	}
}

// overwrite is somebody with MinIO's keys who puts another content at the key of
// a document that was confirmed.
func (w *worker) overwrite(d *document) {
	if f := d.facts(); f.deleted != never || f.overwritten != never {
		return
	}
	if s := w.look(d); s != "uploaded" && s != "classified" {
		return
	}
	size := d.size
	if w.choose.IntN(2) == 0 {
		size++
	}
	body := w.text(size)
	d.note(&d.overwritten, perhaps, "somebody with the keys overwrites it with %d bytes", size)
	ctx, cancel := context.WithTimeout(context.Background(), clientTimeout)
	defer cancel()
	_, err := w.s.root.PutObject(ctx, w.s.stack.MinIO.Bucket, d.key, bytes.NewReader(body), int64(size), miniogo.PutObjectOptions{DisableMultipart: true})
	if err != nil {
		d.note(nil, never, "no acknowledgment of the overwriting: %v", err)
		w.r.unanswered(d.key)
		return
	}
	d.note(&d.overwritten, surely, "the overwriting is acknowledged")
	w.r.count("overwrites acknowledged")
}

// putAgain uses the URL of a deleted document once more.
func (w *worker) putAgain() {
	gone := slices.DeleteFunc(slices.Clone(w.mine), func(d *document) bool {
		f := d.facts()
		return f.deleted != surely || f.put == never
	})
	if len(gone) == 0 {
		return
	}
	d := gone[w.choose.IntN(len(gone))]
	d.note(&d.stray, perhaps, "it is put once more")
	status, problem := w.store(d)
	if status == http.StatusOK {
		d.note(&d.stray, surely, "which is acknowledged")
		w.r.count("PUTs to deleted documents")
		return
	}
	d.note(nil, never, "which is answered %d %s", status, problem)
	if status != http.StatusForbidden && status != http.StatusPreconditionFailed { // those stored nothing
		w.r.unanswered(d.key)
	}
}
