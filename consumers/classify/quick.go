package classify

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"intray/consumers/classify/builtin"
	"intray/consumers/classify/extract"
	"intray/consumers/runner"
	"intray/schema"
)

// Small texts of users of the builtin provider are classified in well under a millisecond. One by
// one, almost all of their time would go into transactions, publishing and waiting for the disk.
// Therefore they are handled in batches, with one transaction and one publish for each. Everything
// else is handled alone, so that a batch never waits for a slow document or a slow provider.
const (
	// quickBatch is the maximum number of documents in a batch.
	quickBatch = 64
	// quickBatches is the number of batches that are handled concurrently.
	quickBatches = 2
	// maxQuickBytes is the maximum size of a text that is classified in a batch.
	maxQuickBytes = 32 << 10
	// quickReads is the number of objects that are read concurrently for one batch.
	quickReads = 8
)

// errNotQuick means that a document in a batch has to be handled alone.
var errNotQuick = errors.New("document cannot be classified in a batch")

// quickEvent reports whether the document of an event is probably classified quickly.
func (c *Classifier) quickEvent(e schema.DocumentEvent, provider string) bool {
	return provider == builtin.Provider && quickFile(e.ContentType, e.Size) &&
		!c.notQuick.Contains(e.DocumentID)
}

// quick reports whether a document is classified quickly if its content is what it declares.
func (c *Classifier) quick(in *input) bool {
	provider, _ := c.choose(in.settings)
	return provider == builtin.Provider && quickFile(in.document.ContentType, in.document.Size)
}

func quickFile(contentType string, size int64) bool {
	return strings.HasPrefix(contentType, "text/") && size <= maxQuickBytes
}

// content is the content of a document, or the error of reading it.
type content struct {
	bytes []byte
	err   error
}

// readAll reads the contents of the documents concurrently. It skips inputs that are nil.
func (c *Classifier) readAll(ctx context.Context, inputs []*input) {
	var reads errgroup.Group
	reads.SetLimit(quickReads)
	for _, in := range inputs {
		if in == nil {
			continue
		}
		reads.Go(func() error {
			in.content = &content{}
			in.content.bytes, in.content.err = c.readObject(ctx, in.document)
			return nil
		})
	}
	_ = reads.Wait() // each content holds its own error
}

func (c *Classifier) readObject(ctx context.Context, d schema.Document) ([]byte, error) {
	body, _, err := c.objects.Get(ctx, d.ObjectKey, d.ETag)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}

// extractQuickly is the extraction for documents in a batch. It postpones a document whose content
// is not text; its message then gets another lane.
func (c *Classifier) extractQuickly(
	ctx context.Context, d schema.Document, body io.Reader, size int64,
) (extract.Result, error) {
	result, err := c.extractor.TextOfText(ctx, body, size, d.ContentType)
	if errors.Is(err, extract.ErrNotText) {
		err = c.postponeAlone(d.ID)
	}
	return result, err
}

// postponeAlone postpones a document until it is delivered in another lane.
func (c *Classifier) postponeAlone(id uuid.UUID) error {
	c.notQuick.Add(id, struct{}{})
	return runner.Postpone(errNotQuick, laneDelay)
}

// classifyBatch handles a batch and returns one error for each message. A document that is in the
// batch several times is handled once.
func (c *Classifier) classifyBatch(
	ctx context.Context, batch []runner.Message[schema.DocumentEvent],
) []error {
	errs := make([]error, len(batch))
	inputs, err := c.inputs(ctx, batch)
	if err != nil {
		for i, m := range batch {
			errs[i] = documentError(m.Event.DocumentID, err)
		}
		return errs
	}
	extraction := c.extractInLanes
	first := make(map[uuid.UUID]int, len(batch)) // the index of the first message of each document
	if len(batch) > 1 {
		extraction = c.extractQuickly
		for i, in := range inputs {
			if in == nil {
				continue
			}
			id := in.document.ID
			if _, ok := first[id]; ok {
				inputs[i] = nil
				continue
			}
			first[id] = i
			if in.document.Status == schema.StatusUploaded && !c.quick(in) {
				errs[i], inputs[i] = documentError(id, c.postponeAlone(id)), nil
			}
		}
		c.readAll(ctx, slices.DeleteFunc(slices.Clone(inputs), notUploaded))
	}
	for i, err := range c.classify(ctx, inputs, extraction) {
		if err != nil {
			errs[i] = documentError(batch[i].Event.DocumentID, err)
		}
	}
	for i, m := range batch {
		if j, ok := first[m.Event.DocumentID]; ok {
			errs[i] = errs[j]
		}
	}
	return errs
}

func notUploaded(in *input) bool {
	return in == nil || in.document.Status != schema.StatusUploaded
}

// classify changes uploaded documents to classified or failed, in one transaction, and publishes
// their events together. For documents in another status it only publishes unpublished events. It
// skips inputs that are nil, and returns one error for each input.
func (c *Classifier) classify(ctx context.Context, inputs []*input, extract extraction) []error {
	errs := make([]error, len(inputs))
	var done []schema.Document // whose events are published
	results := map[bool]map[uuid.UUID]result{false: {}, true: {}}
	for i, in := range inputs {
		switch {
		case in == nil:
		case notUploaded(in):
			done = append(done, in.document)
		default:
			decide, err := c.decide(ctx, in, extract)
			if errs[i] = err; err == nil && decide != nil {
				results[decide.withQuota][in.document.ID] = result{decide, in.document.ETag, i}
			}
		}
	}
	for withQuota, results := range results {
		changed, err := c.store(ctx, withQuota, results)
		for id, r := range results {
			if errs[r.index] = err; err == nil {
				c.needsOCR.Remove(id)
				c.notQuick.Remove(id)
			}
		}
		done = append(done, changed...)
	}
	c.publisher.TryPublish(ctx, done)
	return errs
}

// result is the decision about the input with that index, made from the object with that ETag.
type result struct {
	*decision
	etag  string
	index int
}

// store carries out decisions in one transaction and returns the documents.
func (c *Classifier) store(
	ctx context.Context, withQuota bool, results map[uuid.UUID]result,
) ([]schema.Document, error) {
	now := schema.Now()
	return c.transition(ctx, slices.Collect(maps.Keys(results)), withQuota,
		func(d *schema.Document, q *schema.Quota) schema.Decision {
			r := results[d.ID]
			if d.ETag != r.etag {
				return schema.Decision{} // another object has been confirmed in the meantime
			}
			return r.decide(d, q, now)
		})
}
