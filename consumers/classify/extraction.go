package classify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"time"

	"intray/consumers/classify/extract"
	"intray/consumers/runner"
	"intray/schema"
)

// extraction is a function that extracts the text of a document from its content.
type extraction func(ctx context.Context, d schema.Document, content io.Reader, size int64) (
	extract.Result, error,
)

// laneDelay is the delay before a document that turned out to need another lane is redelivered.
const laneDelay = 10 * time.Millisecond

// extractInLanes is the extraction for a runner that uses the lanes returned by Lane. The first
// time a document turns out to need OCR, it is postponed and its message then gets a lane for OCR.
func (c *Classifier) extractInLanes(
	ctx context.Context, d schema.Document, content io.Reader, size int64,
) (extract.Result, error) {
	if c.needsOCR.Contains(d.ID) {
		return c.extractor.TextWithOCR(ctx, content, size, d.ContentType)
	}
	result, err := c.extractor.TextWithoutOCR(ctx, content, size, d.ContentType)
	if errors.Is(err, extract.ErrNeedsOCR) {
		c.needsOCR.Add(d.ID, struct{}{})
		err = runner.Postpone(err, laneDelay)
	}
	return result, err
}

// extractDirectly is the extraction for a runner without lanes.
func (c *Classifier) extractDirectly(
	ctx context.Context, d schema.Document, content io.Reader, size int64,
) (extract.Result, error) {
	return c.extractor.Text(ctx, content, size, d.ContentType)
}

// maxDigestBytes is the maximum size of a file whose digest is computed.
const maxDigestBytes = 64 << 20

// read returns the text of the confirmed object. It also sets the type and the digest of the input,
// unless another attempt has to read the object again. The digest of a file that is larger than
// maxDigestBytes stays unknown.
func (c *Classifier) read(
	ctx context.Context, in *input, extract extraction,
) (string, error) {
	d := in.document
	body, size, err := c.open(ctx, in)
	if err != nil {
		return "", err
	}
	defer body.Close()
	content, hash := io.Reader(body), sha256.New()
	unknown := d.SHA256 == nil && size <= maxDigestBytes
	if unknown {
		content = io.TeeReader(body, hash)
	}
	result, err := extract(ctx, d, content, size)
	if result.TypeMismatch {
		c.log.Info("content does not match the declared type",
			"document_id", d.ID, "declared", d.ContentType, "detected", result.Kind)
	}
	if _, final := reasonOf(err); err == nil || final {
		in.detectedType = result.Kind
		if unknown {
			if _, err := io.Copy(hash, body); err == nil {
				in.digest = hash.Sum(nil)
			}
		}
	}
	if err != nil {
		return "", err
	}
	return result.Text, nil
}

// open opens the confirmed object and returns its size, or returns its content if that has been
// read already.
func (c *Classifier) open(ctx context.Context, in *input) (io.ReadCloser, int64, error) {
	if in.content != nil {
		return io.NopCloser(bytes.NewReader(in.content.bytes)), int64(len(in.content.bytes)),
			in.content.err
	}
	body, object, err := c.objects.Get(ctx, in.document.ObjectKey, in.document.ETag)
	return body, object.Size, err
}

// reasonOf returns the reason for a failed document that corresponds to an extraction error. It
// returns false if the error is not the fault of the document.
func reasonOf(err error) (schema.Reason, bool) {
	switch reason := schema.Reason(extract.Reason(err)); reason {
	case schema.ReasonEncrypted, schema.ReasonNoText, schema.ReasonNoOCR, schema.ReasonBroken,
		schema.ReasonUnsupported:
		return reason, true
	}
	return "", false
}
