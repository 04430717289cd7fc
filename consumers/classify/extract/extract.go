// Package extract gets the text out of documents that strangers uploaded.
//
// Extractor.Text finds a document's kind from its content, never from its
// name or its declared type, and returns clean text that is bounded in length:
// plain text in any common encoding, Markdown, CSV, JSON and other text kinds,
// XML, HTML and PDF. Whatever else it recognizes is ErrUnsupported.
//
// Documents are hostile until shown otherwise, so everything is bounded:
//
//   - Text kinds: at most 8 MiB of a document are read, and held once raw and
//     once decoded; the HTML reader builds no tree.
//   - PDF: PDFium runs as WebAssembly in a sandbox without file system,
//     environment, arguments or network, with at most 256 MiB of memory. Each
//     document gets a fresh sandbox, which a deadline ends. A PDF of up to
//     Config.MaxBytes is held in memory, a larger one is read through a window
//     of 8 MiB where the caller's reader allows it.
//   - Output: at most Config.MaxRunes characters; reading stops once they are
//     there.
//
// So an Extractor holds at most Workers × (MaxBytes + 256 MiB), about 80 MiB for
// PDFium's code once it is started, and about 64 MiB, mostly much less, for each
// text that is being read.
package extract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
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
	// empty file, a scan.
	ErrNoText = errors.New("document holds no text")
	// ErrBroken: the document is damaged, or takes more time or memory than
	// any honest one does.
	ErrBroken = errors.New("document cannot be read")
	// ErrUnsupported: the document is of a kind, or of a size, that is not read.
	ErrUnsupported = errors.New("document kind is not supported")
)

// ErrClosed is returned by Text and Warm after Close.
var ErrClosed = errors.New("extractor is closed")

// Defaults of Config's fields.
const (
	DefaultWorkers  = 1
	DefaultTimeout  = 30 * time.Second
	DefaultMaxBytes = 32 << 20
	DefaultMaxRunes = 200_000
	DefaultMaxPages = 1000
)

// Config says how much an Extractor may use. The zero value is ready for use.
type Config struct {
	// CacheDir is the folder that keeps PDFium compiled to machine code, about
	// 20 MB, so that the next process starts it in a tenth of a second instead
	// of some seconds. It is made if missing, with mode 0700. What lies in it is
	// executed: nobody else may write there. "" keeps the code in memory only.
	CacheDir string
	// Workers is how many PDFs are read at the same time. Default 1. Each may
	// take 256 MiB and one core.
	Workers int
	// Timeout bounds the work on one document once its turn has come. A PDF
	// that gave text before its time ran out keeps that text, Truncated.
	// Default 30 s.
	Timeout time.Duration
	// MaxBytes is the largest PDF, in bytes, that is held in memory. Default
	// 32 MiB.
	MaxBytes int64
	// MaxRunes is the largest number of characters in Result.Text. Default
	// 200,000, more than classification looks at.
	MaxRunes int
	// MaxPages is how many pages of a PDF are looked at. Default 1000.
	MaxPages int
}

// Result is what was found in a document.
type Result struct {
	// Kind is the media type found from the content, without parameters, such
	// as "application/pdf". It is set with most errors too.
	Kind string
	// Text is valid UTF-8 without control, bidi and invisible characters. Runs
	// of blanks are one space, and there are at most two newlines in a row.
	Text string
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
}

// New returns an Extractor. It starts nothing yet: PDFium is started by Warm or
// by the first PDF. It fails when CacheDir cannot be used.
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
	pdfs, err := newSandboxes(config)
	if err != nil {
		return nil, err
	}
	return &Extractor{config: config, pdfs: pdfs}, nil
}

// Warm starts PDFium, so that the first PDF need not wait for it. It takes a
// tenth of a second with a filled CacheDir and some seconds without.
func (e *Extractor) Warm(ctx context.Context) error {
	return e.pdfs.warm(ctx)
}

// Close ends what is running, with ErrClosed, and releases PDFium's memory. It
// returns once all of it is gone.
func (e *Extractor) Close() error {
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
	result := Result{Kind: kind.name}
	text := newText(e.config.MaxRunes)
	whole := reader{ctx, io.MultiReader(bytes.NewReader(head), r)}

	switch kind.format {
	case formatPDF:
		at, _ := r.(io.ReaderAt)
		result.Pages, err = e.pdfs.read(ctx, document{sequential: whole, at: at, size: size}, text)
	case formatText, formatHTML, formatXML:
		err = e.readText(ctx, whole, kind, contentType, text)
	default:
		return result, fmt.Errorf("%w: found %s", ErrUnsupported, kind.name)
	}
	if err != nil {
		return result, err
	}
	if !text.readable {
		return result, fmt.Errorf("%w: found %s", ErrNoText, kind.name)
	}
	result.Text, result.Truncated = text.String(), text.truncated
	return result, nil
}
