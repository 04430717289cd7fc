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

// cacheDir is filled by the first test that reads a PDF. It is kept for the next run, because
// compiling PDFium takes most of a minute with the race detector.
var cacheDir string

func TestMain(m *testing.M) {
	flag.StringVar(&cacheDir, "cachedir", "",
		"folder for PDFium's compiled code, instead of one in the user's cache")
	flag.Parse()
	if cacheDir == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			panic(err)
		}
		cacheDir = filepath.Join(dir, "intray", "test-wasm")
	}
	code := m.Run()
	e, err := openShared()
	if err == nil {
		err = e.Close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "close the shared extractor:", err)
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

// shared returns an Extractor with default settings that tests share, because starting PDFium takes
// time.
func shared(t testing.TB) *Extractor {
	t.Helper()
	e, err := openShared()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

var openShared = sync.OnceValues(func() (*Extractor, error) {
	return New(Config{CacheDir: cacheDir, OCRTimeout: 5 * time.Minute})
})

func extractBytes(e *Extractor, content []byte) (Result, error) {
	return e.Text(context.Background(), bytes.NewReader(content), int64(len(content)), "")
}

// wasStopped reports whether err means that a document was stopped at its timeout: as broken or, if
// other tests keep the machine busy, as one that may be read later.
func wasStopped(err error) bool { return errors.Is(err, errTimeout) || errors.Is(err, ErrBusy) }

// checkWorking checks that e reads a valid document and has released the memory of earlier ones.
func checkWorking(t *testing.T, e *Extractor) {
	t.Helper()
	const want = "all is well"
	got, err := extractBytes(e, textPDF(want))
	if err != nil || got.Text != want {
		t.Fatalf("next document: got text %q, %v, want %q", got.Text, err, want)
	}
	box := <-e.pdfs.idle
	defer func() { e.pdfs.idle <- box }()
	if n := box.memory.mapped(); n != 0 {
		t.Errorf("got %d mappings of earlier documents, want none", n)
	}
}

// checkExternalError checks that err wraps want and none of the errors that a document causes.
func checkExternalError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) || causedByDocument(err) {
		t.Errorf("got error %v, want %v and no error of the document", err, want)
	}
}

func causedByDocument(err error) bool {
	return errors.Is(err, ErrBroken) || errors.Is(err, ErrEncrypted) ||
		errors.Is(err, ErrNoText) || errors.Is(err, ErrUnsupported)
}

func TestPDF(t *testing.T) {
	t.Parallel()
	e := shared(t)
	got, err := extractBytes(e, textPDF("First page\nsecond line", "Gr\xfc\xdfe aus K\xf6ln", "third"))
	want := Result{
		Kind:  "application/pdf",
		Text:  "First page\nsecond line\n\nGrüße aus Köln\n\nthird",
		Pages: 3,
	}
	if err != nil || got != want {
		t.Fatalf("got %+v, %v\nwant %+v", got, err, want)
	}
}

func TestPDFIsDetectedFromContent(t *testing.T) {
	t.Parallel()
	e := shared(t)
	const text = "content decides"
	for name, content := range map[string][]byte{
		"header at the start": textPDF(text),
		"header after other bytes": append(
			[]byte("\x00\x01 some bytes before the header\n"), textPDF(text)...),
	} {
		t.Run(name, func(t *testing.T) {
			r := bytes.NewReader(content)
			got, err := e.Text(t.Context(), r, int64(len(content)), "text/plain")
			if err != nil || got.Text != text || got.Kind != "application/pdf" {
				t.Errorf("got %+v, %v, want application/pdf with text %q", got, err, text)
			}
		})
	}
}

