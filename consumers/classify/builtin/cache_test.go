package builtin

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"intray/infra/ai"
	"intray/schema"
)

func TestTopicsOfEqualContentShareAProfile(t *testing.T) {
	builds := 0
	c := newProfileCache(func(ai.Topic, reading) *profile { builds++; return new(profile) })

	first := c.profile(ai.Topic{ID: "1", Name: "Tax", Keywords: []string{"a", "b"}}, reading{})
	second := c.profile(ai.Topic{ID: "2", Name: "Tax", Keywords: []string{"a", "b"}}, reading{})
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
		if c.profile(other, reading{}) == first {
			t.Errorf("topic %v got the profile of a topic with different content", other)
		}
	}
}

func TestCacheEvictsTheLeastRecentlyUsedProfiles(t *testing.T) {
	builds := 0
	large := &profile{vector: make([]float32, 250_000)}
	c := newProfileCache(func(ai.Topic, reading) *profile { builds++; return large })
	used := ai.Topic{Name: "used"}
	fitting := maxProfileBytes / large.size()
	others := 5 * fitting
	for i := range others {
		c.profile(used, reading{})
		c.profile(ai.Topic{Name: fmt.Sprint(i)}, reading{})
	}
	if got := builds - others; got != 1 {
		t.Errorf("built the profile in use %d times, want 1", got)
	}
	if got := c.profiles.Len(); got != fitting || c.bytes != fitting*large.size() {
		t.Errorf("got %d cached profiles of %d bytes, want %d of %d",
			got, c.bytes, fitting, fitting*large.size())
	}
}

// newCounting returns a Classifier and the number of profiles that it has built.
func newCounting(t *testing.T) (c *Classifier, builds *int) {
	t.Helper()
	c, err := New()
	if err != nil {
		t.Fatal(err)
	}
	builds = new(int)
	build := c.profiles.build
	c.profiles.build = func(t ai.Topic, r reading) *profile { *builds++; return build(t, r) }
	return c, builds
}

// TestCacheHoldsTheTopicsOfADocument checks that no profile is built twice for documents of a user
// with as many topics as are allowed, each as large as is allowed.
func TestCacheHoldsTheTopicsOfADocument(t *testing.T) {
	c, builds := newCounting(t)
	var topics []ai.Topic
	for i := range 2 * schema.MaxTopics { // system topics and the user's own
		topic := ai.Topic{Name: fmt.Sprintf("topic %d", i)}
		for k := range schema.MaxTopicKeywords {
			topic.Keywords = append(topic.Keywords,
				fmt.Sprintf("a%d b%d c%d d%d e%d f%d g%d h%d", i, k, i, k, i, k, i, k))
		}
		topics = append(topics, topic)
	}
	for range 2 {
		c.Rank(ai.Request{Text: "text", Topics: topics})
	}
	if *builds != len(topics) {
		t.Errorf("built %d profiles for two documents with %d topics, want each once",
			*builds, len(topics))
	}
	if c.profiles.bytes > maxProfileBytes {
		t.Errorf("got a cache of %d bytes, want at most %d", c.profiles.bytes, maxProfileBytes)
	}
	t.Logf("the profiles take %d bytes", c.profiles.bytes)
}

// canceledAfter is a context that is canceled when its error has been read n times.
type canceledAfter struct {
	context.Context
	n int
}

func (c *canceledAfter) Err() error {
	if c.n--; c.n < 0 {
		return context.Canceled
	}
	return nil
}

func TestCancelationEndsClassificationBetweenTopics(t *testing.T) {
	c, builds := newCounting(t)
	example := c.lexicon.read("", "an invoice with an amount that is due").example()
	var topics []ai.Topic
	for i := range 100 {
		topics = append(topics, ai.Topic{
			ID: fmt.Sprint(i), Name: fmt.Sprint("topic ", i), Examples: [][]byte{example},
		})
	}
	req := ai.Request{Text: "text", Topics: topics}
	// Classify checks the context once at first, and once for each topic in each of three steps.
	for _, n := range []int{0, 1, 50, 101, 150, 201, 250, 300} {
		*builds = 0
		ctx := &canceledAfter{t.Context(), n}
		if _, err := c.Classify(ctx, req); !errors.Is(err, context.Canceled) {
			t.Errorf("canceled after %d checks: got error %v, want %v", n, err, context.Canceled)
		}
		if *builds > max(0, n-len(topics)) {
			t.Errorf("canceled after %d checks: built %d profiles", n, *builds)
		}
	}
	if _, err := c.Classify(&canceledAfter{t.Context(), 301}, req); err != nil {
		t.Errorf("not canceled: got error %v", err)
	}
}
