package main_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"intray/cmd/internal/stacktest"

	"github.com/jmoiron/sqlx"
	_ "github.com/lib/pq" // the driver
)

const invoice = `INVOICE  Invoice number 2026-0113   Bill to: Example GmbH
Paper, quantity 20, unit price 4.50. Subtotal 248.00, VAT 20 %, amount due: 297.60 EUR.
Payment terms: net 30. Due date 2026-12-01.`

const minutes = `<!doctype html><title>Minutes of the board meeting</title>
<script>invoice()</script>
<p>Attendees: A, B. Agenda: budget. Decision: hire two. Action items: B writes the ad.
Next meeting on Monday.</p>`

const lease = `# Lease agreement

This contract between the **landlord** and the tenant. The parties hereby agree: termination,
liability, governing law.`

// TestEndToEnd runs "intray up" and uses it as a front end does.
func TestEndToEnd(t *testing.T) {
	for name, value := range passedSettings {
		t.Setenv(name, value)
	}
	// "up" must not pass these settings on. No machine has this address, so a server that got it could
	// not listen.
	t.Setenv("LISTEN", "192.0.2.1:1")
	t.Setenv("METRICS_LISTEN", "192.0.2.1:1")
	t.Setenv("GOMEMLIMIT", "460MiB") // what a server sets in a container with 512 MiB
	s := up(t)
	alice := s.Login(t, "alice")

	t.Run("the page is served", func(t *testing.T) { testPage(t, s) })
	t.Run("files are classified", func(t *testing.T) { testClassified(t, alice.For(t)) })
	t.Run("an upload above the quota is rejected", func(t *testing.T) { testQuota(t, s) })
	t.Run("a deletion releases the charge", func(t *testing.T) { testDelete(t, alice.For(t)) })
	t.Run("a download returns the same bytes", func(t *testing.T) { testDownload(t, alice.For(t)) })
	t.Run("many concurrent logins take little memory", func(t *testing.T) { testManyLogins(t, s) })
	t.Run("idle connections of one address are bounded", func(t *testing.T) {
		testIdleConnections(t, s)
	})
	t.Run("settings are passed on", func(t *testing.T) { testPassedSettings(t, s) })
	t.Run("other users have no access", func(t *testing.T) {
		id := alice.For(t).Upload("mine.txt", "text/plain", []byte("mine"))
		bob := s.Login(t, "bob")
		for _, call := range [][2]string{
			{"GET", ""}, {"DELETE", ""}, {"POST", "/confirm"}, {"GET", "/download-url"},
		} {
			bob.Must(call[0], "/api/documents/"+id+call[1], nil, nil, http.StatusNotFound)
		}
	})
	t.Run("confirm while NATS is down", func(t *testing.T) { testNATSDown(t, s) })
	t.Run("no upload is lost when components are killed", func(t *testing.T) {
		testKilledComponents(t, s)
	})
	t.Run("restart", func(t *testing.T) { testRestart(t, s) })
	t.Run("no process is left after a kill", func(t *testing.T) {
		s.Stop(syscall.SIGKILL)
		stacktest.Await(t, 10*time.Second, "the children to end", func() error {
			if left := s.Children(); len(left) > 0 {
				return fmt.Errorf("got processes %v, want none", left)
			}
			return nil
		})
	})
}

// testIdleConnections sends a request on each of 1,500 connections and keeps them open.
func testIdleConnections(t *testing.T, s *stack) {
	const conns, limit = 1500, 1024 // the default of MAX_CONNECTIONS_PER_ADDRESS
	var served atomic.Int32
	var reading sync.WaitGroup
	for range conns {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.API, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		reading.Go(func() {
			if _, err := io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				return
			}
			if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
				_ = resp.Body.Close()
				served.Add(1)
			}
		})
	}
	reading.Wait()
	// The clients of the other tests have a few connections, too.
	if n := served.Load(); n > limit || n < limit-100 {
		t.Errorf("got responses on %d of %d connections, want about %d", n, conns, limit)
	}
}

