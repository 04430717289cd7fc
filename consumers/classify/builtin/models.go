package builtin

import (
	"context"
	"crypto/sha256"
	"math"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"intray/infra/ai"
)

// maxModelBytes limits the size of the models in the cache. A model of 20 topics with 20 examples
// each takes about 1.5 MB. Building it takes about 30 ms.
const maxModelBytes = 8 << 20

// maxCachedExamples is the size of the examples, in bytes, up to which a model is cached. Beyond it
// no regression is trained, and a digest of the examples would take longer than building the model.
const maxCachedExamples = 1 << 20

// modelCache holds the most recently used models, up to maxModelBytes. They are keyed by the
// topics' IDs and examples. It is safe for concurrent use.
type modelCache struct {
	mu     sync.Mutex
	models *simplelru.LRU[digest, *exampleModel]
	bytes  int
}

func newModelCache() *modelCache {
	c := &modelCache{}
	// NewLRU fails only for a number below 1.
	c.models, _ = simplelru.NewLRU(math.MaxInt,
		func(_ digest, m *exampleModel) { c.bytes -= m.size() })
	return c
}

// train returns the model of the topics' examples. The only error is that of ctx.
func (c *modelCache) train(
	ctx context.Context, topics []ai.Topic, dims int,
) (*exampleModel, error) {
	size := 0
	for _, t := range topics {
		for _, e := range t.Examples {
			size += len(e)
		}
	}
	if size == 0 || size > maxCachedExamples {
		return train(ctx, topics, dims)
	}
	key := examplesDigest(topics)
	c.mu.Lock()
	m, ok := c.models.Get(key)
	c.mu.Unlock()
	if ok {
		return m, nil
	}
	// The cache is not locked here, so two goroutines may train the same model.
	m, err := train(ctx, topics, dims)
	if err != nil || m.examples == 0 || m.size() > maxModelBytes {
		return m, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.models.Contains(key) {
		c.models.Add(key, m)
		for c.bytes += m.size(); c.bytes > maxModelBytes; {
			c.models.RemoveOldest()
		}
	}
	return m, nil
}

// examplesDigest returns a digest of what a model is trained from.
func examplesDigest(topics []ai.Topic) (d digest) {
	h := sha256.New()
	for _, t := range topics {
		writeField(h, t.ID)
		for _, e := range t.Examples {
			writeField(h, string(e))
		}
		writeField(h, "")
	}
	h.Sum(d[:0])
	return d
}

// size returns about how many bytes the model takes.
func (m *exampleModel) size() int {
	size := 1000 + 4*len(m.bucketWeights) + m.regression.size()
	for _, t := range m.topics {
		size += 100 + 4*len(t.direction)
		for _, b := range t.bags {
			size += 24 + 2*len(b)
		}
	}
	return size
}
