package extract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Errors that the document itself causes. Every such error of Text wraps exactly one of these.
// After any other error (the reader failed, the context was done, the sandbox did not start)
// another attempt may succeed.
var (
	// ErrEncrypted means that the document needs a password, or a key that is not available.
	ErrEncrypted = errors.New("document is encrypted")
	// ErrNoText means that the document is intact but contains no letters or digits: an empty file,
	// an image without letters, or a scan while tesseract is missing.
	ErrNoText = errors.New("document contains no text")
	// ErrBroken means that the document is damaged, or that it takes more time or memory than a
	// legitimate document does.
	ErrBroken = errors.New("document cannot be read")
	// ErrUnsupported means that documents of this kind or of this size are not read.
	ErrUnsupported = errors.New("document kind is not supported")
)

const (
	// maxTextBytes is the number of bytes of a text document that are read: enough for
	// DefaultMaxRunes in any encoding, and for pages that are mostly markup.
	maxTextBytes = 8 << 20
	// maxUnprintable is the largest share, in percent, of characters in a text document that are
	// control characters or invalid. With more, the document is treated as binary data.
	maxUnprintable = 10
)

// ErrNeedsOCR is returned by TextWithoutOCR if the text of the document can only be read with OCR.
// The document itself is intact.
var ErrNeedsOCR = errors.New("document needs character recognition")

// ErrNotText is returned by TextOfText if the document is in another format than a text format.
var ErrNotText = errors.New("document is not in a text format")

// ErrClosed is returned by calls to an Extractor that was closed.
var ErrClosed = errors.New("extractor is closed")

// Result is the result of reading a document.
type Result struct {
	// Kind is the media type that was detected from the content, without parameters, such as
	// "application/pdf". It is set with most errors too.
	Kind string
	// Text is valid UTF-8 without control, bidirectional and invisible characters. Its white space
	// consists of single spaces, newlines, and pairs of newlines.
	Text string
	// TypeMismatch reports whether the declared type differs from Kind. It is set with most errors
	// too.
	TypeMismatch bool
	// Pages is the number of pages that the whole document declares, or 0 if documents of its kind
	// have no pages.
	Pages int
	// Truncated reports whether the document has, or may have, more text than Text.
	Truncated bool
}

// Extractor extracts the text of documents. It is safe for concurrent use.
type Extractor struct {
	config Config
	pdfs   *sandboxes
	ocr    *recognizer
}

// New returns an Extractor. It does not start PDFium; Warm or the first PDF starts it. New fails
// with ErrLanguages, or if CacheDir cannot be used.
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

// Warm starts PDFium, so that the first PDF does not have to wait for it. That takes a tenth of a
// second if CacheDir contains the compiled code, and several seconds otherwise.
func (e *Extractor) Warm(ctx context.Context) error {
	return e.pdfs.warm(ctx)
}

// Close stops all calls that are in progress, which return ErrClosed, and releases PDFium's memory.
// It returns when the memory is released.
func (e *Extractor) Close() error {
	e.ocr.close()
	return e.pdfs.close()
}

// Text reads one document from r and returns its text. size is the length of the document in bytes,
// or -1 if it is unknown. contentType is the declared media type. Only its charset is used, and
// only if the content does not determine the encoding.
//
// r is read from its current position. If it is also an io.ReaderAt, as *minio.Object and *os.File
// are, a PDF that is larger than Config.MaxBytes, up to 2 GiB, is read through it without being
// loaded into memory. r must itself observe ctx: a Read that blocks is not interrupted.
//
// The error wraps ErrEncrypted, ErrNoText, ErrBroken or ErrUnsupported if the document is the
// cause. Errors never quote the document.
func (e *Extractor) Text(
	ctx context.Context, r io.Reader, size int64, contentType string,
) (Result, error) {
	return e.text(ctx, document{sequential: r, size: size}, contentType, ocrIfNeeded)
}

// TextWithoutOCR is Text, except that it returns ErrNeedsOCR where Text would use OCR, which takes
// many seconds and is done for one document at a time.
func (e *Extractor) TextWithoutOCR(
	ctx context.Context, r io.Reader, size int64, contentType string,
) (Result, error) {
	return e.text(ctx, document{sequential: r, size: size}, contentType, ocrNever)
}

// TextWithOCR is Text for a document for which TextWithoutOCR returned ErrNeedsOCR. It waits until
// OCR is available before it reads the document, so that it uses no memory while it waits.
func (e *Extractor) TextWithOCR(
	ctx context.Context, r io.Reader, size int64, contentType string,
) (Result, error) {
	release, err := e.ocr.acquire(ctx)
	if err != nil {
		return Result{}, err
	}
	defer release()
	return e.text(ctx, document{sequential: r, size: size}, contentType, ocrAcquired)
}

// TextOfText is Text for a document in a text format, such as plain text or HTML, which is read
// within milliseconds if it is small. For any other document it returns ErrNotText.
func (e *Extractor) TextOfText(
	ctx context.Context, r io.Reader, size int64, contentType string,
) (Result, error) {
	return e.text(ctx, document{sequential: r, size: size}, contentType, textOnly)
}

// ocrMode determines what happens to a document that needs OCR.
type ocrMode int

const (
	ocrIfNeeded ocrMode = iota // acquire the recognizer, then recognize
	ocrNever                   // return ErrNeedsOCR
	ocrAcquired                // recognize: the caller has acquired the recognizer
	textOnly                   // return ErrNotText for every document that is not in a text format
)