// testPage checks that the address that "up" prints is the page's, and that the page may contact
// the gateway.
func testPage(t *testing.T, s *stack) {
	c := s.Client(t)
	for path, want := range map[string]string{
		"/": "text/html; charset=utf-8", "/topics": "text/html; charset=utf-8",
		"/api/nothing": "application/problem+json", "/metrics": "application/problem+json",
	} {
		resp, err := c.HTTP.Get(s.Web + path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if got := resp.Header.Get("Content-Type"); err != nil || got != want {
			t.Errorf("%s: got %s, error %v, want %s", path, got, err, want)
		}
		policy := resp.Header.Get("Content-Security-Policy")
		isPage := strings.Contains(string(text), "<title>Intray</title>")
		mayConnect := strings.Contains(policy, "; connect-src 'self' "+s.Gateway+"; ")
		if page := strings.HasPrefix(want, "text/html"); isPage != page || mayConnect != page {
			t.Errorf("%s: got policy %q and\n%s\nwant the page: %v", path, policy, text, page)
		}
	}
}

// passedSettings are settings in the environment of "up", which it must pass on.
var passedSettings = map[string]string{
	"MAX_DOCUMENT_BYTES": "1000000", "ALLOWED_TYPES": "text/*,application/pdf", "SESSION_IDLE": "90m",
}

func testPassedSettings(t *testing.T, s *stack) {
	alice := s.Login(t, "alice")
	for _, c := range []struct {
		contentType string
		size, want  int
	}{
		{"text/plain", 1000000, http.StatusCreated},
		{"text/plain", 1000001, http.StatusRequestEntityTooLarge},
		{"image/png", 100, http.StatusUnsupportedMediaType},
	} {
		alice.Must("POST", "/api/documents/upload-url",
			map[string]any{"filename": "f", "content_type": c.contentType, "size": c.size}, nil, c.want)
	}
	given := s.environment(t, "api")
	for name, value := range passedSettings {
		if !slices.Contains(given, name+"="+value) {
			t.Errorf("environment of the API: got %q, want %s=%s in it", given, name, value)
		}
	}
}

// testManyLogins checks that the API does not exceed 512 MiB while many passwords arrive at once,
// although each hash takes 64 MiB.
func testManyLogins(t *testing.T, s *stack) {
	const logins = 32
	statuses := make(chan int, 2*logins)
	var all sync.WaitGroup
	login := func(email, password string) {
		credentials := map[string]string{"email": email, "password": password}
		status, _, err := s.Client(t).Call("POST", "/api/auth/login", credentials, nil)
		if err != nil {
			t.Error(err)
		}
		statuses <- status
	}
	account := s.Accounts[0]
	for i := range logins {
		all.Go(func() { login(account.Email, account.Password) })
		all.Go(func() { login(fmt.Sprintf("user%d@example.org", i), "wrong") })
	}
	all.Wait()
	close(statuses)
	for status := range statuses {
		if !slices.Contains([]int{200, 401, 429}, status) {
			t.Errorf("login: got status %d, want 200, 401 or 429", status)
		}
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.PIDs["api"]))
	if err != nil {
		t.Fatal(err)
	}
	peak := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text)
	if peak == nil {
		t.Fatalf("got no VmHWM in %s", text)
	}
	if kib, _ := strconv.Atoi(string(peak[1])); kib >= 512<<10 {
		t.Errorf("got a peak of %d MiB, want less than 512 MiB", kib>>10)
	}
}

