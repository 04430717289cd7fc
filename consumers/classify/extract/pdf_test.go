package extract

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tetratelabs/wazero"
	"go.uber.org/goleak"
)

// cacheDir is filled by the first test that reads a PDF. It is kept for the next
// run, as MinIO's program is: compiling PDFium takes most of a minute under the
// race detector.
var cacheDir string

func TestMain(m *testing.M) {
	flag.StringVar(&cacheDir, "cachedir", "", "keep PDFium's compiled code in this folder, not in the user's cache")
	flag.Parse()
	if cacheDir == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			panic(err)
		}
		cacheDir = filepath.Join(dir, "intray", "test-wasm")
	}
	code := m.Run()
	if e, err := commonOnce(); err != nil || e.Close() != nil {
		fmt.Fprintln(os.Stderr, "the tests' common extractor cannot be closed", err)
		code = 1
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func setup(t testing.TB, config Config) *Extractor {
	t.Helper()
	config.CacheDir = cacheDir
	e, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// common is an Extractor with all defaults, which tests share: each start of
// PDFium takes its time.
func common(t testing.TB) *Extractor {
	t.Helper()
	e, err := commonOnce()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

var commonOnce = sync.OnceValues(func() (*Extractor, error) { return New(Config{CacheDir: cacheDir}) })

func extractBytes(e *Extractor, content []byte) (Result, error) {
	return e.Text(context.Background(), bytes.NewReader(content), int64(len(content)), "")
}

// wellAndAlive checks that e still reads a good document and that no sandbox
// memory of earlier ones is left.
func wellAndAlive(t *testing.T, e *Extractor) {
	t.Helper()
	got, err := extractBytes(e, textPDF("all is well"))
	if err != nil || got.Text != "all is well" {
		t.Fatalf("the next document: %q, %v", got.Text, err)
	}
	box := <-e.pdfs.places
	defer func() { e.pdfs.places <- box }()
	if n := box.memory.mapped(); n != 0 {
		t.Errorf("%d memories of ended sandboxes are still mapped", n)
	}
}

func TestPDF(t *testing.T) {
	t.Parallel()
	e := common(t)
	got, err := extractBytes(e, textPDF("First page\nsecond line", "Gr\xfc\xdfe aus K\xf6ln", "third"))
	want := Result{Kind: "application/pdf", Text: "First page\nsecond line\n\nGrüße aus Köln\n\nthird", Pages: 3}
	if err != nil || got != want {
		t.Fatalf("got %+v, %v\nwant %+v", got, err, want)
	}
}

func TestPDFKindIsFoundFromContent(t *testing.T) {
	t.Parallel()
	e := common(t)
	for _, content := range [][]byte{
		textPDF("content decides"),
		append([]byte("\x00\x01 some bytes before the header\n"), textPDF("content decides")...),
	} {
		got, err := e.Text(t.Context(), bytes.NewReader(content), int64(len(content)), "text/plain")
		if err != nil || got.Text != "content decides" || got.Kind != "application/pdf" {
			t.Errorf("got %+v, %v", got, err)
		}
	}
}

func TestPDFReasons(t *testing.T) {
	t.Parallel()
	e := common(t)
	page := []byte("0 0 m 100 100 l S\n")
	for name, c := range map[string]struct {
		content []byte
		want    error
	}{
		"needs a password":        {encryptedPDF("secret", "owner", "hidden"), ErrEncrypted},
		"a scan":                  {newPDF().pages("", "", page, page), ErrNoText},
		"only blanks":             {textPDF("   ", " "), ErrNoText},
		"header on garbage":       {append([]byte("%PDF-1.7\n"), bytes.Repeat([]byte("garbage \x00\xff"), 1000)...), ErrBroken},
		"header alone":            {[]byte("%PDF-1.7\n"), ErrBroken},
		"no pages":                {newPDF().pages("", ""), ErrBroken},
		"recursive page tree":     {recursivePages(), ErrBroken},
		"catalog that is itself":  {newPDF().end(1), ErrBroken},
		"unknown security scheme": {unknownCrypt(), ErrEncrypted},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := extractBytes(e, c.content)
			if !errors.Is(err, c.want) {
				t.Errorf("got %+v, %v; want %v", got, err, c.want)
			}
			if got.Kind != "application/pdf" || got.Text != "" {
				t.Errorf("got %+v", got)
			}
			wellAndAlive(t, e)
		})
	}
}

// recursivePages has a page tree that contains itself.
func recursivePages() []byte {
	w := newPDF()
	tree := w.object("<< /Type /Pages /Count 1000000 /Kids [ 1 0 R 1 0 R ] /Parent 1 0 R >>")
	return w.end(w.object(fmt.Sprintf("<< /Type /Catalog /Pages %d 0 R >>", tree)))
}

func unknownCrypt() []byte {
	w := newPDF()
	crypt := w.object("<< /Filter /Vendor.Scheme /V 1 >>")
	w.trailer = fmt.Sprintf("/Encrypt %d 0 R /ID [<00> <00>]", crypt)
	return w.pages("", "", lines("hidden"))
}

func TestPDFWithEmptyUserPasswordIsRead(t *testing.T) {
	t.Parallel()
	e := common(t)
	got, err := extractBytes(e, encryptedPDF("", "owner", "may be read by all"))
	if err != nil || got.Text != "may be read by all" {
		t.Fatalf("got %+v, %v", got, err)
	}
}

func TestPDFTruncatedAnywhere(t *testing.T) {
	t.Parallel()
	e := common(t)
	whole := longPDF(5)
	texts := 0
	for cut := len(whole) - 1; cut > 5; cut -= len(whole) / 25 {
		got, err := extractBytes(e, whole[:cut])
		switch {
		case err == nil && strings.Contains(got.Text, "Page number"):
			texts++
		case errors.Is(err, ErrBroken):
		default:
			t.Errorf("cut at %d of %d: %+v, %v", cut, len(whole), got, err)
		}
	}
	if texts == 0 {
		t.Error("a PDF that lost only its end gave no text")
	}
	wellAndAlive(t, e)
}

func TestPDFOutputIsBounded(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{MaxRunes: 5000, MaxPages: 3})
	began := time.Now()
	got, err := extractBytes(e, longPDF(500))
	if err != nil || !got.Truncated || got.Pages != 500 || utf8.RuneCountInString(got.Text) > 5000 {
		t.Fatalf("pages %d, runes %d, truncated %v, %v", got.Pages, utf8.RuneCountInString(got.Text), got.Truncated, err)
	}
	t.Logf("500 pages, 5000 characters wanted: %s", time.Since(began))

	pages := make([]string, 4)
	for i := range pages {
		pages[i] = fmt.Sprintf("page %d", i+1)
	}
	got, err = extractBytes(e, textPDF(pages...))
	if err != nil || !got.Truncated || got.Text != "page 1\n\npage 2\n\npage 3" {
		t.Fatalf("MaxPages: %+v, %v", got, err)
	}
}

