// Package extract gets the text out of documents that strangers uploaded.
//
// Extractor.Text finds a document's kind from its content, never from its
// name or its declared type, and returns clean text that is bounded in length:
//
//   - plain text in any common encoding, Markdown, CSV, JSON and other text
//     kinds, XML and HTML;
//   - PDF, by its text or, if it has none, as pictures of its pages;
//   - docx, xlsx, pptx and their templates, the Open Document Format, and EPUB;
//   - mails, with the names of their attachments;
//   - pictures (PNG, JPEG, GIF, BMP, TIFF, WebP), by character recognition.
//
// Whatever else it recognizes is ErrUnsupported.
//
// Documents are hostile until shown otherwise, so everything is bounded:
//
//   - Text kinds: at most 8 MiB of a document are read, and held once raw and
//     once decoded; the readers of HTML and XML build no tree.
//   - PDF: PDFium runs as WebAssembly in a sandbox without file system,
//     environment, arguments or network, with at most 64 MiB of memory, or 192
//     MiB for one sandbox at a time. Each document gets a fresh sandbox, which a
//     deadline ends. A file of up to Config.MaxBytes is held in memory, a larger
//     one is read through a window of 8 MiB where the caller's reader allows it.
//   - Archives: 4 MiB of their list of contents, 64 MiB of what is unpacked,
//     and no archives within archives. XML has no document types and no entities.
//   - Mails: 64 MiB, 1,000 parts, ten levels.
//   - Pictures: no more pixels than fit in 200 MiB, decoded here one at a time, and
//     where they need more than 64 MiB not beside a sandbox that has as much.
//     tesseract, a program of its own, sees only the plain gray picture, and has a
//     deadline, 768 MiB of addresses and no file to write to. Without it, pictures
//     and scans are ErrNoText.
//   - Output: at most Config.MaxRunes characters; reading stops once they are
//     there.
//
// A panic of a reader is the document's end, ErrBroken, and nothing else's.
package extract

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"
)

// Why a document gave no text. Every error of Text that is about the document
// itself wraps exactly one of these; any other error (the reader failed, the
// context ended, the sandbox did not start) says nothing about the document
// and is worth another try.
var (
	// ErrEncrypted: the document needs a password, or a key we do not have.
	ErrEncrypted = errors.New("document is encrypted")
	// ErrNoText: the document is sound but holds no letter and no digit: an
	// empty file, a picture without letters, a scan where tesseract is missing.
	ErrNoText = errors.New("document holds no text")
	// ErrBroken: the document is damaged, or takes more time or memory than
	// any honest one does.
	ErrBroken = errors.New("document cannot be read")
	// ErrUnsupported: the document is of a kind, or of a size, that is not read.
	ErrUnsupported = errors.New("document kind is not supported")
)

// ErrSlow is what QuickText returns for a document that gives its text to
// character recognition only. It says nothing bad about the document.
var ErrSlow = errors.New("document needs character recognition")

// ErrClosed is returned by Text and Warm after Close.
var ErrClosed = errors.New("extractor is closed")

// Defaults of Config's fields.
const (
	DefaultWorkers  = 1
	DefaultTimeout  = 10 * time.Second
	DefaultMaxBytes = 32 << 20
	DefaultMaxRunes = 200_000
	DefaultMaxPages = 1000

	DefaultTesseract    = "tesseract"
	DefaultOCRLanguages = "eng"
	DefaultOCRTimeout   = 40 * time.Second
)

// Config says how much an Extractor may use. The zero value is ready for use.
type Config struct {
	// CacheDir is the folder that keeps PDFium compiled to machine code, about
	// 20 MB, so that the next process starts it in a tenth of a second instead
	// of some seconds. It is made if missing, with mode 0700. What lies in it is
	// executed: nobody else may write there. "" keeps the code in memory only.
	CacheDir string
	// Workers is how many PDFs are read at the same time. Default 1. Each may
	// take 64 MiB, one of them 192 MiB, and one core.
	Workers int
	// Timeout bounds the work on one document once its turn has come, character
	// recognition apart. One that gave text before its time ran out keeps that
	// text, Truncated. Default 10 s.
	Timeout time.Duration
	// MaxBytes is the largest PDF or archive, in bytes, that is held in memory,
	// and the largest picture. Default 32 MiB.
	MaxBytes int64
	// MaxRunes is the largest number of characters in Result.Text. Default
	// 200,000, more than classification looks at.
	MaxRunes int
	// MaxPages is how many pages of a PDF are looked at. Default 1000.
	MaxPages int
	// Tesseract is the program that recognizes characters in pictures: its path,
	// or a name to look for in PATH, each time anew. Default "tesseract".
	Tesseract string
	// OCRLanguages are tesseract's names of the languages to expect, joined by
	// plus signs. Their data has to be installed. Default "eng".
	OCRLanguages string
	// OCRTimeout bounds character recognition in one document, of which at most
	// five pages are looked at. Default 40 s.
	OCRTimeout time.Duration
}

