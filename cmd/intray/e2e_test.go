package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
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

const minutes = `<!doctype html><title>Minutes of the board meeting</title><script>invoice()</script>
<p>Attendees: A, B. Agenda: budget. Decision: hire two. Action items: B writes the ad. Next meeting on Monday.</p>`

// TestEndToEnd runs the real `intray up` and uses it as a front end does.
func TestEndToEnd(t *testing.T) {
	for name, value := range passedOn {
		t.Setenv(name, value)
	}
	t.Setenv("LISTEN", "192.0.2.1:1") // not this machine's
	t.Setenv("METRICS_LISTEN", "192.0.2.1:1")
	s := up(t)
	alice := s.Login(t, "alice")

	t.Run("files become classified", func(t *testing.T) { everyKind(t, s.Login(t, "alice")) })
	t.Run("over quota is rejected", func(t *testing.T) { overQuota(t, s) })
	t.Run("deleted is gone and given back", func(t *testing.T) { deleted(t, s.Login(t, "alice")) })
	t.Run("download gives the same bytes", func(t *testing.T) { download(t, s.Login(t, "alice")) })
	t.Run("settings are passed on", func(t *testing.T) { settingsArePassedOn(t, s) })
	t.Run("others see nothing", func(t *testing.T) {
		id := alice.Upload("mine.txt", "text/plain", []byte("mine"))
		bob := s.Login(t, "bob")
		for _, call := range [][2]string{{"GET", ""}, {"DELETE", ""}, {"POST", "/confirm"}, {"GET", "/download-url"}} {
			bob.Must(call[0], "/api/documents/"+id+call[1], nil, nil, http.StatusNotFound)
		}
	})
	t.Run("confirm works while NATS is down", func(t *testing.T) { natsDown(t, s) })
	t.Run("killed parts lose nothing", func(t *testing.T) { killedParts(t, s) })
	t.Run("a second start finds everything", func(t *testing.T) { secondStart(t, s) })
	t.Run("killed, it leaves no child", func(t *testing.T) {
		s.Stop(syscall.SIGKILL)
		stacktest.Await(t, 10*time.Second, "the children to end", func() error {
			if left := s.Children(); len(left) > 0 {
				return fmt.Errorf("left: %v", left)
			}
			return nil
		})
	})
}

// passedOn are settings that up has in its environment.
var passedOn = map[string]string{
	"MAX_DOCUMENT_BYTES": "1000000", "ALLOWED_TYPES": "text/*,application/pdf", "SESSION_IDLE": "90m",
}

func settingsArePassedOn(t *testing.T, s *stack) {
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
	for name, value := range passedOn {
		if !slices.Contains(given, name+"="+value) {
			t.Errorf("the API has the environment %q, want %s=%s in it", given, name, value)
		}
	}
}

func everyKind(t *testing.T, c *stacktest.Client) {
	before := c.Used()
	var sum int64
	for _, f := range []struct {
		name, contentType string
		content           []byte
		status, reason    string
		topic             string
	}{
		{"invoice.txt", "text/plain", []byte(invoice), "classified", "", "Invoices"},
		{"lease.md", "text/markdown", []byte("# Lease agreement\n\nThis contract between the **landlord** and the tenant. The parties hereby agree: termination, liability, governing law."), "classified", "", "Contracts"},
		{"minutes.html", "text/html", []byte(minutes), "classified", "", "Meeting notes"},
		{"invoice.pdf", "application/pdf", pdf(invoice), "classified", "", "Invoices"},
		{"empty.txt", "text/plain", nil, "failed", "no_text", ""},
		{"broken.pdf", "application/pdf", []byte("%PDF-1.7\nnothing follows"), "failed", "broken", ""},
		{"not a pdf.pdf", "application/pdf", bytes.Repeat([]byte{0x7f, 'E', 'L', 'F', 0, 1, 2, 3}, 500), "failed", "unsupported", ""},
		{"Über\u00a0uns 文書.txt", "text/plain", []byte("zzz"), "classified", "", ""},
	} {
		d := c.Becomes(c.Upload(f.name, f.contentType, f.content), 30*time.Second, "classified", "failed", "rejected")
		if d.Status != f.status || d.Reason != f.reason {
			t.Errorf("%s is %s %s, want %s %s", f.name, d.Status, d.Reason, f.status, f.reason)
		}
		if f.topic != "" && (len(d.Topics) == 0 || d.Topics[0].Name != f.topic) {
			t.Errorf("%s has topics %v, want %s", f.name, d.Topics, f.topic)
		}
		if d.Size != int64(len(f.content)) {
			t.Errorf("%s has %d bytes, want %d", f.name, d.Size, len(f.content))
		}
		sum += d.Size
	}
	if got := c.Used() - before; got != sum {
		t.Errorf("charged %d bytes, uploaded %d", got, sum)
	}
}