func TestUnreadablePDFs(t *testing.T) {
	t.Parallel()
	e := shared(t)
	const header = "%PDF-1.7\n"
	page := []byte("0 0 m 100 100 l S\n")
	garbage := bytes.Repeat([]byte("garbage \x00\xff"), 1000)
	for name, c := range map[string]struct {
		content []byte
		want    error
	}{
		"with a password":           {encryptedPDF("secret", "owner", "hidden"), ErrEncrypted},
		"unknown encryption scheme": {pdfWithUnknownEncryption(), ErrEncrypted},
		"scan":                      {newPDF().pages("", "", page, page), ErrNoText},
		"only spaces":               {textPDF("   ", " "), ErrNoText},
		"header and garbage":        {append([]byte(header), garbage...), ErrBroken},
		"header only":               {[]byte(header), ErrBroken},
		"no pages":                  {newPDF().pages("", ""), ErrBroken},
		"recursive page tree":       {pdfWithRecursivePages(), ErrBroken},
		"catalog refers to itself":  {newPDF().end(1), ErrBroken},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := extractBytes(e, c.content)
			if !errors.Is(err, c.want) {
				t.Errorf("got %+v, %v, want error %v", got, err, c.want)
			}
			if got.Kind != "application/pdf" || got.Text != "" {
				t.Errorf("got kind %q, text %q, want application/pdf without text",
					got.Kind, got.Text)
			}
			checkWorking(t, e)
		})
	}
}

// pdfWithRecursivePages returns a PDF whose page tree contains itself.
func pdfWithRecursivePages() []byte {
	w := newPDF()
	tree := w.object("<< /Type /Pages /Count 1000000 /Kids [ 1 0 R 1 0 R ] /Parent 1 0 R >>")
	return w.end(w.object(fmt.Sprintf("<< /Type /Catalog /Pages %d 0 R >>", tree)))
}

func pdfWithUnknownEncryption() []byte {
	w := newPDF()
	crypt := w.object("<< /Filter /Vendor.Scheme /V 1 >>")
	w.trailer = fmt.Sprintf("/Encrypt %d 0 R /ID [<00> <00>]", crypt)
	return w.pages("", "", lines("hidden"))
}

func TestPDFWithEmptyUserPasswordIsRead(t *testing.T) {
	t.Parallel()
	const want = "may be read by all"
	got, err := extractBytes(shared(t), encryptedPDF("", "owner", want))
	if err != nil || got.Text != want {
		t.Fatalf("got %+v, %v, want text %q", got, err, want)
	}
}

func TestTruncatedPDF(t *testing.T) {
	t.Parallel()
	e := shared(t)
	whole := longPDF(5)
	texts := 0
	for cut := len(whole) - 1; cut > 5; cut -= len(whole) / 25 {
		got, err := extractBytes(e, whole[:cut])
		switch {
		case err == nil && strings.Contains(got.Text, "Page number"):
			texts++
		case errors.Is(err, ErrBroken):
		default:
			t.Errorf("truncated to %d of %d bytes: got %+v, %v, want text or %v",
				cut, len(whole), got, err, ErrBroken)
		}
	}
	if texts == 0 {
		t.Error("got no text from any truncated PDF, want text if only the end is missing")
	}
	checkWorking(t, e)
}

func TestPDFOutputIsLimited(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{MaxRunes: 5000, MaxPages: 3})
	t.Run("by MaxRunes", func(t *testing.T) {
		start := time.Now()
		got, err := extractBytes(e, longPDF(500))
		runes := utf8.RuneCountInString(got.Text)
		if err != nil || !got.Truncated || got.Pages != 500 || runes > 5000 {
			t.Fatalf("got %d pages, %d characters, truncated %v, %v, "+
				"want 500 pages, at most 5000 characters, truncated",
				got.Pages, runes, got.Truncated, err)
		}
		t.Logf("took %s", time.Since(start))
	})
	t.Run("by MaxPages", func(t *testing.T) {
		got, err := extractBytes(e, textPDF("page 1", "page 2", "page 3", "page 4"))
		const want = "page 1\n\npage 2\n\npage 3"
		if err != nil || !got.Truncated || got.Text != want {
			t.Fatalf("got %+v, %v, want text %q, truncated", got, err, want)
		}
	})
}