func TestPDFBombs(t *testing.T) {
	t.Parallel()
	e := common(t)
	if err := e.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	zeros := deflateRepeated(make([]byte, 1<<20), 300)
	operators := deflateRepeated(bytes.Repeat([]byte("q Q "), 1<<18), 200)
	once := "/Filter /FlateDecode"
	twice := "/Filter [/FlateDecode /FlateDecode]"
	for name, content := range map[string][]byte{
		"300 MiB of zeros":           newPDF().pages(once, "", zeros),
		"300 MiB of zeros, twice":    newPDF().pages(twice, "", deflate(zeros)),
		"200 MiB of operators":       newPDF().pages(twice, "", deflate(operators)),
		"object numbers to 2^31":     bytes.Replace(textPDF("x"), []byte("/Size 6"), []byte("/Size 2147483647"), 1),
		"arrays nested 100,000 deep": newPDF().pages("", "/ExtGState "+strings.Repeat("[", 100_000), []byte("/G gs")),
		"100,000 resources":          newPDF().pages("", "/ExtGState << "+strings.Repeat("/G << /A [ 0 ] >> ", 100_000)+" >>", lines("x")),
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			got, err := extractBytes(e, content)
			t.Logf("%d bytes: %s, %d runes, %v", len(content), time.Since(began).Round(time.Millisecond), len(got.Text), err)
			if err != nil && !errors.Is(err, ErrBroken) && !errors.Is(err, ErrNoText) {
				t.Errorf("%v", err)
			}
			wellAndAlive(t, e)
		})
	}
}

func TestPDFEndlessIsStopped(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{Timeout: 500 * time.Millisecond})
	if err := e.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	_, err := extractBytes(e, endlessPDF())
	if took := time.Since(began); !errors.Is(err, ErrBroken) || took < 400*time.Millisecond {
		t.Fatalf("after %s: got %v, want %v once 500 ms have passed", took, err, ErrBroken)
	}
	wellAndAlive(t, e)
}

