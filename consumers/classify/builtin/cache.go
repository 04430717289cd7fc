package builtin

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"

	lru "github.com/hashicorp/golang-lru/v2"

	"intray/infra/ai"
)

// maxProfiles is the number of profiles in the cache. A profile of 15 keywords takes about 3 kB and
// one of maxTerms terms up to 30 kB, so the cache takes less than 40 MB. Building a profile takes
// about 0.1 ms.
const maxProfiles = 1024

// profileCache holds the most recently used profiles. They are keyed by the content of their
// topics, so a changed topic gets a new profile.
type profileCache struct {
	build    func(ai.Topic) *profile
	profiles *lru.Cache[digest, *profile]
}

type digest [sha256.Size]byte

func newProfileCache(build func(ai.Topic) *profile) *profileCache {
	profiles, err := lru.New[digest, *profile](maxProfiles)
	if err != nil {
		panic(err) // only for a size that is not positive
	}
	return &profileCache{build: build, profiles: profiles}
}

// profile returns the profile of the topic, which it builds if it is not cached.
func (c *profileCache) profile(t ai.Topic) *profile {
	key := contentDigest(t)
	if p, ok := c.profiles.Get(key); ok {
		return p
	}
	// The cache is not locked here, so two goroutines may build the same profile.
	p := c.build(t)
	c.profiles.Add(key, p)
	return p
}

// contentDigest returns a digest of the parts of a topic that a profile is built from: all but the
// ID and the examples.
func contentDigest(t ai.Topic) (d digest) {
	h := sha256.New()
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
