package classify

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"intray/consumers/classify/builtin"
	"intray/consumers/classify/extract"
	"intray/consumers/runner"
	"intray/schema"
)

// Small texts of users of the builtin provider who do not have very many topics are classified in
// about a millisecond. One by one, almost all of their time would go into transactions, publishing
// and waiting for the disk. Therefore they are handled in batches, with one transaction and one
// publish for each. Everything else is handled alone, so that a batch never waits for a slow
// document or a slow provider.
const (
	// quickBatch is the maximum number of documents in a batch.
	quickBatch = 64
	// quickBatches is the number of batches that are handled concurrently.
	quickBatches = 2
	// maxQuickBytes is the maximum size of a text that is classified in a batch.
	maxQuickBytes = 32 << 10
	// maxQuickTerms is the maximum number of topics and keywords with which a text is compared in a
	// batch. With this many, the comparison takes a few milliseconds, and about 20 ms the first time.
	maxQuickTerms = 2000
	// quickReads is the number of objects that are read concurrently for one batch, and
	// quickReadTimeout how long the others wait for one of them at most.
	quickReads       = 8
	quickReadTimeout = 2 * time.Second
)

// errNotQuick means that a document in a batch has to be handled alone.
var errNotQuick = errors.New("document cannot be classified in a batch")

// quickEvent reports whether the document of an event is probably classified quickly.
func (c *Classifier) quickEvent(e schema.DocumentEvent, provider string) bool {
	return provider == builtin.Provider && quickFile(e.ContentType, e.Size) &&
		!c.notQuick.Contains(e.DocumentID) && !c.manyTopics.Contains(e.UserID)
}

// quick reports whether a document is classified quickly if its content is what it declares.
func (c *Classifier) quick(in *input) bool {
	provider, _ := c.choose(in.settings)
	return provider == builtin.Provider &&
		quickFile(in.document.ContentType, in.document.Size) && quickTopics(in.topics)
}

func quickFile(contentType string, size int64) bool {
	return strings.HasPrefix(contentType, "text/") && size <= maxQuickBytes
}

// quickTopics reports whether a text is compared with the topics quickly.
func quickTopics(topics []schema.Topic) bool {
	terms := len(topics)
	for _, t := range topics {
		terms += len(t.Keywords)
	}
	return terms <= maxQuickTerms
}

// noteTopics remembers whether a user has too many topics for batches, so that the next events of
// the user get another lane at once.
func (c *Classifier) noteTopics(user uuid.UUID, topics []schema.Topic) {
	if quickTopics(topics) {
		c.manyTopics.Remove(user)
	} else {
		c.manyTopics.Add(user, struct{}{})
	}
}

// content is the content of a document, or the error of reading it.
type content struct {
	bytes []byte
	err   error
}

// readAll reads the contents of the documents concurrently. It postpones a document whose object
// storage does not return quickly.
func (c *Classifier) readAll(ctx context.Context, inputs []*input) {
	var reads errgroup.Group
	reads.SetLimit(quickReads)
	for _, in := range inputs {
		reads.Go(func() error {
			read, cancel := context.WithTimeout(ctx, quickReadTimeout)
			defer cancel()
			bytes, err := c.readObject(read, in.document)
			if read.Err() != nil && ctx.Err() == nil {
				err = c.postponeAlone(in.document.ID)
			}
			in.content = &content{bytes, err}
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
