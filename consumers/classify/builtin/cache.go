package builtin

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"math"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"intray/infra/ai"
)

// maxProfileBytes limits the size of the profiles in the cache. A profile of 15 keywords takes
// about 3 kB, one of 50 keywords of two words 15 kB, and one of maxTerms terms 40 kB. The cache
// therefore holds the topics of thousands of users who have a few, or of several users with as many
// large topics as are allowed. Profiles that were evicted are built again, which takes about 0.1 ms
// for 15 keywords.
const maxProfileBytes = 48 << 20

// profileCache holds the most recently used profiles, up to maxProfileBytes. They are keyed by the
// content of their topics, so a changed topic gets a new profile. It is safe for concurrent use.
type profileCache struct {
	build func(ai.Topic, reading) *profile

	mu       sync.Mutex
	profiles *simplelru.LRU[digest, *profile]
	bytes    int // the sum of the sizes of profiles
}

type digest [sha256.Size]byte

func newProfileCache(build func(ai.Topic, reading) *profile) *profileCache {
	c := &profileCache{build: build}
	// The number of profiles is not limited, only their size. NewLRU fails only for a number below 1.
	c.profiles, _ = simplelru.NewLRU(math.MaxInt, func(_ digest, p *profile) { c.bytes -= p.size() })
	return c
}

// profile returns the profile of the topic for documents that are read in this way. It builds the
// profile if it is not cached.
func (c *profileCache) profile(t ai.Topic, r reading) *profile {
	key := contentDigest(t, r)
	if p, ok := c.get(key); ok {
		return p
	}
	// The cache is not locked here, so two goroutines may build the same profile.
	p := c.build(t, r)
	c.add(key, p)
	return p
}

func (c *profileCache) get(key digest) (*profile, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.profiles.Get(key)
}

// add adds a profile and evicts the least recently used ones until the others fit.
func (c *profileCache) add(key digest, p *profile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.profiles.Contains(key) {
		return
	}
	c.profiles.Add(key, p)
	for c.bytes += p.size(); c.bytes > maxProfileBytes && c.profiles.Len() > 1; {
		c.profiles.RemoveOldest()
	}
}

// contentDigest returns a digest of what a profile is built from: the reading, and the parts of the
// topic except the ID and the examples.
func contentDigest(t ai.Topic, r reading) (d digest) {
	h := sha256.New()
	if r.uniform {
		writeField(h, "uniform")
	}
	h.Write([]byte{byte(r.language)})
	writeField(h, t.Name)
	writeField(h, t.Description)
	for _, keyword := range t.Keywords {
		writeField(h, keyword)
	}
	h.Sum(d[:0])
	return d
}

// writeField writes the length before the field, so that "a", "b" differs from "ab".
func writeField(h hash.Hash, field string) {
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], uint64(len(field)))
	h.Write(n[:])
	h.Write([]byte(field))
}
