package extract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Why a document gave no text. Every error of Text that is about the document
// itself wraps exactly one of these. Any other error (the reader failed, the
// context ended, the sandbox did not start) says nothing about the document,
// and another attempt may succeed.
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

const (
	// maxTextBytes is how much of a text document is read: enough for
	// DefaultMaxRunes of any encoding, and for pages that are mostly markup.
	maxTextBytes = 8 << 20
	// maxJunk is the share, in percent, of unprintable characters from which on
	// what began as text is taken for something else.
	maxJunk = 10
)

// ErrNeedsOCR is returned by TextWithoutOCR for a document whose text can only be had by
// character recognition. It is not an error of the document.
var ErrNeedsOCR = errors.New("document needs character recognition")

// ErrClosed is returned by Text and Warm after Close.
var ErrClosed = errors.New("extractor is closed")

// Result is what was found in a document.
type Result struct {
	// Kind is the media type found from the content, without parameters, such
	// as "application/pdf". It is set with most errors too.
	Kind string
	// Text is valid UTF-8 without control, bidi and invisible characters. Runs
	// of blanks are one space, and there are at most two newlines in a row.
	Text string
	// TypeMismatch reports whether the declared type differs from Kind.
	// It is set with most errors too.
	TypeMismatch bool
	// Pages is the number of pages the whole document says it has; 0 where the
	// kind has no pages.
	Pages int
	// Truncated reports whether the document holds, or may hold, more text than Text.
	Truncated bool
}

// Extractor reads documents. It is safe for concurrent use.
type Extractor struct {
	config Config
	pdfs   *sandboxes
	ocr    *recognizer
}

// New returns an Extractor. It starts nothing yet: PDFium is started by Warm or
// by the first PDF. It fails when CacheDir cannot be used, and with ErrLanguages.
func New(config Config) (*Extractor, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
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
// r is read from its current position. If it is an io.ReaderAt too (as
// *minio.Object and *os.File are), PDFs larger than Config.MaxBytes, up to
// 2 GiB, are read through it without being loaded whole. r has to obey ctx by
// itself: a Read that hangs is not interrupted.
//
// The error wraps ErrEncrypted, ErrNoText, ErrBroken or ErrUnsupported if
// the document is the reason. Errors never quote the document.
func (e *Extractor) Text(
	ctx context.Context, r io.Reader, size int64, contentType string,
) (Result, error) {
	return e.text(ctx, document{sequential: r, size: size}, contentType, whenNeeded)
}

// TextWithoutOCR is Text, except that it returns ErrNeedsOCR instead of recognizing
// characters, which takes many seconds and is done for one document at a time.
func (e *Extractor) TextWithoutOCR(
	ctx context.Context, r io.Reader, size int64, contentType string,
) (Result, error) {
	return e.text(ctx, document{sequential: r, size: size}, contentType, never)
}

// TextWithOCR is Text for a document that was ErrNeedsOCR before: it waits for the turn of
// character recognition first, so that it holds nothing while it waits.
func (e *Extractor) TextWithOCR(
	ctx context.Context, r io.Reader, size int64, contentType string,
) (Result, error) {
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
	never                         // ErrNeedsOCR instead
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
	result := Result{Kind: kind.name, Pages: pages, TypeMismatch: contradicts(contentType, kind.name)}
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
func (e *Extractor) read(
	ctx context.Context, d document, k kind, contentType string, ocr recognition, text *text,
) (_ kind, pages int, err error) {
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

// readText reads a document of one of the text formats into text.
func (e *Extractor) readText(ctx context.Context, r io.Reader, k kind, contentType string, text *text) error {
	raw, err := io.ReadAll(io.LimitReader(r, maxTextBytes+1))
	if err != nil {
		return fmt.Errorf("read document: %w", err)
	}
	cut := len(raw) > maxTextBytes
	if cut {
		raw = raw[:maxTextBytes]
	}
	decoded := decode(raw, contentType, k.format != formatText)

	ctx, cancel := e.timed(ctx)
	defer cancel()
	switch k.format {
	case formatHTML:
		err = readMarkup(ctx, decoded, dialectHTML, text)
	case formatXHTML:
		err = readMarkup(ctx, decoded, dialectXHTML, text)
	case formatXML:
		err = readMarkup(ctx, decoded, dialectXML, text)
	default:
		if strings.HasSuffix(k.name, "json") {
			decoded = unescapeJSON(decoded)
		}
		text.write(decoded)
	}
	if err := keep(err, text); err != nil {
		return err
	}
	if text.junk*100 > maxJunk*(text.runes+text.junk) {
		return fmt.Errorf("%w: began as %s, holds binary data", ErrUnsupported, k.name)
	}
	text.incomplete = text.incomplete || cut
	return nil
}

// readPDF reads a PDF's text or, if it has none, recognizes the pictures of its pages.
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

// recognize calls work, which recognizes characters, when its turn has come. If
// tesseract is missing it fails without waiting.
func (e *Extractor) recognize(ctx context.Context, ocr recognition, work func() error) error {
	if _, err := e.ocr.find(); err != nil {
		return err
	}
	switch ocr {
	case never:
		return ErrNeedsOCR
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
	cause := fmt.Errorf("%w: took longer than %s", ErrBroken, e.config.Timeout)
	return context.WithTimeoutCause(ctx, e.config.Timeout, cause)
}

// keep drops an error about the document if it gave text before.
func keep(err error, text *text) error {
	if text.readable && (errors.Is(err, ErrBroken) || errors.Is(err, ErrEncrypted)) {
		text.incomplete = true
		return nil
	}
	return err
}