func TestPDFBombs(t *testing.T) {
	t.Parallel()
	e := shared(t)
	if err := e.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	const once = "/Filter /FlateDecode"
	const twice = "/Filter [/FlateDecode /FlateDecode]"
	zeros := deflateRepeated(make([]byte, 1<<20), 300)
	operators := deflateRepeated(bytes.Repeat([]byte("q Q "), 1<<18), 200)
	hugeSize := bytes.Replace(textPDF("x"), []byte("/Size 6"), []byte("/Size 2147483647"), 1)
	nestedArrays := "/ExtGState " + strings.Repeat("[", 100_000)
	resources := "/ExtGState << " + strings.Repeat("/G << /A [ 0 ] >> ", 100_000) + " >>"
	for name, content := range map[string][]byte{
		"300 MiB of zeros":           newPDF().pages(once, "", zeros),
		"300 MiB of zeros, twice":    newPDF().pages(twice, "", deflate(zeros)),
		"200 MiB of operators":       newPDF().pages(twice, "", deflate(operators)),
		"2^31-1 objects":             hugeSize,
		"arrays nested 100,000 deep": newPDF().pages("", nestedArrays, []byte("/G gs")),
		"100,000 resources":          newPDF().pages("", resources, lines("x")),
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			got, err := extractBytes(e, content)
			took := time.Since(start).Round(time.Millisecond)
			t.Logf("%d bytes, %s, text of %d bytes, %v", len(content), took, len(got.Text), err)
			if err != nil && !errors.Is(err, ErrBroken) && !errors.Is(err, ErrNoText) {
				t.Errorf("got error %v, want nil, %v or %v", err, ErrBroken, ErrNoText)
			}
			checkWorking(t, e)
		})
	}
}

func TestEndlessPDFIsStopped(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{Timeout: 500 * time.Millisecond})
	if err := e.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	_, err := extractBytes(e, endlessPDF())
	if took := time.Since(start); !wasStopped(err) || took < 400*time.Millisecond {
		t.Fatalf("got error %v after %s, want %v after the timeout of 500 ms", err, took, ErrBroken)
	}
	checkWorking(t, e)
}

func TestEndlessPDFKeepsTextOfEarlierPages(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{Timeout: 500 * time.Millisecond})
	if err := e.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	const want = "before the trap"
	text := lines(want)
	firstPage := fmt.Sprintf("\n99 0 obj << /Type /Page /Parent 13 0 R /MediaBox [0 0 612 792] "+
		"/Contents 98 0 R /Resources << /Font << /F1 10 0 R >> >> >> endobj\n"+
		"98 0 obj << /Length %d >>\nstream\n%s\nendstream endobj\n", len(text), text)
	content := strings.NewReplacer(
		"/Type /Pages /Count 1 /Kids [ ", "/Type /Pages /Count 2 /Kids [ 99 0 R ",
		// Without a cross-reference table PDFium searches for the objects.
		"xref\n0 ", firstPage+"xxxx\n0 ",
	).Replace(string(endlessPDF()))
	got, err := extractBytes(e, []byte(content))
	if err != nil || got.Text != want || !got.Truncated {
		t.Fatalf("got %+v, %v, want text %q, truncated", got, err, want)
	}
	checkWorking(t, e)
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

func TestCanceledPDFIsStopped(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{Timeout: time.Hour})
	if err := e.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	content := endlessPDF()
	ctx, cancel := context.WithCancel(t.Context())
	r := &signalReader{r: bytes.NewReader(content), done: cancel}
	_, err := e.Text(ctx, r, int64(len(content)), "")
	checkExternalError(t, err, context.Canceled)
	checkWorking(t, e)
}

func TestCloseStopsPDF(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{Timeout: time.Hour})
	content := endlessPDF()
	reading, ended := make(chan struct{}), make(chan error)
	go func() {
		r := &signalReader{r: bytes.NewReader(content), done: func() { close(reading) }}
		_, err := e.Text(context.Background(), r, int64(len(content)), "")
		ended <- err
	}()
	<-reading
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Errorf("call in progress: got error %v, want %v", err, ErrClosed)
	}
	if _, err := extractBytes(e, content); !errors.Is(err, ErrClosed) {
		t.Errorf("Text after Close: got error %v, want %v", err, ErrClosed)
	}
	if err := e.Warm(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Warm after Close: got error %v, want %v", err, ErrClosed)
	}
}

