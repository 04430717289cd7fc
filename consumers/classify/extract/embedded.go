package extract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// maxEmbeddedFiles is the number of files within a document that are read: attachments of
	// emails and PDFs, pictures in Office documents, and the files within those. Files of kinds that
	// are not read, such as equations, and logos do not count.
	maxEmbeddedFiles = 20
	// maxEmbeddedBytes is the largest size of all these files together, in bytes.
	maxEmbeddedBytes = 32 << 20
	// maxEmbeddedDepth is the depth of nesting down to which they are read. A file that is attached
	// to an email that is attached to an email has depth 2.
	maxEmbeddedDepth = 3
	// minPictureSide is the width and height, in pixels, below which an embedded image is treated
	// as a logo and not recognized.
	minPictureSide = 400
)

// file is a file within a document. Its content is decoded and decompressed.
type file struct {
	contentType string // declared, or ""
	content     []byte
	depth       int // 1 in the document itself
}

// reading is the state of reading one document and the files that are embedded in it.
type reading struct {
	*Extractor
	ocr  ocrMode
	text *text

	depth int    // of the file that is being read; 0 for the document itself
	queue []file // embedded files that have not been read
	files int    // number of embedded files that were read
	bytes int    // size of the files that were added to the queue
	err   error  // of the first embedded file that could not be read

	scansLeft int           // pages and images that may still be recognized
	ocrLeft   time.Duration // time that recognizing them may take
	ocrPages  int           // pages and images that were recognized

	unrecognized bool // tesseract is missing, and there are pages or images to recognize
	scanLetters  int  // letters and digits in the repeated lines of such pages
}

func newReading(e *Extractor, ocr ocrMode) *reading {
	return &reading{
		Extractor: e, ocr: ocr, text: newText(e.config.MaxRunes),
		scansLeft: maxScans, ocrLeft: e.config.OCRTimeout,
	}
}

// room returns the number of files in the current file that can still be read.
func (r *reading) room() int {
	if r.depth >= maxEmbeddedDepth {
		return 0
	}
	return maxEmbeddedFiles - r.files
}

// embed adds a file to the queue. If the file exceeds the limits it is skipped, which marks the
// text as incomplete, and ok is false.
func (r *reading) embed(f file) (ok bool) {
	if r.room() <= 0 || r.bytes+len(f.content) > maxEmbeddedBytes {
		r.text.incomplete = true
		return false
	}
	f.depth = r.depth + 1
	r.bytes += len(f.content)
	r.queue = append(r.queue, f)
	return true
}

// embedded reads the files in the queue after the text of the document, including those that they
// contain themselves, up to maxEmbeddedFiles. It does not start with a file after Config.Timeout. A
// file that cannot be read does not affect the others.
func (r *reading) embedded(ctx context.Context) error {
	end := time.Now().Add(r.config.Timeout)
	for len(r.queue) > 0 && r.files < maxEmbeddedFiles && !r.text.full() &&
		time.Now().Before(end) {
		f := r.queue[0]
		r.queue[0].content, r.queue = nil, r.queue[1:]
		r.depth = f.depth
		r.files++
		r.text.breakLine()
		r.text.breakLine()
		d := document{
			sequential: bytes.NewReader(f.content), size: int64(len(f.content)), content: f.content,
		}
		_, _, err := r.document(ctx, d, f.contentType)
		switch {
		case err == nil:
		case errors.Is(err, ErrNeedsOCR), Reason(err) == "":
			return err
		default:
			if errors.Is(err, ErrUnsupported) {
				r.files--
			}
			if r.err == nil {
				r.err = fmt.Errorf("embedded file: %w", err)
			}
			// A file without text, or of another kind, is not part of the text. A picture that was
			// not recognized may be.
			unread := errors.Is(err, ErrBroken) || errors.Is(err, ErrEncrypted) ||
				errors.Is(err, ErrNoOCR)
			r.text.incomplete = r.text.incomplete || unread
		}
	}
	r.text.incomplete = r.text.incomplete || len(r.queue) > 0
	return nil
}

// ocrInstalled reports whether tesseract is installed.
func (r *reading) ocrInstalled() bool { return r.Extractor.ocr.installed() }

// missingOCR returns ErrNoOCR, or nil if other text was read, which it marks as incomplete.
func (r *reading) missingOCR() error {
	r.unrecognized = true
	if r.depth > 0 || !r.text.readable {
		return ErrNoOCR
	}
	r.text.incomplete = true
	return nil
}

// isUnrecognized reports whether tesseract is missing and what was read without it is not enough
// for one page that would not be recognized. Lines that are repeated on such pages are not text of
// the document. An email always has a text, at least its subject.
func (r *reading) isUnrecognized(k kind) bool {
	enough := r.scanLetters + fewLetters
	return r.unrecognized && k != kindMail && k != kindMsg &&
		countLetters(r.text.String(), enough) < enough
}

// recognize recognizes pages and inserts their text at their places, or returns ErrNeedsOCR,
// depending on the mode. It calls load for the pages after it has acquired the recognizer. If
// tesseract is missing it fails without waiting for the recognizer. If an error of the document
// occurs after some text was read, that text is marked as incomplete and recognize returns nil.
func (r *reading) recognize(ctx context.Context, load func() ([]scan, error)) error {
	switch {
	case !r.ocrInstalled():
		return r.missingOCR()
	case r.scansLeft <= 0 || r.ocrLeft <= 0:
		r.text.incomplete = true
		return nil
	case r.ocr == ocrNever:
		return ErrNeedsOCR
	case r.ocr != ocrAcquired:
		release, err := r.Extractor.ocr.acquire(ctx)
		if err != nil {
			return err
		}
		defer release()
	}
	scans, err := load()
	if err != nil {
		return err
	}
	if len(scans) > r.scansLeft {
		scans = scans[:r.scansLeft]
		r.text.incomplete = true
	}
	r.scansLeft -= len(scans)
	start := time.Now()
	pages, err := r.Extractor.ocr.read(ctx, scans, r.ocrLeft, r.text.max)
	r.ocrLeft -= time.Since(start)
	r.ocrPages += len(pages)
	places := make([]int, len(pages))
	for i := range pages {
		places[i] = scans[i].place
	}
	r.text.insert(pages, places)
	if r.text.readable && (Reason(err) != "" || errors.Is(err, ErrBusy)) {
		r.text.incomplete = true
		return nil
	}
	return err
}