// Result is what was found in a document.
type Result struct {
	// Kind is the media type found from the content, without parameters, such
	// as "application/pdf". It is set with most errors too.
	Kind string
	// Text is valid UTF-8 without control, bidi and invisible characters. Runs
	// of blanks are one space, and there are at most two newlines in a row.
	Text string
	// Contradicted is true when the declared type says something else than Kind.
	// It is set with most errors too.
	Contradicted bool
	// Pages is the number of pages the whole document says it has; 0 where the
	// kind has no pages.
	Pages int
	// Truncated is true when the document holds, or may hold, more text than Text.
	Truncated bool
}

// Extractor reads documents. It is safe for concurrent use.
type Extractor struct {
	config Config
	pdfs   *sandboxes
	ocr    *recognizer
}

// ErrLanguages is returned by New for Config.OCRLanguages that cannot be.
var ErrLanguages = errors.New("want names of tesseract's languages, joined by plus signs, such as deu+eng")

var languages = regexp.MustCompile(`^[A-Za-z]\w*(\+[A-Za-z]\w*)*$`)

// New returns an Extractor. It starts nothing yet: PDFium is started by Warm or
// by the first PDF. It fails when CacheDir cannot be used, and with ErrLanguages.
func New(config Config) (*Extractor, error) {
	if config.Workers <= 0 {
		config.Workers = DefaultWorkers
	}
	if config.Timeout <= 0 {
		config.Timeout = DefaultTimeout
	}
	if config.MaxBytes <= 0 {
		config.MaxBytes = DefaultMaxBytes
	}
	if config.MaxRunes <= 0 {
		config.MaxRunes = DefaultMaxRunes
	}
	if config.MaxPages <= 0 {
		config.MaxPages = DefaultMaxPages
	}
	if config.OCRTimeout <= 0 {
		config.OCRTimeout = DefaultOCRTimeout
	}
	config.Tesseract = cmp.Or(config.Tesseract, DefaultTesseract)
	config.OCRLanguages = cmp.Or(config.OCRLanguages, DefaultOCRLanguages)
	if !languages.MatchString(config.OCRLanguages) {
		return nil, ErrLanguages
	}
	pdfs, err := newSandboxes(config)
	if err != nil {
		return nil, err
	}
	return &Extractor{config: config, pdfs: pdfs, ocr: newRecognizer(config)}, nil
}

// Warm starts PDFium, so that the first PDF need not wait for it. It takes a
// tenth of a second with a filled CacheDir and some seconds without.
func (e *Extractor) Warm(ctx context.Context) error {
	return e.pdfs.warm(ctx)
}

// Close ends what is running, with ErrClosed, and releases PDFium's memory. It
// returns once all of it is gone.
func (e *Extractor) Close() error {
	e.ocr.close()
	return e.pdfs.close()
}

// Text reads one document from r and returns its text. size is the document's
// length in bytes, -1 if not known. contentType is the declared media type, of
// which only the charset is used, and only where the content leaves it open;
// filename is not used to find the kind.
//
// r is read from where it stands. Where it is an io.ReaderAt too (as
// *minio.Object and *os.File are), PDFs larger than Config.MaxBytes, up to
// 2 GiB, are read through it without being loaded whole. r has to obey ctx by
// itself: a Read that hangs is not interrupted.
//
// The error wraps ErrEncrypted, ErrNoText, ErrBroken or ErrUnsupported where
// the document is the reason. Errors never hold any of the document's text.
func (e *Extractor) Text(ctx context.Context, r io.Reader, size int64, contentType, filename string) (Result, error) {
	return e.text(ctx, document{sequential: r, size: size}, contentType, whenNeeded)
}

// QuickText is Text, except that it returns ErrSlow instead of recognizing
// characters, which takes many seconds and has one turn for all.
func (e *Extractor) QuickText(ctx context.Context, r io.Reader, size int64, contentType, filename string) (Result, error) {
	return e.text(ctx, document{sequential: r, size: size}, contentType, never)
}

// SlowText is Text for a document that was ErrSlow before: it waits for the turn of
// character recognition first, so that it holds nothing while it waits.
func (e *Extractor) SlowText(ctx context.Context, r io.Reader, size int64, contentType, filename string) (Result, error) {
	release, err := e.ocr.acquire(ctx)
	if err != nil {
		return Result{}, err
	}
	defer release()
	return e.text(ctx, document{sequential: r, size: size}, contentType, atOnce)
}

// recognition is when characters are recognized.
type recognition int

