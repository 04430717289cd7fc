package extract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
)

// Errors that the document itself causes. Every such error of Text wraps one of these, and
// [Reason] returns its name.
// After any other error (the reader failed, the context was done, the sandbox did not start)
// another attempt may succeed.
var (
	// ErrEncrypted means that the document needs a password, or a key that is not available.
	ErrEncrypted = errors.New("document is encrypted")
	// ErrNoText means that the document is intact but contains no letters or digits: an empty file,
	// or an image without letters.
	ErrNoText = errors.New("document contains no text")
	// ErrNoOCR means that the document is an image or a scan, and that tesseract, which would
	// recognize its text, is not installed. It may have a few letters that are not in the images,
	// such as page numbers. It is also an ErrNoText.
	ErrNoOCR = fmt.Errorf("%w: it is an image, and tesseract is not installed", ErrNoText)
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
	// OCRPages is the number of pages and images whose text was recognized by OCR, including those
	// of embedded files.
	OCRPages int
	// Truncated reports whether the document has, or may have, more text than Text.
	Truncated bool
}

// Reason returns the name of the error of a document that err wraps: "encrypted", "no_ocr",
// "no_text", "broken" or "unsupported". It returns "" for any other error and for nil.
func Reason(err error) string {
	for _, r := range []struct {
		err  error
		name string
	}{
		{ErrEncrypted, "encrypted"}, {ErrNoOCR, "no_ocr"}, {ErrNoText, "no_text"},
		{ErrBroken, "broken"}, {ErrUnsupported, "unsupported"},
	} {
		if errors.Is(err, r.err) {
			return r.name
		}
	}
	return ""
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

func (e *Extractor) text(
	ctx context.Context, d document, contentType string, ocr ocrMode,
) (Result, error) {
	r := newReading(e, ocr)
	kind, pages, err := r.document(ctx, d, contentType)
	result := Result{
		Kind: kind.name, Pages: pages, TypeMismatch: TypesDiffer(contentType, kind.name),
	}
	if err == nil {
		err = r.embedded(ctx)
	}
	result.OCRPages = r.ocrPages
	switch {
	case err != nil:
		return result, err
	case kind.name == "": // TextOfText returned above, so the file is empty
		return result, fmt.Errorf("%w: the file is empty", ErrNoText)
	case r.isUnrecognized(kind):
		return result, ErrNoOCR
	case !r.text.readable && r.err != nil: // the error of an embedded file
		return result, r.err
	case !r.text.readable:
		return result, fmt.Errorf("%w: detected %s", ErrNoText, kind.name)
	}
	result.Text, result.Truncated = r.text.String(), r.text.truncated || r.text.incomplete
	return result, nil
}

// document reads one document, without the files that are embedded in it, which it adds to the
// queue. The kind of an empty document is the zero kind.
func (r *reading) document(
	ctx context.Context, d document, contentType string,
) (_ kind, pages int, err error) {
	head := make([]byte, headBytes)
	n, err := io.ReadFull(d.sequential, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return kind{}, 0, fmt.Errorf("read document: %w", err)
	}
	if n == 0 {
		return kind{}, 0, nil
	}
	head = head[:n]
	k := detect(head)
	if r.ocr == textOnly && !k.format.isText() {
		return k, 0, ErrNotText
	}
	d.at, _ = d.sequential.(io.ReaderAt)
	d.sequential = contextReader{ctx, io.MultiReader(bytes.NewReader(head), d.sequential)}
	if k.format == formatPDF {
		d.skip = int64(pdfHeader(head))
	}
	return r.read(ctx, d, k, contentType)
}

// read reads the document into the text. k is the kind that its first bytes indicate. read returns
// the actual kind, which differs for archives.
func (r *reading) read(
	ctx context.Context, d document, k kind, contentType string,
) (_ kind, pages int, err error) {
	runtime.LockOSThread() // whose processor time is measured
	defer runtime.UnlockOSThread()
	start := threadTime()
	defer func() {
		if p := recover(); p != nil {
			// The value of the panic is left out, because it may quote the document.
			err = fmt.Errorf("%w: the reader of %s panicked", ErrBroken, k.name)
		}
		err = unlessBusy(err, threadTime()-start, r.config.Timeout)
	}()
	if k.format.isText() {
		k, err = r.readText(ctx, d.sequential, k, contentType)
		return k, 0, err
	}
	switch k.format {
	case formatPDF:
		pages, err = r.readPDF(ctx, d)
	case formatZip:
		return r.readArchive(ctx, d, k)
	case formatMail:
		ctx, cancel := r.withTimeout(ctx)
		defer cancel()
		err = keepText(r.readMail(ctx, d), r.text)
	case formatSigned:
		err = r.readSigned(d)
	case formatImage:
		pages, err = r.readImage(ctx, d)
	case formatTNEF:
		ctx, cancel := r.withTimeout(ctx)
		defer cancel()
		err = keepText(r.readTNEF(ctx, d), r.text)
	case formatOLE:
		k, err = r.readOLE(ctx, d, k)
	default:
		err = fmt.Errorf("%w: detected %s", ErrUnsupported, k.name)
	}
	return k, pages, err
}

// readText reads a document in one of the text formats into text.
func (r *reading) readText(
	ctx context.Context, content io.Reader, k kind, contentType string,
) (kind, error) {
	raw, err := io.ReadAll(io.LimitReader(content, maxTextBytes+1))
	if err != nil {
		return k, fmt.Errorf("read document: %w", err)
	}
	text := r.text
	cut := len(raw) > maxTextBytes
	if cut {
		raw = raw[:maxTextBytes]
	}
	ctx, cancel := r.withTimeout(ctx)
	defer cancel()
	decoded := ""
	if k.format != formatRTF {
		decoded = strings.TrimRight(decode(raw, contentType, k.format != formatText), padding)
	}
	unprintable, runes := text.unprintable, text.runes
	switch k.format {
	case formatRTF:
		err = r.readRTF(ctx, raw)
	case formatHTML:
		err = readMarkup(ctx, decoded, dialectHTML, text)
	case formatXHTML:
		err = readMarkup(ctx, decoded, dialectXHTML, text)
	case formatXML:
		k, err = r.readXML(ctx, k, decoded)
	default:
		text.write(plainText(k, decoded))
	}
	if err := keepText(err, text); err != nil {
		return k, err
	}
	unprintable, runes = text.unprintable-unprintable, text.runes-runes
	if unprintable*100 > maxUnprintable*(runes+unprintable) {
		return k, fmt.Errorf("%w: it begins like %s but contains binary data", ErrUnsupported, k.name)
	}
	text.incomplete = text.incomplete || cut
	return k, nil
}

// readPDF reads the text of a PDF, and recognizes the pages that have to be recognized.
func (r *reading) readPDF(ctx context.Context, d document) (pages int, err error) {
	options := pdfOptions{maxPages: r.config.MaxPages, files: r.room()}
	if r.ocr != ocrNever && r.ocrInstalled() {
		options.maxScans = r.scansLeft
	}
	found, err := r.pdfs.read(ctx, d, options, r.text)
	if err != nil {
		return found.pages, err
	}
	r.scanLetters += found.scanLetters
	for _, f := range found.files {
		r.embed(f)
	}
	if found.needOCR == 0 {
		return found.pages, nil
	}
	if len(found.scans) == 0 && r.ocr != ocrNever && (r.scansLeft > 0 || !r.ocrInstalled()) {
		if !r.ocrInstalled() {
			return found.pages, r.missingOCR()
		}
		return found.pages, nil // the pages are too small for a letter
	}
	return found.pages, r.recognize(ctx, func() ([]scan, error) { return found.scans, nil })
}

// withSource opens the document and calls read, which has to end when its context is done. It
// returns the error of read, unless it was caused by the storage or text was read before it.
func (r *reading) withSource(
	ctx context.Context, d document, read func(context.Context, *source) error,
) error {
	src, err := d.open(r.config.MaxBytes)
	if err != nil {
		return err
	}
	caller := ctx
	ctx, cancel := r.withTimeout(ctx)
	defer cancel()
	err = read(ctx, src)
	switch {
	case src.err != nil:
		return src.err
	case caller.Err() != nil:
		return fmt.Errorf("read document: %w", context.Cause(caller))
	case ctx.Err() != nil && src.waited > r.config.Timeout/2:
		return storageTimeout(src.waited)
	case ctx.Err() != nil && !r.text.readable:
		err = context.Cause(ctx)
	}
	return keepText(err, r.text)
}

// withTimeout returns a context that is canceled after Config.Timeout, with errTimeout as its
// cause.
func (e *Extractor) withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	cause := fmt.Errorf("%w of %s", errTimeout, e.config.Timeout)
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