// overQuota asks for two URLs that fit one at a time, and uses both.
func overQuota(t *testing.T, s *stack) {
	bob := s.Login(t, "bob")
	db := s.database(t)
	if _, err := db.Exec(`UPDATE quotas SET limit_bytes = 100 FROM users WHERE users.id = user_id AND email = 'bob@intray.local'`); err != nil {
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
		if urls[i], err = bob.Ask("sixty.txt", "text/plain", 60); err != nil {
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
		if d := bob.Becomes(u.Document.ID, 10*time.Second, "classified", "failed", "rejected"); d.Status == "rejected" {
			rejected++
			if d.Reason != "quota_exceeded" {
				t.Errorf("rejected for %q", d.Reason)
			}
		}
	}
	if used := bob.Used(); rejected != 1 || used != 60 {
		t.Errorf("%d rejected, %d bytes used; want 1 and 60", rejected, used)
	}
	stacktest.Await(t, 10*time.Second, "the rejected object to go", func() error {
		var left int
		if err := db.Get(&left, `SELECT count(*) FROM object_deletions WHERE deleted_at IS NULL`); err != nil || left > 0 {
			return fmt.Errorf("%d object deletions left: %w", left, err)
		}
		return nil
	})
	if status, problem, err := bob.Call("POST", "/api/documents/upload-url",
		map[string]any{"filename": "b", "content_type": "text/plain", "size": 41}, nil); err != nil || status != http.StatusRequestEntityTooLarge || !strings.Contains(problem, "quota_exceeded") {
		t.Errorf("a URL for more than is left: status %d: %s %v", status, problem, err)
	}
}

func deleted(t *testing.T, c *stacktest.Client) {
	before := c.Used()
	id := c.Upload("a.txt", "text/plain", []byte("twelve bytes"))
	c.Becomes(id, 10*time.Second, "classified")
	c.Must("DELETE", "/api/documents/"+id, nil, nil, http.StatusAccepted)
	stacktest.Await(t, 10*time.Second, "the document to end", func() error {
		if status, _, err := c.Call("GET", "/api/documents/"+id, nil, nil); err != nil || status != http.StatusNotFound {
			return fmt.Errorf("status %d: %w", status, err)
		}
		return nil
	})
	if used := c.Used(); used != before {
		t.Errorf("%d bytes used, %d before", used, before)
	}
}

func download(t *testing.T, c *stacktest.Client) {
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
		t.Errorf("status %d, got %q, %v", resp.StatusCode, got, err)
	}
	if d := resp.Header.Get("Content-Disposition"); !strings.HasPrefix(d, "attachment") || !strings.Contains(d, "Rechnung%201") {
		t.Errorf("Content-Disposition is %q", d)
	}
}

// natsDown stops NATS with SIGSTOP, so that up does not bring it back.
func natsDown(t *testing.T, s *stack) {
	alice := s.Login(t, "alice")
	u, err := alice.Ask("late.txt", "text/plain", len(invoice))
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
		t.Errorf("confirmed as %s", d.Status)
	}
	alice.Becomes(u.Document.ID, time.Second, "uploaded")
	resume()
	alice.Becomes(u.Document.ID, 90*time.Second, "classified")
}

