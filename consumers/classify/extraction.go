package classify

import (
	"context"
	"errors"
	"io"
	"time"

	"intray/consumers/classify/extract"
	"intray/consumers/runner"
	"intray/schema"
)

// extraction gets the text out of the content of a document.
type extraction func(ctx context.Context, d schema.Document, content io.Reader, size int64) (
	extract.Result, error,
)

// slowDelay is when a document comes back that turned out to need character
// recognition, to wait with those that do.
const slowDelay = 10 * time.Millisecond

// extractInTurn is the extraction of a runner in the lanes that Lane gives.
func (c *Classifier) extractInTurn(
	ctx context.Context, d schema.Document, content io.Reader, size int64,
) (extract.Result, error) {
	if c.slow.Contains(d.ID) {
		return c.extractor.TextWithOCR(ctx, content, size, d.ContentType)
	}
	result, err := c.extractor.TextWithoutOCR(ctx, content, size, d.ContentType)
	if errors.Is(err, extract.ErrNeedsOCR) {
		c.slow.Add(d.ID, struct{}{})
		err = runner.Postpone(err, slowDelay)
	}
	return result, err
}

// extractAtOnce is the extraction of a runner without lanes.
func (c *Classifier) extractAtOnce(
	ctx context.Context, d schema.Document, content io.Reader, size int64,
) (extract.Result, error) {
	return c.extractor.Text(ctx, content, size, d.ContentType)
}

// read gets the text of the content that was confirmed.
func (c *Classifier) read(
	ctx context.Context, d schema.Document, extract extraction,
) (string, error) {
	body, object, err := c.objects.Get(ctx, d.ObjectKey, d.ETag)
	if err != nil {
		return "", err
	}
	defer body.Close()
	result, err := extract(ctx, d, body, object.Size)
	if result.TypeMismatch {
		c.log.Info("content is not of the declared type",
			"document_id", d.ID, "declared", d.ContentType, "found", result.Kind)
		if err := c.db.SetDetectedType(ctx, d.ID, result.Kind); err != nil {
			return "", err
		}
	}
	if err != nil {
		return "", err
	}
	return result.Text, nil
}

// reasonOf returns the reason that err, a fault of the document itself, stands for.
func reasonOf(err error) (schema.Reason, bool) {
	switch {
	case errors.Is(err, extract.ErrEncrypted):
		return schema.ReasonEncrypted, true
	case errors.Is(err, extract.ErrNoText):
		return schema.ReasonNoText, true
	case errors.Is(err, extract.ErrBroken):
		return schema.ReasonBroken, true
	case errors.Is(err, extract.ErrUnsupported):
		return schema.ReasonUnsupported, true
	}
	return "", false
}
