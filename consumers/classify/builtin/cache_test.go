package builtin

import (
	"fmt"
	"testing"

	"intray/infra/ai"
)

func TestCacheMakesAProfileOncePerContent(t *testing.T) {
	made := 0
	c := newProfileCache(func(ai.Topic) *profile { made++; return new(profile) })

	first := c.profile(ai.Topic{ID: "1", Name: "Tax", Keywords: []string{"a", "b"}})
	if c.profile(ai.Topic{ID: "2", Name: "Tax", Keywords: []string{"a", "b"}}) != first || made != 1 {
		t.Errorf("made %d profiles of one content", made)
	}
	for _, other := range []ai.Topic{
		{Name: "Tax", Keywords: []string{"ab"}},
		{Name: "Tax", Description: "a", Keywords: []string{"a", "b"}},
		{Name: "Tax", Keywords: []string{"b", "a"}},
		{Name: "Tax", Description: "a", Keywords: []string{"b"}},
		{Name: "Taxa", Keywords: []string{"b"}},
	} {
		if c.profile(other) == first {
			t.Errorf("%v shares a profile with other content", other)
		}
	}
}

func TestCacheIsBoundedAndKeepsWhatIsUsed(t *testing.T) {
	made := 0
	c := newProfileCache(func(ai.Topic) *profile { made++; return new(profile) })
	used := ai.Topic{Name: "used"}
	const others = 5 * maxProfiles
	for i := range others {
		c.profile(used)
		c.profile(ai.Topic{Name: fmt.Sprint(i)})
	}
	if made != others+1 {
		t.Errorf("built the used profile %d times, want once", made-others)
	}
	if n := c.kept.Len(); n != maxProfiles {
		t.Errorf("keeps %d profiles, want %d", n, maxProfiles)
	}
}
