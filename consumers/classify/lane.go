package classify

import (
	"cmp"
	"context"

	"intray/consumers/runner"
	"intray/schema"
)

// Limits limit the calls of a provider.
type Limits struct {
	// ConcurrentCalls is how many calls of the provider this process makes at once;
	// default 2. It has one more document in hand, so that there is always a place
	// that the user with the most documents does not have.
	ConcurrentCalls int
	// DailyCalls is how many calls the documents of one user may take in a day, by
	// UTC; default no limit. Those beyond it stay uploaded until the next day.
	DailyCalls int
}

func (l Limits) concurrent() int { return cmp.Or(l.ConcurrentCalls, 2) }

// Lane returns the lane of an event: its key is the document's owner, its group the
// provider that the owner uses. It is for a runner's InLanes, and only a hint: the
// document decides.
//
// Documents that need character recognition have lanes of their own, so that they
// delay none of their owner's others.
func (c *Classifier) Lane(ctx context.Context, e schema.DocumentEvent) runner.Lane {
	provider, _ := c.choose(c.settings.get(ctx, e.UserID))
	if _, ok := c.config.Providers[provider]; !ok {
		return runner.Lane{Key: e.UserID.String(), GroupLimit: 1}
	}
	if c.slow.Contains(e.DocumentID) {
		return runner.Lane{Key: "slow " + e.UserID.String(), Group: "slow " + provider, GroupLimit: 1}
	}
	n := c.config.Limits[provider].concurrent()
	return runner.Lane{Key: e.UserID.String(), Group: provider, GroupLimit: n + 1, KeyLimit: n}
}

// workers returns as many workers as all lanes together may use: what hangs takes
// no worker from the others.
func (c *Classifier) workers() int {
	n := 1 // for documents whose provider this process does not have
	for name := range c.config.Providers {
		n += c.config.Limits[name].concurrent() + 2
	}
	return n
}

// maxSlowDocuments bounds the cache of slow documents: it is the most messages that
// the consumer may hold at once.
const maxSlowDocuments = 100_000
