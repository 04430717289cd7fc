package minio_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"intray/infra/minio"
	"intray/schema"
)

// counter counts the requests to the bucket. If replace is set, it replaces the result of a LIST.
type counter struct {
	*minio.Objects
	heads, pages, listed atomic.Int64
	replace              func([]schema.Object, error) ([]schema.Object, error)
}

func (c *counter) Stat(ctx context.Context, key string) (schema.Object, error) {
	c.heads.Add(1)
	return c.Objects.Stat(ctx, key)
}

func (c *counter) Page(
	ctx context.Context, prefix, after string, limit int,
) ([]schema.Object, error) {
	c.pages.Add(1)
	page, err := c.Objects.Page(ctx, prefix, after, limit)
	c.listed.Add(int64(len(page)))
	if c.replace != nil {
		return c.replace(page, err)
	}
	return page, err
}

// statBundle is a bucket and its objects, with the root credentials.
type statBundle struct {
	*stack
	objects *minio.Objects
}

func setupStat(t *testing.T) statBundle {
	t.Helper()
	s := unprovisioned(t)
	root := minio.Key{Access: s.server.RootUser, Secret: s.server.RootPassword}
	return statBundle{s, s.objects(t, root)}
}

// folder stores n objects in one folder and returns their keys in order.
func (b statBundle) folder(t *testing.T, name string, n int) []string {
	t.Helper()
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("documents/%s/%04d", name, i)
		b.put(t, keys[i], strings.Repeat("x", i%7))
	}
	return keys
}

// merged returns the results of all rounds.
func merged(rounds iter.Seq[map[string]minio.StatResult]) map[string]minio.StatResult {
	results := make(map[string]minio.StatResult)
	for round := range rounds {
		maps.Copy(results, round)
	}
	return results
}

// reporter is the part of *testing.T and *rapid.T that expect needs.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
}

// expect compares results with those of a HEAD for each key.
func (b statBundle) expect(t reporter, keys []string, results map[string]minio.StatResult) {
	t.Helper()
	for key, want := range merged(minio.StatAll(context.Background(), b.objects, keys)) {
		got, ok := results[key]
		if !ok || got.Absent() != want.Absent() || (got.Err == nil) != (want.Err == nil) ||
			got.Object.Key != want.Object.Key || got.Object.Size != want.Object.Size ||
			got.Object.ETag != want.Object.ETag {
			t.Errorf("%s: got %+v, want %+v as returned by a HEAD", key, got, want)
		}
	}
}

func TestStatOrListListsKeysOfOneFolder(t *testing.T) {
	b := setupStat(t)
	keys := b.folder(t, "0190000000", 40)
	c := &counter{Objects: b.objects}
	b.expect(t, keys, merged(minio.StatOrList(t.Context(), c, append(slices.Clone(keys), keys...))))
	heads, pages, listed := c.heads.Load(), c.pages.Load(), c.listed.Load()
	if heads != 0 || pages != 1 || listed != 40 {
		t.Errorf("got %d HEADs, %d pages and %d listed objects; want 0, 1 and 40", heads, pages, listed)
	}
}

func TestStatOrListSendsHeadsForFewKeys(t *testing.T) {
	b := setupStat(t)
	var keys []string
	for i := range 6 {
		keys = append(keys, b.folder(t, fmt.Sprintf("019000000%d", i), 2)...)
	}
	c := &counter{Objects: b.objects}
	b.expect(t, keys, merged(minio.StatOrList(t.Context(), c, keys)))
	b.expect(t, keys[:1], merged(minio.StatOrList(t.Context(), c, keys[:1])))
	if heads, pages := c.heads.Load(), c.pages.Load(); heads != 13 || pages != 0 {
		t.Errorf("got %d HEADs and %d pages, want 13 and 0", heads, pages)
	}
}

func TestStatOrListStopsListingAmongManyOtherObjects(t *testing.T) {
	b := setupStat(t)
	all := b.folder(t, "0190000000", 200)
	keys := []string{all[0], all[50], all[100], all[150], all[199]}
	c := &counter{Objects: b.objects}
	b.expect(t, keys, merged(minio.StatOrList(t.Context(), c, keys)))
	if n := c.listed.Load(); n > 20 {
		t.Errorf("got %d listed objects for 5 keys, want at most 20", n)
	}
}

// A LIST proves that an object exists, but only a HEAD proves that one does not.
func TestStatOrListSendsAHeadForEachKeyNotListed(t *testing.T) {
	b := setupStat(t)
	keys := b.folder(t, "0190000000", 20)
	absent := "documents/0190000000/0005x"
	for name, replace := range map[string]func([]schema.Object, error) ([]schema.Object, error){
		"incomplete LIST": func(page []schema.Object, err error) ([]schema.Object, error) {
			return page[:len(page)/2], err
		},
		"failed LIST": func([]schema.Object, error) ([]schema.Object, error) {
			return nil, errors.New("LIST failed")
		},
		"empty LIST": func([]schema.Object, error) ([]schema.Object, error) { return nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			c := &counter{Objects: b.objects, replace: replace}
			results := merged(minio.StatOrList(t.Context(), c, append(slices.Clone(keys), absent)))
			b.expect(t, append(slices.Clone(keys), absent), results)
			if !results[absent].Absent() {
				t.Errorf("%s: got %+v, want Absent", absent, results[absent])
			}
		})
	}
}

func TestStatOrListReturnsTheResultsOfHeads(t *testing.T) {
	b := setupStat(t)
	var keys []string
	for i, n := range []int{30, 4, 1, 90} {
		keys = append(keys, b.folder(t, fmt.Sprintf("019000000%d", i), n)...)
	}
	keys = append(keys, b.folder(t, "ä €", 9)...)
	keys = append(keys, "documents/0190000000/", "documents/0190000000/0003x", "documents/nobody/a",
		"documents/ä €/ü", "x", "/", "documents//a")
	rapid.Check(t, func(t *rapid.T) {
		// Ranges with gaps, as in a backlog, and single keys.
		var asked []string
		for range rapid.IntRange(1, 4).Draw(t, "ranges") {
			at := rapid.IntRange(0, len(keys)-1).Draw(t, "at")
			step := rapid.IntRange(1, 6).Draw(t, "step")
			for i := range rapid.IntRange(1, 30).Draw(t, "n") {
				asked = append(asked, keys[(at+i*step)%len(keys)])
			}
		}
		b.expect(t, asked, merged(minio.StatOrList(context.Background(), b.objects, asked)))
	})
}
