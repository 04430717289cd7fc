package classify

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"intray/consumers/runner"
	"intray/schema"
)

// Bounds say how much a provider is asked.
type Bounds struct {
	// Concurrent is how many calls of the provider this process makes at once;
	// default 2. It has one document more in hand, so that there is always a place
	// that the user with the most documents does not have.
	Concurrent int
	// Daily is how many calls the documents of one user may take in a day, by
	// UTC; default no bound. Those beyond it stay uploaded until the next day.
	Daily int
}

func (b Bounds) concurrent() int { return cmp.Or(b.Concurrent, 2) }

// Lane says whose turn a document takes: its owner's, and the provider's that its
// owner uses. It is for a runner's InLanes, and only a hint: the document decides.
//
// Documents that need character recognition have lanes of their own: they take
// their owner's turn from none of the others.
func (c *Classifier) Lane(ctx context.Context, e schema.DocumentEvent) runner.Lane {
	provider, _ := c.choose(c.settings.of(ctx, e.UserID))
	if _, ok := c.config.Providers[provider]; !ok {
		return runner.Lane{Key: e.UserID.String(), GroupLimit: 1}
	}
	if c.slow.has(e.DocumentID) {
		return runner.Lane{Key: "slow " + e.UserID.String(), Group: "slow " + provider, GroupLimit: 1}
	}
	n := c.config.Bounds[provider].concurrent()
	return runner.Lane{Key: e.UserID.String(), Group: provider, GroupLimit: n + 1, KeyLimit: n}
}

// workers is as many as all lanes together may use: what hangs takes no worker from
// the others.
func (c *Classifier) workers() int {
	n := 1 // for documents that name no provider of this program
	for name := range c.config.Providers {
		n += c.config.Bounds[name].concurrent() + 2
	}
	return n
}

// slow are the documents that were found to need character recognition. Where
// there are too many, they are found out anew.
type slow struct {
	mu    sync.Mutex
	known map[uuid.UUID]bool
}

// maxSlow is as many as the consumer may see at once.
const maxSlow = 100_000

func (s *slow) has(id uuid.UUID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[id]
}

func (s *slow) add(id uuid.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil || len(s.known) >= maxSlow {
		s.known = make(map[uuid.UUID]bool)
	}
	s.known[id] = true
}

func (s *slow) forget(id uuid.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, id)
}

// recent remembers users' AI settings for a little, for a backlog asks for the
// same ones again and again.
type recent struct {
	read  func(ctx context.Context, user uuid.UUID) (Settings, error)
	mu    sync.Mutex
	known map[uuid.UUID]remembered
}

type remembered struct {
	settings Settings
	until    time.Time
}

const (
	rememberFor = 5 * time.Second
	maxKnown    = 10_000
)

// of returns a user's settings; the system's defaults where they cannot be read.
func (r *recent) of(ctx context.Context, user uuid.UUID) Settings {
	now := time.Now()
	r.mu.Lock()
	found, ok := r.known[user]
	r.mu.Unlock()
	if ok && now.Before(found.until) {
		return found.settings
	}
	settings, err := r.read(ctx, user)
	if err != nil {
		return Settings{} // who handles the document meets the failure again
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil || len(r.known) >= maxKnown {
		r.known = make(map[uuid.UUID]remembered)
	}
	r.known[user] = remembered{settings, now.Add(rememberFor)}
	return settings
}
