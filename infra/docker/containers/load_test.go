//go:build containers

package containers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// 32 sign-ins at once must not use up the API's memory: each takes 64 MiB while it is hashed.
func TestManySignIns(t *testing.T) {
	d := setup(t)
	before := inspect(t)
	began, limited := time.Now(), 0
	errs := each(64, 32, func(int) error {
		_, err := d.signIn()
		return err
	})
	for _, err := range errs {
		var answer answerError
		if !errors.As(err, &answer) || answer.status != http.StatusTooManyRequests {
			t.Errorf("got error %v, want 200 or 429", err)
		}
		limited++
	}
	t.Logf("64 sign-ins, 32 at once: %d limited, in %s", limited, seconds(began))
	stable(t, before)
}

func TestManyFiles(t *testing.T) {
	d := setup(t)
	c, err := d.signIn()
	if err != nil {
		t.Fatal(err)
	}
	before, began := inspect(t), time.Now()
	ids := uploadAll(t, c, 300, 300, note)
	t.Logf("300 files at once were uploaded in %s", seconds(began))
	waitClassified(t, c, ids, 5*time.Minute)
	t.Logf("and classified in %s", seconds(began))
	stable(t, before)
}

func TestManyLargePDFs(t *testing.T) {
	d := setup(t)
	c, err := d.signIn()
	if err != nil {
		t.Fatal(err)
	}
	before, began := inspect(t), time.Now()
	content := pdf(200)
	ids := uploadAll(t, c, 40, 8, func(i int) (string, string, []byte) {
		return fmt.Sprintf("report-%d.pdf", i), "application/pdf", content
	})
	waitClassified(t, c, ids, 10*time.Minute)
	t.Logf("40 PDFs with %d bytes were classified in %s", len(content), seconds(began))
	stable(t, before)
}

// No server may need nearly all of its memory under a steady load. The log has the figures of
// docs/operations.md.
func TestMemoryAndProcessorUse(t *testing.T) {
	d := setup(t)
	c, err := d.signIn()
	if err != nil {
		t.Fatal(err)
	}
	logUse(t, "idle")
	l := startLoad(c, 8)
	l.more(t, 100)
	logUse(t, "8 clients that upload small files")
	waitClassified(t, c, l.end(), 3*time.Minute)
}

// logUse logs what each container uses, and fails if it uses 90 % of its memory.
func logUse(t *testing.T, when string) {
	t.Helper()
	lines := run(t, "docker stats --no-stream --format json $(docker compose ps --quiet)")
	for line := range strings.Lines(lines) {
		var use struct{ Name, MemUsage, MemPerc, CPUPerc string }
		if err := json.Unmarshal([]byte(line), &use); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		t.Logf("%s: %s: memory %s, processor %s", when, use.Name, use.MemUsage, use.CPUPerc)
		percent, err := strconv.ParseFloat(strings.TrimSuffix(use.MemPerc, "%"), 64)
		if err != nil || percent > 90 {
			t.Errorf("%s: %s: got %s of its memory, want at most 90 %%", when, use.Name, use.MemPerc)
		}
	}
}

// pdf returns a document with the given number of pages of text.
func pdf(pages int) []byte {
	var out bytes.Buffer
	var offsets []int
	object := func(format string, args ...any) {
		offsets = append(offsets, out.Len())
		fmt.Fprintf(&out, "%d 0 obj\n%s\nendobj\n", len(offsets), fmt.Sprintf(format, args...))
	}
	out.WriteString("%PDF-1.4\n")
	object("<< /Type /Catalog /Pages 2 0 R >>")
	var kids bytes.Buffer
	for i := range pages {
		fmt.Fprintf(&kids, "%d 0 R ", 4+2*i)
	}
	object("<< /Type /Pages /Count %d /Kids [%s] >>", pages, kids.String())
	object("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
	for i := range pages {
		var text bytes.Buffer
		text.WriteString("BT /F1 9 Tf 40 800 Td 12 TL\n")
		for line := range 60 {
			fmt.Fprintf(&text, "(Page %d, line %d: the report of the electricity company.) '\n", i, line)
		}
		text.WriteString("ET")
		object("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R "+
			"/Resources << /Font << /F1 3 0 R >> >> >>", 5+2*i)
		object("<< /Length %d >>\nstream\n%s\nendstream", text.Len(), text.String())
	}
	xref := out.Len()
	fmt.Fprintf(&out, "xref\n0 %d\n0000000000 65535 f \n", len(offsets)+1)
	for _, offset := range offsets {
		fmt.Fprintf(&out, "%010d 00000 n \n", offset)
	}
	fmt.Fprintf(&out, "trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n",
		len(offsets)+1, xref)
	return out.Bytes()
}