func testClassified(t *testing.T, c *stacktest.Client) {
	before := c.Used()
	var sum int64
	for _, f := range []struct {
		name, contentType string
		content           []byte
		status, reason    string
		topic             string
	}{
		{"invoice.txt", "text/plain", []byte(invoice), "classified", "", "Invoices"},
		{"lease.md", "text/markdown", []byte(lease), "classified", "", "Contracts"},
		{"minutes.html", "text/html", []byte(minutes), "classified", "", "Meeting notes"},
		{"invoice.pdf", "application/pdf", pdf(invoice), "classified", "", "Invoices"},
		{"empty.txt", "text/plain", nil, "failed", "no_text", ""},
		{"broken.pdf", "application/pdf", []byte("%PDF-1.7\nnothing follows"), "failed", "broken", ""},
		{"not a pdf.pdf", "application/pdf", bytes.Repeat([]byte{0x7f, 'E', 'L', 'F', 0, 1, 2, 3}, 500), "failed", "unsupported", ""},
		{"Über\u00a0uns 文書.txt", "text/plain", []byte("zzz"), "classified", "", ""},
	} {
		t.Run(f.name, func(t *testing.T) {
			c := c.For(t)
			id := c.Upload(f.name, f.contentType, f.content)
			d := c.Becomes(id, 30*time.Second, "classified", "failed", "rejected")
			if d.Status != f.status || d.Reason != f.reason {
				t.Errorf("got status %s %s, want %s %s", d.Status, d.Reason, f.status, f.reason)
			}
			if f.topic != "" && (len(d.Topics) == 0 || d.Topics[0].Name != f.topic) {
				t.Errorf("got topics %v, want %s", d.Topics, f.topic)
			}
			if d.Size != int64(len(f.content)) {
				t.Errorf("got %d bytes, want %d", d.Size, len(f.content))
			}
			sum += d.Size
		})
	}
	if got := c.Used() - before; got != sum {
		t.Errorf("got %d bytes charged, want %d", got, sum)
	}
}

// testQuota uploads two files of which only one fits into the quota. The API issues URLs for both,
// because a URL does not reserve quota.
func testQuota(t *testing.T, s *stack) {
	bob := s.Login(t, "bob")
	db := s.database(t)
	if _, err := db.Exec(`UPDATE quotas SET limit_bytes = 100 FROM users
		WHERE users.id = user_id AND email = 'bob@intray.local'`); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if _, err := db.Exec(`UPDATE quotas SET limit_bytes = 104857600`); err != nil {
			t.Error(err)
		}
	}()
	var urls [2]stacktest.UploadURL
	for i := range urls {
		var err error
		if urls[i], err = bob.RequestURL("sixty.txt", "text/plain", 60); err != nil {
			t.Fatal(err)
		}
	}
	for _, u := range urls {
		if err := bob.Put(u, bytes.Repeat([]byte("x"), 60)); err != nil {
			t.Fatal(err)
		}
	}
	rejected := 0
	for _, u := range urls {
		d := bob.Becomes(u.Document.ID, 10*time.Second, "classified", "failed", "rejected")
		if d.Status != "rejected" {
			continue
		}
		rejected++
		if d.Reason != "quota_exceeded" {
			t.Errorf("got reason %q, want quota_exceeded", d.Reason)
		}
	}
	if used := bob.Used(); rejected != 1 || used != 60 {
		t.Errorf("got %d rejected and %d used bytes, want 1 and 60", rejected, used)
	}
	stacktest.Await(t, 10*time.Second, "the deletion of the rejected object", func() error {
		var n int
		err := db.Get(&n, `SELECT count(*) FROM object_deletions WHERE deleted_at IS NULL`)
		if err == nil && n > 0 {
			err = fmt.Errorf("got %d pending object deletions, want 0", n)
		}
		return err
	})
	status, problem, err := bob.Call("POST", "/api/documents/upload-url",
		map[string]any{"filename": "b", "content_type": "text/plain", "size": 41}, nil)
	if err != nil || status != http.StatusRequestEntityTooLarge ||
		!strings.Contains(problem, "quota_exceeded") {
		t.Errorf("URL for 41 bytes: got status %d, %s, error %v, want 413 quota_exceeded",
			status, problem, err)
	}
}

