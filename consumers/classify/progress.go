package classify

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"

	"intray/consumers/runner"
	"intray/infra/postgres"
	"intray/schema"
)

// progress holds the versions of documents that this process is classifying. A version may have two
// events, because the sweeper publishes an event again that may be lost.
type progress struct {
	mu       sync.Mutex
	versions map[documentVersion]struct{}
}

type documentVersion struct {
	id      uuid.UUID
	version int64
}

// begin adds the version of a document. It returns false if it is being classified already.
func (p *progress) begin(v documentVersion) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.versions[v]; ok {
		return false
	}
	if p.versions == nil {
		p.versions = make(map[documentVersion]struct{})
	}
	p.versions[v] = struct{}{}
	return true
}

func (p *progress) end(v documentVersion) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.versions, v)
}

// errInProgress means that the document is being classified because of another message.
var errInProgress = errors.New("document is being classified")

// inProgressDelay is the delay before such a message is redelivered.
const inProgressDelay = 5 * time.Second

// classifyOnce calls classifyBatch with the messages whose documents are not being classified
// because of another message. The others are postponed, not acknowledged: if the other message
// fails, its stream may no longer exist to redeliver it.
func (c *Classifier) classifyOnce(
	ctx context.Context, batch []runner.Message[schema.DocumentEvent],
) []error {
	var begun []runner.Message[schema.DocumentEvent]
	var indexes []int
	var ids []uuid.UUID
	own := make(map[documentVersion]bool)
	for i, m := range batch {
		v := documentVersion{m.Event.DocumentID, m.Event.Version}
		if !own[v] {
			if !c.progress.begin(v) {
				continue
			}
			defer c.progress.end(v)
			own[v] = true
			ids = append(ids, v.id)
		}
		begun, indexes = append(begun, m), append(indexes, i)
	}
	errs := make([]error, len(batch))
	for i, m := range batch {
		errs[i] = documentError(m.Event.DocumentID, runner.Postpone(errInProgress, inProgressDelay))
	}
	if len(begun) == 0 {
		return errs
	}
	defer c.recordSlow(ctx, ids)()
	for i, err := range c.classifyBatch(ctx, begun) {
		errs[indexes[i]] = err
	}
	return errs
}

// recordSlow records that the classification of documents is in progress, unless stop is called
// before Config.SlowAfter has passed. The sweeper then does not publish their events again.
func (c *Classifier) recordSlow(ctx context.Context, ids []uuid.UUID) (stop func()) {
	ended, recorded := make(chan struct{}), make(chan struct{})
	timer := time.AfterFunc(c.config.SlowAfter, func() {
		defer close(recorded)
		tick := time.NewTicker(slowInterval)
		defer tick.Stop()
		for {
			err := c.db.RecordAttempt(ctx, ids, postgres.NewAttempt{
				Stream: schema.StreamDocuments, Consumer: schema.ConsumerClassify,
				Reason: postgres.ReasonInProgress, Wait: slowInterval,
			})
			if err != nil {
				c.log.Debug("cannot record attempt", "documents", len(ids), "error", err)
			}
			select {
			case <-ended:
				return
			case <-tick.C:
			}
		}
	})
	return func() {
		close(ended)
		if !timer.Stop() {
			<-recorded
		}
	}
}

// slowInterval is the time between two records of a classification that is in progress.
const slowInterval = 30 * time.Second
