package classify

import (
	"cmp"
	"context"

	"intray/consumers/runner"
	"intray/schema"
)

// Limits holds the limits of a provider.
type Limits struct {
	// ConcurrentCalls is the maximum number of concurrent calls to the provider by this process;
	// default 2. For one user, at most this many documents are handled concurrently; for all users
	// together, one more, so that one user's documents never occupy the whole provider.
	ConcurrentCalls int
	// DailyCalls is the maximum number of calls per user and UTC day; default no limit. Documents that
	// exceed it stay uploaded until the next day.
	DailyCalls int
}

func (l Limits) concurrent() int { return cmp.Or(l.ConcurrentCalls, 2) }

// Lane returns the lane of an event, for Runner.InLanes. Its key is the document's owner and its
// group is the owner's provider. The lane only affects scheduling: Handle reads the settings again.
//
// Documents that are probably classified quickly are handled in batches.
//
// Documents that need OCR have lanes of their own, so that they do not delay other documents of the
// same owner.
func (c *Classifier) Lane(ctx context.Context, e schema.DocumentEvent) runner.Lane {
	provider, _ := c.choose(c.settings.get(ctx, e.UserID))
	if _, ok := c.config.Providers[provider]; !ok {
		return runner.Lane{Key: e.UserID.String(), GroupLimit: 1}
	}
	if c.needsOCR.Contains(e.DocumentID) {
		return runner.Lane{
			Key: "ocr " + e.UserID.String(), Group: "ocr " + provider, GroupLimit: 1,
		}
	}
	if c.inQuickLane(ctx, e) {
		return runner.Lane{
			Key: "quick " + e.UserID.String(), Group: "quick",
			GroupLimit: quickBatches, Batch: quickBatch,
		}
	}
	n := c.config.Limits[provider].concurrent()
	return runner.Lane{Key: e.UserID.String(), Group: provider, GroupLimit: n + 1, KeyLimit: n}
}

// inQuickLane reports whether the document of an event is handled in a batch, also in one that
// contains no other document.
func (c *Classifier) inQuickLane(ctx context.Context, e schema.DocumentEvent) bool {
	provider, _ := c.choose(c.settings.get(ctx, e.UserID))
	return !c.needsOCR.Contains(e.DocumentID) && c.quickEvent(e, provider)
}

// workers returns the sum of the group limits of all lanes, so that a provider that does not
// respond leaves enough workers for the other lanes.
func (c *Classifier) workers() int {
	n := 1 + quickBatches // for documents whose provider is not configured, and for batches
	for name := range c.config.Providers {
		n += c.config.Limits[name].concurrent() + 2
	}
	return n
}

// maxTrackedDocuments is the size of each cache of documents that need another lane. It equals the
// maximum number of unacknowledged messages of the consumer.
const maxTrackedDocuments = 100_000
