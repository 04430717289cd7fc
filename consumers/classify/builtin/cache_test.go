package builtin

import (
	"fmt"
	"testing"

	"intray/infra/ai"
)

func TestTopicsOfEqualContentShareAProfile(t *testing.T) {
	builds := 0
	c := newProfileCache(func(ai.Topic) *profile { builds++; return new(profile) })

	first := c.profile(ai.Topic{ID: "1", Name: "Tax", Keywords: []string{"a", "b"}})
	second := c.profile(ai.Topic{ID: "2", Name: "Tax", Keywords: []string{"a", "b"}})
	if second != first || builds != 1 {
		t.Errorf("got %d profiles for topics of equal content, want 1", builds)
	}
	for _, other := range []ai.Topic{
		{Name: "Tax", Keywords: []string{"ab"}},
		{Name: "Tax", Description: "a", Keywords: []string{"a", "b"}},
		{Name: "Tax", Keywords: []string{"b", "a"}},
		{Name: "Tax", Description: "a", Keywords: []string{"b"}},
		{Name: "Taxa", Keywords: []string{"b"}},
	} {
		if c.profile(other) == first {
			t.Errorf("topic %v got the profile of a topic with different content", other)
		}
	}
}

func TestCacheEvictsTheLeastRecentlyUsedProfile(t *testing.T) {
	builds := 0
	c := newProfileCache(func(ai.Topic) *profile { builds++; return new(profile) })
	used := ai.Topic{Name: "used"}
	const others = 5 * maxProfiles
	for i := range others {
		c.profile(used)
		c.profile(ai.Topic{Name: fmt.Sprint(i)})
	}
	if got := builds - others; got != 1 {
		t.Errorf("built the profile in use %d times, want 1", got)
	}
	if got := c.profiles.Len(); got != maxProfiles {
		t.Errorf("got %d cached profiles, want %d", got, maxProfiles)
	}
}