func TestEndlessPDFDoesNotBlockOthers(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{Workers: 2, Timeout: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	reading, ended := make(chan struct{}), make(chan error)
	go func() {
		content := endlessPDF()
		r := &signalReader{r: bytes.NewReader(content), done: func() { close(reading) }}
		_, err := e.Text(ctx, r, int64(len(content)), "")
		ended <- err
	}()
	<-reading
	for range 3 {
		const want = "meanwhile"
		if got, err := extractBytes(e, textPDF(want)); err != nil || got.Text != want {
			t.Errorf("got text %q, %v, want %q", got.Text, err, want)
		}
	}
	// With both sandboxes in use, a call waits until its context is done.
	box := <-e.pdfs.idle
	waitCtx, stop := context.WithTimeout(ctx, 10*time.Millisecond)
	defer stop()
	_, err := e.Text(waitCtx, bytes.NewReader(textPDF("x")), -1, "")
	checkExternalError(t, err, context.DeadlineExceeded)
	e.pdfs.idle <- box
	cancel()
	checkExternalError(t, <-ended, context.Canceled)
}

// largePDF returns a PDF with the text after padding of this size, in bytes.
func largePDF(padding int, text string) []byte {
	content := make([]byte, padding)
	for i := range content {
		content[i] = byte(i * 7 >> 3)
	}
	w := newPDF()
	w.stream("", content)
	return w.pages("", "", lines(text))
}

// A PDF that is larger than MaxBytes is read through a window.
func TestLargePDF(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{MaxBytes: 1 << 20})
	const text = "after 20 MiB"
	content := largePDF(20<<20, text)
	size := int64(len(content))
	t.Run("with ReadAt", func(t *testing.T) {
		r := &countingReaderAt{Reader: bytes.NewReader(content)}
		got, err := e.Text(t.Context(), r, size, "")
		if err != nil || got.Text != text {
			t.Fatalf("got %+v, %v, want text %q", got, err, text)
		}
		if r.bytes > 4<<20 {
			t.Errorf("read %d bytes of a file of %d, want at most 4 MiB", r.bytes, size)
		}
	})
	for name, c := range map[string]struct {
		r    io.Reader
		size int64
	}{
		"without ReadAt": {readerOnly{bytes.NewReader(content)}, size},
		"unknown size":   {readerOnly{bytes.NewReader(content)}, -1},
		"5 GiB":          {&countingReaderAt{Reader: bytes.NewReader(content)}, 5 << 30},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := e.Text(t.Context(), c.r, c.size, ""); !errors.Is(err, ErrUnsupported) {
				t.Errorf("got error %v, want %v", err, ErrUnsupported)
			}
		})
	}
	checkWorking(t, e)
}

// countingReaderAt counts the bytes that ReadAt reads. ReadAt fails at offsets from failFrom up to,
// but not including, failBefore.
type countingReaderAt struct {
	*bytes.Reader
	bytes      int
	failFrom   int64
	failBefore int64
	fail       error
}

func (c *countingReaderAt) ReadAt(p []byte, offset int64) (int, error) {
	if offset >= c.failFrom && offset < c.failBefore {
		return 0, c.fail
	}
	c.bytes += len(p)
	return c.Reader.ReadAt(p, offset)
}

type errReader struct{ err error }

func (e errReader) Read([]byte) (int, error) { return 0, e.err }

func TestStorageErrorIsReturned(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{MaxBytes: 1 << 20})
	content := largePDF(5<<20, "after 5 MiB")
	size := int64(len(content))
	inMemory := append(textPDF("small"), make([]byte, 8000)...)
	down := errors.New("storage is down")
	for name, c := range map[string]struct {
		r    io.Reader
		size int64
	}{
		"at the first byte": {errReader{down}, size},
		"in the head":       {io.MultiReader(bytes.NewReader(content[:100]), errReader{down}), size},
		"in the window":     {&countingReaderAt{Reader: bytes.NewReader(content), failBefore: size, fail: down}, size},
		"in memory":         {io.MultiReader(bytes.NewReader(inMemory), errReader{down}), 20000},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := e.Text(t.Context(), c.r, c.size, "")
			checkExternalError(t, err, down)
		})
	}
	checkWorking(t, e)
}