func testDelete(t *testing.T, c *stacktest.Client) {
	before := c.Used()
	id := c.Upload("a.txt", "text/plain", []byte("twelve bytes"))
	c.Becomes(id, 10*time.Second, "classified")
	c.Must("DELETE", "/api/documents/"+id, nil, nil, http.StatusAccepted)
	stacktest.Await(t, 10*time.Second, "the document to be gone", func() error {
		status, _, err := c.Call("GET", "/api/documents/"+id, nil, nil)
		if err == nil && status != http.StatusNotFound {
			err = fmt.Errorf("got status %d, want 404", status)
		}
		return err
	})
	if got := c.Used(); got != before {
		t.Errorf("got %d used bytes, want %d", got, before)
	}
}

func testDownload(t *testing.T, c *stacktest.Client) {
	id := c.Upload("Rechnung 1 – „neu“.txt", "text/plain", []byte(invoice))
	c.Becomes(id, 10*time.Second, "classified")
	var answer struct {
		URL string `json:"url"`
	}
	c.Must("GET", "/api/documents/"+id+"/download-url", nil, &answer, http.StatusOK)
	resp, err := c.HTTP.Get(answer.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || string(got) != invoice {
		t.Errorf("got status %d, content %q, error %v, want %q", resp.StatusCode, got, err, invoice)
	}
	disposition := resp.Header.Get("Content-Disposition")
	if !strings.HasPrefix(disposition, "attachment") ||
		!strings.Contains(disposition, "Rechnung%201") {
		t.Errorf("got Content-Disposition %q, want attachment with the file name", disposition)
	}
}

// testNATSDown suspends NATS with SIGSTOP, because "up" would restart a process that has exited.
func testNATSDown(t *testing.T, s *stack) {
	alice := s.Login(t, "alice")
	u, err := alice.RequestURL("late.txt", "text/plain", len(invoice))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(s.PIDs["nats"], syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	resume := sync.OnceFunc(func() { _ = syscall.Kill(s.PIDs["nats"], syscall.SIGCONT) })
	defer resume()
	if err := alice.Put(u, []byte(invoice)); err != nil {
		t.Fatal(err)
	}
	var d stacktest.Document
	alice.Must("POST", "/api/documents/"+u.Document.ID+"/confirm", nil, &d, http.StatusOK)
	if d.Status != "uploaded" {
		t.Errorf("got status %s, want uploaded", d.Status)
	}
	alice.Becomes(u.Document.ID, time.Second, "uploaded")
	resume()
	alice.Becomes(u.Document.ID, 90*time.Second, "classified")
}

// testKilledComponents uploads continuously while the components are killed one after another.
// Every upload whose PUT succeeded must be confirmed.
func testKilledComponents(t *testing.T, s *stack) {
	alice := s.Login(t, "alice")
	var mu sync.Mutex
	var uploaded []string // ids of documents whose PUT succeeded
	stop := make(chan struct{})
	var uploads sync.WaitGroup
	for worker := range 4 {
		uploads.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				content := fmt.Appendf(nil, "document %d of worker %d", i, worker)
				u, err := alice.RequestURL("k.txt", "text/plain", len(content))
				if err == nil {
					err = alice.Put(u, content)
				}
				if err == nil {
					mu.Lock()
					uploaded = append(uploaded, u.Document.ID)
					mu.Unlock()
				}
			}
		})
	}
	awaitUploads := func(n int) {
		mu.Lock()
		want := len(uploaded) + n
		mu.Unlock()
		stacktest.Await(t, time.Minute, "more uploads", func() error {
			mu.Lock()
			defer mu.Unlock()
			if len(uploaded) < want {
				return fmt.Errorf("got %d uploads, want %d", len(uploaded), want)
			}
			return nil
		})
	}
	for _, component := range []string{"nats", "postgres", "minio", "api", "consume", "gateway"} {
		awaitUploads(20)
		s.Kill(component)
	}
	awaitUploads(20)
	close(stop)
	uploads.Wait()

	for _, id := range uploaded {
		alice.Becomes(id, 2*time.Minute, "uploaded", "classified", "failed")
	}
	t.Logf("%d uploads", len(uploaded))
	s.expectQuotas(t)
}

