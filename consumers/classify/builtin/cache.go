package builtin

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"

	"intray/infra/ai"
)

// maxProfiles is how many topics' profiles one generation of the cache holds. A
// topic of 15 keywords takes about 3 kB and one of maxTerms up to 30 kB, so two
// generations stay below 40 MB even then. Making a profile anew takes about 0.1 ms.
const maxProfiles = 512

// cache keeps topics' profiles by the topics' content: a topic that was changed is
// simply another one. It has two generations: when the young one is full it becomes
// the old one, and what is not used meanwhile goes with the next.
type cache struct {
	build func(ai.Topic) *profile

	mu         sync.Mutex
	young, old map[digest]*profile
}

type digest [sha256.Size]byte

func newCache(build func(ai.Topic) *profile) *cache {
	return &cache{build: build, young: map[digest]*profile{}}
}

// profile gives the topic's profile, and makes it where it is not kept.
func (c *cache) profile(t ai.Topic) *profile {
	key := contentOf(t)
	if p := c.get(key); p != nil {
		return p
	}
	p := c.build(t) // not under the lock; two goroutines may make the same
	c.put(key, p)
	return p
}

func (c *cache) get(key digest) *profile {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.young[key]; p != nil {
		return p
	}
	p := c.old[key]
	if p != nil {
		c.keep(key, p)
	}
	return p
}

func (c *cache) put(key digest, p *profile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep(key, p)
}

func (c *cache) keep(key digest, p *profile) {
	if len(c.young) >= maxProfiles {
		c.old, c.young = c.young, make(map[digest]*profile, maxProfiles)
	}
	c.young[key] = p
}

// contentOf identifies what a profile is made of: all but the ID.
func contentOf(t ai.Topic) (d digest) {
	h := sha256.New()
	writeField(h, t.Name)
	writeField(h, t.Description)
	for _, keyword := range t.Keywords {
		writeField(h, keyword)
	}
	h.Sum(d[:0])
	return d
}

// writeField writes the length too: "a", "b" is not "ab".
func writeField(h hash.Hash, field string) {
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], uint64(len(field)))
	h.Write(n[:])
	h.Write([]byte(field))
}