func TestPDFEndlessKeepsTextOfEarlierPages(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{Timeout: 500 * time.Millisecond})
	if err := e.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	endless := endlessPDF()
	// The endless page is made the second of two.
	content := bytes.Replace(endless, []byte("/Type /Pages /Count 1 /Kids [ "), []byte("/Type /Pages /Count 2 /Kids [ 99 0 R "), 1)
	page := "\n99 0 obj << /Type /Page /Parent 13 0 R /MediaBox [0 0 612 792] /Contents 98 0 R /Resources << /Font << /F1 10 0 R >> >> >> endobj\n"
	text := lines("before the trap")
	page += fmt.Sprintf("98 0 obj << /Length %d >>\nstream\n%s\nendstream endobj\n", len(text), text)
	content = bytes.Replace(content, []byte("xref\n0 "), []byte(page+"xxxx\n0 "), 1) // without its table PDFium looks for the objects
	got, err := extractBytes(e, content)
	if err != nil || got.Text != "before the trap" || !got.Truncated {
		t.Fatalf("got %+v, %v", got, err)
	}
	wellAndAlive(t, e)
}

func TestPDFContextAndClose(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{Timeout: time.Hour})
	if err := e.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	content := endlessPDF()
	ctx, cancel := context.WithCancel(t.Context())
	started := &signalReader{r: bytes.NewReader(content), done: cancel}
	_, err := e.Text(ctx, started, int64(len(content)), "")
	if !errors.Is(err, context.Canceled) || errors.Is(err, ErrBroken) {
		t.Errorf("canceled: %v", err)
	}
	wellAndAlive(t, e)

	reading := make(chan struct{})
	ended := make(chan error)
	go func() {
		_, err := e.Text(context.Background(), &signalReader{r: bytes.NewReader(content), done: func() { close(reading) }}, int64(len(content)), "")
		ended <- err
	}()
	<-reading
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Errorf("closed while reading: %v", err)
	}
	if _, err := extractBytes(e, content); !errors.Is(err, ErrClosed) {
		t.Errorf("closed before reading: %v", err)
	}
	if err := e.Warm(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("warm after close: %v", err)
	}
}

// signalReader calls done once, when everything was read.
type signalReader struct {
	r    io.Reader
	done func()
}

func (s *signalReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if errors.Is(err, io.EOF) && s.done != nil {
		s.done()
		s.done = nil
	}
	return n, err
}

func TestOneHostilePDFDoesNotHoldOthersUp(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{Workers: 2, Timeout: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	reading, ended := make(chan struct{}), make(chan error)
	go func() {
		content := endlessPDF()
		_, err := e.Text(ctx, &signalReader{r: bytes.NewReader(content), done: func() { close(reading) }}, int64(len(content)), "")
		ended <- err
	}()
	<-reading
	for range 3 {
		if got, err := extractBytes(e, textPDF("beside it")); err != nil || got.Text != "beside it" {
			t.Errorf("got %q, %v", got.Text, err)
		}
	}
	// Both places are taken or waited for: who waits leaves when its context ends.
	box := <-e.pdfs.places
	short, stop := context.WithTimeout(ctx, 10*time.Millisecond)
	defer stop()
	if _, err := e.Text(short, bytes.NewReader(textPDF("x")), -1, ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting: %v", err)
	}
	e.pdfs.places <- box
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the hostile one: %v", err)
	}
}

func TestLargePDFIsReadThroughAWindow(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{MaxBytes: 1 << 20})
	padding := make([]byte, 20<<20)
	for i := range padding {
		padding[i] = byte(i * 7 >> 3)
	}
	w := newPDF()
	w.stream("", padding)
	content := w.pages("", "", lines("behind 20 MiB"))

	counted := &countingReaderAt{Reader: bytes.NewReader(content)}
	got, err := e.Text(t.Context(), counted, int64(len(content)), "")
	if err != nil || got.Text != "behind 20 MiB" {
		t.Fatalf("got %+v, %v", got, err)
	}
	if counted.bytes > 4<<20 {
		t.Errorf("read %d bytes of a file of %d", counted.bytes, len(content))
	}

	_, err = e.Text(t.Context(), readerOnly{bytes.NewReader(content)}, int64(len(content)), "")
	if !errors.Is(err, ErrUnsupported) {
		t.Errorf("without ReadAt: %v", err)
	}
	_, err = e.Text(t.Context(), readerOnly{bytes.NewReader(content)}, -1, "")
	if !errors.Is(err, ErrUnsupported) {
		t.Errorf("of unknown size: %v", err)
	}
	_, err = e.Text(t.Context(), counted, 5<<30, "")
	if !errors.Is(err, ErrUnsupported) {
		t.Errorf("of 5 GiB: %v", err)
	}
	wellAndAlive(t, e)
}