func (e *Extractor) text(
	ctx context.Context, d document, contentType string, ocr ocrMode,
) (Result, error) {
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
	if ocr == textOnly && !kind.format.isText() {
		return Result{}, ErrNotText
	}
	text := newText(e.config.MaxRunes)
	d.at, _ = r.(io.ReaderAt)
	d.sequential = contextReader{ctx, io.MultiReader(bytes.NewReader(head), r)}
	kind, pages, err := e.read(ctx, d, kind, contentType, ocr, text)
	result := Result{
		Kind: kind.name, Pages: pages, TypeMismatch: TypesDiffer(contentType, kind.name),
	}
	if err != nil {
		return result, err
	}
	if !text.readable {
		return result, fmt.Errorf("%w: detected %s", ErrNoText, kind.name)
	}
	result.Text, result.Truncated = text.String(), text.truncated || text.incomplete
	return result, nil
}

// read reads the document into text. k is the kind that its first bytes indicate. read returns the
// actual kind, which differs for archives.
func (e *Extractor) read(
	ctx context.Context, d document, k kind, contentType string, ocr ocrMode, text *text,
) (_ kind, pages int, err error) {
	defer func() {
		if r := recover(); r != nil {
			// The value of the panic is left out, because it may quote the document.
			err = fmt.Errorf("%w: the reader of %s panicked", ErrBroken, k.name)
		}
	}()
	if k.format.isText() {
		return k, 0, e.readText(ctx, d.sequential, k, contentType, text)
	}
	switch k.format {
	case formatPDF:
		pages, err = e.readPDF(ctx, d, ocr, text)
	case formatZip:
		return e.readArchive(ctx, d, k, text)
	case formatMail:
		ctx, cancel := e.withTimeout(ctx)
		defer cancel()
		err = keepText(readMail(ctx, contextReader{ctx, d.sequential}, text), text)
	case formatImage:
		err = e.readImage(ctx, d, ocr, text)
	case formatOLE:
		err = rejectOLE(d.sequential, k.name)
	default:
		err = fmt.Errorf("%w: detected %s", ErrUnsupported, k.name)
	}
	return k, pages, err
}

// readText reads a document in one of the text formats into text.
func (e *Extractor) readText(
	ctx context.Context, r io.Reader, k kind, contentType string, text *text,
) error {
	raw, err := io.ReadAll(io.LimitReader(r, maxTextBytes+1))
	if err != nil {
		return fmt.Errorf("read document: %w", err)
	}
	cut := len(raw) > maxTextBytes
	if cut {
		raw = raw[:maxTextBytes]
	}
	decoded := decode(raw, contentType, k.format != formatText)

	ctx, cancel := e.withTimeout(ctx)
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
	if err := keepText(err, text); err != nil {
		return err
	}
	if text.unprintable*100 > maxUnprintable*(text.runes+text.unprintable) {
		return fmt.Errorf("%w: it begins like %s but contains binary data", ErrUnsupported, k.name)
	}
	text.incomplete = text.incomplete || cut
	return nil
}

// readPDF reads the text of a PDF or, if it has none, recognizes the text in images of its pages.
func (e *Extractor) readPDF(
	ctx context.Context, d document, ocr ocrMode, text *text,
) (pages int, err error) {
	found, err := e.pdfs.read(ctx, d, ocr != ocrNever && e.ocr.installed(), text)
	if err != nil || text.readable {
		return found.pages, err
	}
	if len(found.scans) == 0 && ocr != ocrNever {
		// If the pages were not rendered because tesseract is missing, return that as the error.
		_, err := e.ocr.lookPath()
		return found.pages, err
	}
	return found.pages, e.recognize(ctx, ocr, func() error {
		return e.ocr.read(ctx, found.scans, text)
	})
}

// recognize calls work, for which the recognizer has to be acquired, or returns ErrNeedsOCR,
// depending on the mode. If tesseract is missing it fails without waiting for the recognizer.
func (e *Extractor) recognize(ctx context.Context, ocr ocrMode, work func() error) error {
	if _, err := e.ocr.lookPath(); err != nil {
		return err
	}
	switch ocr {
	case ocrNever:
		return ErrNeedsOCR
	case ocrAcquired:
		return work()
	}
	release, err := e.ocr.acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	return work()
}

// readArchive reads a document that is a zip archive.
func (e *Extractor) readArchive(
	ctx context.Context, d document, k kind, text *text,
) (_ kind, pages int, err error) {
	src, err := d.open(e.config.MaxBytes)
	if err != nil {
		return k, 0, err
	}
	caller := ctx
	ctx, cancel := e.withTimeout(ctx)
	defer cancel()
	a, err := openArchive(ctx, src)
	if err == nil {
		k, pages, err = a.document(ctx, k, text)
	}
	switch {
	case src.err != nil:
		return k, pages, src.err
	case ctx.Err() != nil && caller.Err() == nil && src.waited > e.config.Timeout/2:
		return k, pages, storageTimeout(src.waited)
	}
	return k, pages, keepText(err, text)
}

// withTimeout returns a context that is canceled after Config.Timeout, with an ErrBroken as its
// cause.
func (e *Extractor) withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	cause := fmt.Errorf("%w: took longer than %s", ErrBroken, e.config.Timeout)
	return context.WithTimeoutCause(ctx, e.config.Timeout, cause)
}

// keepText returns err, or nil if err is an ErrBroken or ErrEncrypted and some text has been read.
// The text is then marked incomplete.
func keepText(err error, text *text) error {
	if text.readable && (errors.Is(err, ErrBroken) || errors.Is(err, ErrEncrypted)) {
		text.incomplete = true
		return nil
	}
	return err
}