// killedParts uploads while each part is killed in turn.
func killedParts(t *testing.T, s *stack) {
	alice := s.Login(t, "alice")
	var mu sync.Mutex
	var answered []string
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
				u, err := alice.Ask("k.txt", "text/plain", len(content))
				if err == nil {
					err = alice.Put(u, content)
				}
				if err == nil {
					mu.Lock()
					answered = append(answered, u.Document.ID)
					mu.Unlock()
				}
			}
		})
	}
	progress := func(n int) {
		mu.Lock()
		want := len(answered) + n
		mu.Unlock()
		stacktest.Await(t, time.Minute, "uploads to go on", func() error {
			mu.Lock()
			defer mu.Unlock()
			if len(answered) < want {
				return fmt.Errorf("%d of %d", len(answered), want)
			}
			return nil
		})
	}
	for _, part := range []string{"nats", "postgres", "minio", "api", "consume", "gateway"} {
		progress(20)
		s.Kill(part)
	}
	progress(20)
	close(stop)
	uploads.Wait()

	for _, id := range answered {
		alice.Becomes(id, 2*time.Minute, "uploaded", "classified", "failed")
	}
	t.Logf("%d PUTs answered 200", len(answered))
	s.sums(t)
}

// sums holds every user's used bytes against the charges and sizes.
func (s *stack) sums(t *testing.T) {
	t.Helper()
	var wrong []string
	if err := s.database(t).Select(&wrong, `
		SELECT q.user_id || ': used ' || q.used_bytes || ', charged ' || coalesce(sum(d.charged_bytes), 0)
		FROM quotas AS q LEFT JOIN documents AS d USING (user_id)
		GROUP BY q.user_id, q.used_bytes
		HAVING q.used_bytes <> coalesce(sum(d.charged_bytes), 0)
		    OR q.used_bytes <> coalesce(sum(d.size) FILTER (WHERE d.status IN ('uploaded', 'classified', 'failed', 'deleting')), 0)`); err != nil {
		t.Fatal(err)
	}
	if len(wrong) > 0 {
		t.Errorf("quotas that are not the sum: %v", wrong)
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

// secondStart ends the stack as Ctrl-C does and starts it again.
func secondStart(t *testing.T, s *stack) {
	alice := s.Login(t, "alice")
	used := alice.Used()
	before, err := alice.Ask("over the restart.txt", "text/plain", len(invoice))
	if err != nil {
		t.Fatal(err)
	}
	s.Stop(syscall.SIGINT)
	if left := s.Children(); len(left) > 0 {
		t.Errorf("left after Ctrl-C: %v", left)
	}
	if _, err := os.Stat(filepath.Join(s.Dir, "stack.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("stack.json is still there: %v", err)
	}
	s.Start()
	alice = s.Login(t, "alice")
	if got := alice.Used(); got != used {
		t.Errorf("%d bytes used, %d before", got, used)
	}
	if err := alice.Put(before, []byte(invoice)); err != nil {
		t.Errorf("a URL from before the restart: %v", err)
	}
	alice.Becomes(before.Document.ID, 10*time.Second, "classified")
}

// pdf returns a PDF of one page with the text.
func pdf(text string) []byte {
	var content strings.Builder
	content.WriteString("BT /F1 10 Tf 40 780 Td 14 TL\n")
	for line := range strings.Lines(text) {
		fmt.Fprintf(&content, "(%s) '\n", strings.NewReplacer("(", `\(`, ")", `\)`).Replace(strings.TrimSpace(line)))
	}
	content.WriteString("ET")
	var out bytes.Buffer
	out.WriteString("%PDF-1.4\n")
	var offsets []int
	for i, object := range []string{
		"<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>",
		"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</Font<</F1<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>>>",
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
	fmt.Fprintf(&out, "trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n", len(offsets)+1, start)
	return out.Bytes()
}