type countingReaderAt struct {
	*bytes.Reader
	bytes      int
	failFrom   int64 // ReadAt from this offset on
	failBefore int64 // and below this one fails
	fail       error
}

func (c *countingReaderAt) ReadAt(p []byte, offset int64) (int, error) {
	if offset >= c.failFrom && offset < c.failBefore {
		return 0, c.fail
	}
	c.bytes += len(p)
	return c.Reader.ReadAt(p, offset)
}

func TestFailingReaderIsNotTheDocumentsFault(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{MaxBytes: 1 << 20})
	w := newPDF()
	w.stream("", make([]byte, 5<<20))
	content := w.pages("", "", lines("behind 5 MiB"))
	down := errors.New("storage is down")

	for name, r := range map[string]io.Reader{
		"at once":       io.MultiReader(readerOnly{errReader{down}}),
		"in the head":   io.MultiReader(bytes.NewReader(content[:100]), errReader{down}),
		"in the window": &countingReaderAt{Reader: bytes.NewReader(content), failBefore: int64(len(content)), fail: down},
	} {
		_, err := e.Text(t.Context(), r, int64(len(content)), "")
		if !errors.Is(err, down) || isReason(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// PDFium shows a page without what it could not read: that is no result.
	w = newPDF()
	w.stream("", make([]byte, 2<<20))
	far := w.stream("", lines("in the middle"))
	w.stream("", make([]byte, 3<<20))
	near := w.stream("", lines("near the end"))
	font := w.object("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
	for _, stream := range []int{near, far} {
		w.object(fmt.Sprintf("<< /Type /Page /Parent %d 0 R /MediaBox [0 0 612 792] /Contents %d 0 R "+
			"/Resources << /Font << /F1 %d 0 R >> >> >>", font+3, stream, font))
	}
	tree := w.object(fmt.Sprintf("<< /Type /Pages /Count 2 /Kids [ %d 0 R %d 0 R ] >>", font+1, font+2))
	content = w.end(w.object(fmt.Sprintf("<< /Type /Catalog /Pages %d 0 R >>", tree)))
	if got, err := extractBytes(e, content); err != nil || got.Text != "near the end\n\nin the middle" {
		t.Fatalf("in one piece: %+v, %v", got, err)
	}
	got, err := e.Text(t.Context(), &countingReaderAt{Reader: bytes.NewReader(content), failFrom: 1 << 20, failBefore: 4 << 20, fail: down}, int64(len(content)), "")
	if !errors.Is(err, down) || isReason(err) {
		t.Errorf("in the middle: %+v, %v", got, err)
	}
	small := textPDF("small")
	_, err = e.Text(t.Context(), io.MultiReader(bytes.NewReader(append(small, make([]byte, 8000)...)), errReader{down}), 20000, "")
	if !errors.Is(err, down) || isReason(err) {
		t.Errorf("in the body: %v", err)
	}
	wellAndAlive(t, e)
}

type errReader struct{ err error }

func (e errReader) Read([]byte) (int, error) { return 0, e.err }

func isReason(err error) bool {
	return errors.Is(err, ErrBroken) || errors.Is(err, ErrEncrypted) || errors.Is(err, ErrNoText) || errors.Is(err, ErrUnsupported)
}

func TestCacheDir(t *testing.T) {
	t.Parallel()
	open := filepath.Join(t.TempDir(), "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil { // Mkdir's mode is cut by the umask
		t.Fatal(err)
	}
	if _, err := New(Config{CacheDir: open}); err == nil || !strings.Contains(err.Error(), open) {
		t.Errorf("a folder that all may write to: %v", err)
	}
	if _, err := New(Config{CacheDir: filepath.Join(os.Args[0], "below a file")}); err == nil {
		t.Error("a folder that cannot be made was accepted")
	}

	dir := filepath.Join(open, "made", "by us")
	e, err := New(Config{CacheDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}

	if err := setup(t, Config{}).Warm(t.Context()); err != nil { // fills cacheDir
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS(cacheDir)); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "wazero-*", "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	if err := os.Truncate(files[0], 1<<20); err != nil {
		t.Fatal(err)
	}
	e, err = New(Config{CacheDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	repaired := false
	e.pdfs.spare = func() wazero.CompilationCache {
		repaired = true
		cache, err := openCache(cacheDir) // to compile anew takes most of a minute under the race detector
		if err != nil {
			t.Error(err)
		}
		return cache
	}
	wellAndAlive(t, e)
	if !repaired {
		t.Error("the damaged file was read")
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(files[0]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the damaged file is still there: %v", err)
	}
}
