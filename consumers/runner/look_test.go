package runner_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"intray/consumers/consumertest"
	"intray/consumers/runner"
	"intray/infra/minio"
	"intray/schema"
)

// counting counts what reaches the bucket, and may change what a listing shows.
type counting struct {
	*minio.Objects
	heads, pages, listed atomic.Int64
	show                 func([]schema.Object, error) ([]schema.Object, error)
}

func (c *counting) Stat(ctx context.Context, key string) (schema.Object, error) {
	c.heads.Add(1)
	return c.Objects.Stat(ctx, key)
}

func (c *counting) Page(ctx context.Context, prefix, after string, limit int) ([]schema.Object, error) {
	c.pages.Add(1)
	page, err := c.Objects.Page(ctx, prefix, after, limit)
	c.listed.Add(int64(len(page)))
	if c.show != nil {
		return c.show(page, err)
	}
	return page, err
}

// folder puts n objects into one folder and returns their keys in order.
func folder(b *consumertest.Bundle, name string, n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("documents/%s/%04d", name, i)
		b.Put(keys[i], strings.Repeat("x", i%7))
	}
	return keys
}

// expectFound compares what was found with HEADs.
func expectFound(t interface {
	Errorf(string, ...any)
}, b *consumertest.Bundle, keys []string, found map[string]runner.Seen) {
	for key, want := range runner.Look(context.Background(), b.Objects, keys) {
		got, looked := found[key]
		if !looked || got.Absent() != want.Absent() || (got.Err == nil) != (want.Err == nil) ||
			got.Object.Key != want.Object.Key || got.Object.Size != want.Object.Size || got.Object.ETag != want.Object.ETag {
			t.Errorf("%s: found %+v, a HEAD says %+v", key, got, want)
		}
	}
}

func TestFindListsWhatLiesTogether(t *testing.T) {
	b := consumertest.New(t)
	keys := folder(b, "0190000000", 40)
	c := &counting{Objects: b.Objects}
	expectFound(t, b, keys, runner.Find(t.Context(), c, append(slices.Clone(keys), keys...)))
	if c.heads.Load() != 0 || c.pages.Load() != 1 || c.listed.Load() != 40 {
		t.Errorf("%d HEADs and %d pages of %d objects, want one page of 40", c.heads.Load(), c.pages.Load(), c.listed.Load())
	}
}

func TestFindLooksAtLonelyKeysByHead(t *testing.T) {
	b := consumertest.New(t)
	var keys []string
	for i := range 6 {
		keys = append(keys, folder(b, fmt.Sprintf("019000000%d", i), 2)...)
	}
	c := &counting{Objects: b.Objects}
	expectFound(t, b, keys, runner.Find(t.Context(), c, keys))
	expectFound(t, b, keys[:1], runner.Find(t.Context(), c, keys[:1]))
	if c.heads.Load() != 13 || c.pages.Load() != 0 {
		t.Errorf("%d HEADs and %d pages, want 13 and none", c.heads.Load(), c.pages.Load())
	}
}

func TestFindLeavesAFolderThatHoldsFarMore(t *testing.T) {
	b := consumertest.New(t)
	all := folder(b, "0190000000", 200)
	keys := []string{all[0], all[50], all[100], all[150], all[199]}
	c := &counting{Objects: b.Objects}
	expectFound(t, b, keys, runner.Find(t.Context(), c, keys))
	if n := c.listed.Load(); n > 20 {
		t.Errorf("%d objects were listed for 5 keys", n)
	}
}

// A listing proves that an object is there; that it is not, only a HEAD does.
func TestWhatAListingDoesNotShowIsLookedAt(t *testing.T) {
	b := consumertest.New(t)
	keys := folder(b, "0190000000", 20)
	absent := "documents/0190000000/0005x"
	for name, show := range map[string]func([]schema.Object, error) ([]schema.Object, error){
		"lags": func(page []schema.Object, err error) ([]schema.Object, error) { return page[:len(page)/2], err },
		"fails": func([]schema.Object, error) ([]schema.Object, error) {
			return nil, errors.New("no listing today")
		},
		"is empty": func([]schema.Object, error) ([]schema.Object, error) { return nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			c := &counting{Objects: b.Objects, show: show}
			found := runner.Find(t.Context(), c, append(slices.Clone(keys), absent))
			expectFound(t, b, append(slices.Clone(keys), absent), found)
			if !found[absent].Absent() {
				t.Errorf("%+v is no proof of absence", found[absent])
			}
		})
	}
}

func TestFindFindsWhatHeadsFind(t *testing.T) {
	b := consumertest.New(t)
	var keys []string
	for i, n := range []int{30, 4, 1, 90} {
		keys = append(keys, folder(b, fmt.Sprintf("019000000%d", i), n)...)
	}
	keys = append(keys, folder(b, "ä €", 9)...)
	keys = append(keys, "documents/0190000000/", "documents/0190000000/0003x", "documents/nobody/a", "documents/ä €/ü", "x", "/", "documents//a")
	rapid.Check(t, func(t *rapid.T) {
		// Stretches with gaps, as a backlog has them, and single keys.
		var asked []string
		for range rapid.IntRange(1, 4).Draw(t, "stretches") {
			at := rapid.IntRange(0, len(keys)-1).Draw(t, "at")
			step := rapid.IntRange(1, 6).Draw(t, "step")
			for i := range rapid.IntRange(1, 30).Draw(t, "n") {
				asked = append(asked, keys[(at+i*step)%len(keys)])
			}
		}
		expectFound(t, b, asked, runner.Find(context.Background(), b.Objects, asked))
	})
}