// PDFium skips parts of pages that it cannot read. The text without them must not be returned.
func TestStorageErrorWithinPagesIsReturned(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{MaxBytes: 1 << 20})
	content := pdfOfDistantPages()
	const want = "near the end\n\nin the middle"
	if got, err := extractBytes(e, content); err != nil || got.Text != want {
		t.Fatalf("without an error: got %+v, %v, want text %q", got, err, want)
	}
	down := errors.New("storage is down")
	r := &countingReaderAt{
		Reader: bytes.NewReader(content), failFrom: 1 << 20, failBefore: 4 << 20, fail: down,
	}
	_, err := e.Text(t.Context(), r, int64(len(content)), "")
	checkExternalError(t, err, down)
	checkWorking(t, e)
}

// pdfOfDistantPages returns a PDF of 5 MiB. The content of its first page is near the end of the
// file, and that of the second page at 2 MiB.
func pdfOfDistantPages() []byte {
	w := newPDF()
	w.stream("", make([]byte, 2<<20))
	middle := w.stream("", lines("in the middle"))
	w.stream("", make([]byte, 3<<20))
	end := w.stream("", lines("near the end"))
	font := w.object("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
	for _, stream := range []int{end, middle} {
		w.object(fmt.Sprintf("<< /Type /Page /Parent %d 0 R /MediaBox [0 0 612 792] "+
			"/Contents %d 0 R /Resources << /Font << /F1 %d 0 R >> >> >>", font+3, stream, font))
	}
	tree := w.object(fmt.Sprintf("<< /Type /Pages /Count 2 /Kids [ %d 0 R %d 0 R ] >>",
		font+1, font+2))
	return w.end(w.object(fmt.Sprintf("<< /Type /Catalog /Pages %d 0 R >>", tree)))
}

// writableByAll creates a folder that all users can write to.
func writableByAll(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "open")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil { // Mkdir applies the umask
		t.Fatal(err)
	}
	return dir
}

// A new cache is only for its owner, but not the folder around it.
func TestNewCacheDir(t *testing.T) {
	parent := filepath.Join(t.TempDir(), "intray")
	dir := filepath.Join(parent, "wasm")
	cache, err := openCache(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cache.Close(t.Context()) }()
	for folder, want := range map[string]os.FileMode{parent: 0o755, dir: 0o700} {
		info, err := os.Stat(folder)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: got %v, %v, want %04o", folder, info.Mode(), err, want)
		}
	}
}

func TestUnusableCacheDirs(t *testing.T) {
	t.Parallel()
	for name, dir := range map[string]string{
		"other users can write to it": writableByAll(t),
		"cannot be created":           filepath.Join(os.Args[0], "below a file"),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(Config{CacheDir: dir})
			if err == nil || !strings.Contains(err.Error(), dir) {
				t.Errorf("got error %v, want one that names %s", err, dir)
			}
		})
	}
}

func TestMissingCacheDirIsCreated(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(writableByAll(t), "new", "folder")
	e, err := New(Config{CacheDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o700 {
		t.Errorf("got mode %04o, want 0700", got)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestDamagedCacheIsReplaced(t *testing.T) {
	t.Parallel()
	if err := setup(t, Config{}).Warm(t.Context()); err != nil { // fills cacheDir
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "cache")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS(cacheDir)); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "wazero-*", "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("got cached files %v, %v, want one", files, err)
	}
	if err := os.Truncate(files[0], 1<<20); err != nil {
		t.Fatal(err)
	}
	e, err := New(Config{CacheDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	replaced := false
	e.pdfs.newCache = func() wazero.CompilationCache {
		replaced = true
		// Compiling again would take most of a minute with the race detector.
		cache, err := openCache(cacheDir)
		if err != nil {
			t.Error(err)
		}
		return cache
	}
	checkWorking(t, e)
	if !replaced {
		t.Error("the damaged cache was used, want a new one")
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(files[0]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("stat of the damaged file: got error %v, want %v", err, os.ErrNotExist)
	}
}