// expectQuotas checks that the used bytes of each user are the sum of the charges of the user's
// documents, and the sum of their sizes.
func (s *stack) expectQuotas(t *testing.T) {
	t.Helper()
	var wrong []string
	if err := s.database(t).Select(&wrong, `
		SELECT q.user_id || ': used ' || q.used_bytes || ', charged ' ||
			coalesce(sum(d.charged_bytes), 0)
		FROM quotas AS q LEFT JOIN documents AS d USING (user_id)
		GROUP BY q.user_id, q.used_bytes
		HAVING q.used_bytes <> coalesce(sum(d.charged_bytes), 0)
			OR q.used_bytes <> coalesce(sum(d.size) FILTER (WHERE d.status IN
				('uploaded', 'classified', 'failed', 'deleting')), 0)`); err != nil {
		t.Fatal(err)
	}
	if len(wrong) > 0 {
		t.Errorf("got quotas that differ from the sum of the documents: %v, want none", wrong)
	}
}

func (s *stack) database(t *testing.T) *sqlx.DB {
	t.Helper()
	db, err := sqlx.Connect("postgres", s.Postgres)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// testRestart stops the stack as Ctrl-C does and starts it again.
func testRestart(t *testing.T, s *stack) {
	alice := s.Login(t, "alice")
	used := alice.Used()
	before, err := alice.RequestURL("across the restart.txt", "text/plain", len(invoice))
	if err != nil {
		t.Fatal(err)
	}
	s.Stop(syscall.SIGINT)
	if left := s.Children(); len(left) > 0 {
		t.Errorf("got processes %v after Ctrl-C, want none", left)
	}
	if _, err := os.Stat(filepath.Join(s.Dir, "stack.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("stack.json after Ctrl-C: got error %v, want that it does not exist", err)
	}
	s.Start()
	alice = s.Login(t, "alice")
	if got := alice.Used(); got != used {
		t.Errorf("got %d used bytes, want %d", got, used)
	}
	if err := alice.Put(before, []byte(invoice)); err != nil {
		t.Errorf("PUT with a URL from before the restart: got error %v, want none", err)
	}
	alice.Becomes(before.Document.ID, 10*time.Second, "classified")
}

// pdf returns a PDF of one page that contains the text.
func pdf(text string) []byte {
	var content strings.Builder
	content.WriteString("BT /F1 10 Tf 40 780 Td 14 TL\n")
	for line := range strings.Lines(text) {
		escaped := strings.NewReplacer("(", `\(`, ")", `\)`).Replace(strings.TrimSpace(line))
		fmt.Fprintf(&content, "(%s) '\n", escaped)
	}
	content.WriteString("ET")
	var out bytes.Buffer
	out.WriteString("%PDF-1.4\n")
	var offsets []int
	for i, object := range []string{
		"<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>",
		"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R" +
			"/Resources<</Font<</F1<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>>>",
		fmt.Sprintf("<</Length %d>>stream\n%s\nendstream", content.Len(), content.String()),
	} {
		offsets = append(offsets, out.Len())
		fmt.Fprintf(&out, "%d 0 obj%s\nendobj\n", i+1, object)
	}
	start := out.Len()
	fmt.Fprintf(&out, "xref\n0 %d\n0000000000 65535 f \n", len(offsets)+1)
	for _, o := range offsets {
		fmt.Fprintf(&out, "%010d 00000 n \n", o)
	}
	fmt.Fprintf(&out, "trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n",
		len(offsets)+1, start)
	return out.Bytes()
}