const (
	whenNeeded recognition = iota // after waiting for the turn
	never                         // ErrSlow instead
	atOnce                        // the caller has the turn
)

func (e *Extractor) text(ctx context.Context, d document, contentType string, ocr recognition) (Result, error) {
	r := d.sequential
	head := make([]byte, headBytes)
	n, err := io.ReadFull(r, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return Result{}, fmt.Errorf("read document: %w", err)
	}
	head = head[:n]
	if n == 0 {
		return Result{}, fmt.Errorf("%w: the file is empty", ErrNoText)
	}

	kind := detect(head)
	text := newText(e.config.MaxRunes)
	d.at, _ = r.(io.ReaderAt)
	d.sequential = reader{ctx, io.MultiReader(bytes.NewReader(head), r)}
	kind, pages, err := e.read(ctx, d, kind, contentType, ocr, text)
	result := Result{Kind: kind.name, Pages: pages, Contradicted: contradicts(contentType, kind.name)}
	if err != nil {
		return result, err
	}
	if !text.readable {
		return result, fmt.Errorf("%w: found %s", ErrNoText, kind.name)
	}
	result.Text, result.Truncated = text.String(), text.truncated || text.incomplete
	return result, nil
}

// read reads a document of the kind that its first bytes show into text, and
// returns the kind that it really is.
func (e *Extractor) read(ctx context.Context, d document, k kind, contentType string, ocr recognition, text *text) (_ kind, pages int, err error) {
	defer func() {
		if r := recover(); r != nil {
			// Its value is left out: it may quote the document.
			err = fmt.Errorf("%w: the reader of %s panicked", ErrBroken, k.name)
		}
	}()
	switch k.format {
	case formatPDF:
		pages, err = e.readPDF(ctx, d, ocr, text)
	case formatZip:
		return e.readArchive(ctx, d, k, text)
	case formatText, formatHTML, formatXHTML, formatXML:
		err = e.readText(ctx, d.sequential, k, contentType, text)
	case formatMail:
		ctx, cancel := e.timed(ctx)
		defer cancel()
		err = keep(readMail(ctx, reader{ctx, d.sequential}, text), text)
	case formatPicture:
		err = e.readPicture(ctx, d, ocr, text)
	case formatOLE:
		err = refuseOLE(d.sequential, k.name)
	default:
		err = fmt.Errorf("%w: found %s", ErrUnsupported, k.name)
	}
	return k, pages, err
}

// readPDF reads a PDF's text or, where it has none, the pictures of its pages.
func (e *Extractor) readPDF(ctx context.Context, d document, ocr recognition, text *text) (pages int, err error) {
	found, err := e.pdfs.read(ctx, d, ocr != never && e.ocr.installed(), text)
	if err != nil || text.readable {
		return found.pages, err
	}
	if len(found.scans) == 0 && ocr != never {
		_, err := e.ocr.find() // an error where they were not even drawn
		return found.pages, err
	}
	return found.pages, e.recognize(ctx, ocr, func() error { return e.ocr.read(ctx, found.scans, text) })
}

// recognize calls work, which recognizes characters, when its turn has come. Where
// tesseract is missing, it says so without any wait.
func (e *Extractor) recognize(ctx context.Context, ocr recognition, work func() error) error {
	if _, err := e.ocr.find(); err != nil {
		return err
	}
	switch ocr {
	case never:
		return ErrSlow
	case atOnce:
		return work()
	}
	release, err := e.ocr.acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	return work()
}

// readArchive reads the kinds of documents that are zip archives.
func (e *Extractor) readArchive(ctx context.Context, d document, k kind, text *text) (_ kind, pages int, err error) {
	src, err := d.open(e.config.MaxBytes)
	if err != nil {
		return k, 0, err
	}
	caller := ctx
	ctx, cancel := e.timed(ctx)
	defer cancel()
	a, err := openArchive(ctx, src)
	if err == nil {
		k, pages, err = a.document(ctx, k, text)
	}
	switch {
	case src.err != nil:
		return k, pages, src.err
	case ctx.Err() != nil && caller.Err() == nil && src.waited > e.config.Timeout/2:
		return k, pages, fmt.Errorf("read document: storage took %s: %w", src.waited, context.DeadlineExceeded)
	}
	return k, pages, keep(err, text)
}

// timed bounds the work on one document.
func (e *Extractor) timed(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, e.config.Timeout, fmt.Errorf("%w: took longer than %s", ErrBroken, e.config.Timeout))
}

// keep forgives what went wrong with the document after it gave text.
func keep(err error, text *text) error {
	if text.readable && (errors.Is(err, ErrBroken) || errors.Is(err, ErrEncrypted)) {
		text.incomplete = true
		return nil
	}
	return err
}
