package builtin

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"

	lru "github.com/hashicorp/golang-lru/v2"

	"intray/infra/ai"
)

// maxProfiles is how many topics' profiles are kept. A profile of 15 keywords takes about
// 3 kB and one of maxTerms up to 30 kB, so all of them stay below 40 MB even then. Building
// a profile takes about 0.1 ms.
const maxProfiles = 1024

// profileCache keeps the profiles that were used last, by the content of their topics: a
// topic that was changed has another profile.
type profileCache struct {
	build func(ai.Topic) *profile
	kept  *lru.Cache[digest, *profile]
}

type digest [sha256.Size]byte

func newProfileCache(build func(ai.Topic) *profile) *profileCache {
	kept, err := lru.New[digest, *profile](maxProfiles)
	if err != nil {
		panic(err) // only for a size that is not positive
	}
	return &profileCache{build: build, kept: kept}
}

// profile returns the topic's profile, and builds it if it is not kept.
func (c *profileCache) profile(t ai.Topic) *profile {
	key := contentOf(t)
	if p, ok := c.kept.Get(key); ok {
		return p
	}
	p := c.build(t) // not under the cache's lock; two goroutines may build the same
	c.kept.Add(key, p)
	return p
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
