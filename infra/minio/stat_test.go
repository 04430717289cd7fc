package minio_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"intray/infra/minio"
	"intray/schema"
)

// counter counts the requests that reach the bucket, and may change what a LIST shows.
type counter struct {
	*minio.Objects
	heads, pages, listed atomic.Int64
	show                 func([]schema.Object, error) ([]schema.Object, error)
}

func (c *counter) Stat(ctx context.Context, key string) (schema.Object, error) {
	c.heads.Add(1)
	return c.Objects.Stat(ctx, key)
}

func (c *counter) Page(ctx context.Context, prefix, after string, limit int) ([]schema.Object, error) {
	c.pages.Add(1)
	page, err := c.Objects.Page(ctx, prefix, after, limit)
	c.listed.Add(int64(len(page)))
	if c.show != nil {
		return c.show(page, err)
	}
	return page, err
}

// lookup is a bucket and its objects.
type lookup struct {
	*stack
	objects *minio.Objects
}

func setupLookup(t *testing.T) lookup {
	t.Helper()
	s := unprovisioned(t)
	return lookup{s, s.objects(t, minio.Key{Access: s.server.RootUser, Secret: s.server.RootPassword})}
}

// folder puts n objects into one folder and returns their keys in order.
func (l lookup) folder(t *testing.T, name string, n int) []string {
	t.Helper()
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("documents/%s/%04d", name, i)
		l.put(t, keys[i], strings.Repeat("x", i%7))
	}
	return keys
}

// expect compares results with those of a HEAD for each key.
func (l lookup) expect(t interface {
	Helper()
	Errorf(string, ...any)
}, keys []string, results map[string]minio.StatResult) {
	t.Helper()
	for key, want := range minio.StatAll(context.Background(), l.objects, keys) {
		got, ok := results[key]
		if !ok || got.Absent() != want.Absent() || (got.Err == nil) != (want.Err == nil) ||
			got.Object.Key != want.Object.Key || got.Object.Size != want.Object.Size || got.Object.ETag != want.Object.ETag {
			t.Errorf("%s: got %+v, want %+v, as by a HEAD", key, got, want)
		}
	}
}

func TestLookupListsKeysOfOneFolder(t *testing.T) {
	l := setupLookup(t)
	keys := l.folder(t, "0190000000", 40)
	c := &counter{Objects: l.objects}
	l.expect(t, keys, minio.StatOrList(t.Context(), c, append(slices.Clone(keys), keys...)))
	if heads, pages, listed := c.heads.Load(), c.pages.Load(), c.listed.Load(); heads != 0 || pages != 1 || listed != 40 {
		t.Errorf("got %d HEADs and %d pages of %d objects, want no HEAD and one page of 40", heads, pages, listed)
	}
}

func TestLookupSendsAHeadForFewKeys(t *testing.T) {
	l := setupLookup(t)
	var keys []string
	for i := range 6 {
		keys = append(keys, l.folder(t, fmt.Sprintf("019000000%d", i), 2)...)
	}
	c := &counter{Objects: l.objects}
	l.expect(t, keys, minio.StatOrList(t.Context(), c, keys))
	l.expect(t, keys[:1], minio.StatOrList(t.Context(), c, keys[:1]))
	if heads, pages := c.heads.Load(), c.pages.Load(); heads != 13 || pages != 0 {
		t.Errorf("got %d HEADs and %d pages, want 13 and none", heads, pages)
	}
}

func TestLookupStopsListingAFolderThatHoldsFarMore(t *testing.T) {
	l := setupLookup(t)
	all := l.folder(t, "0190000000", 200)
	keys := []string{all[0], all[50], all[100], all[150], all[199]}
	c := &counter{Objects: l.objects}
	l.expect(t, keys, minio.StatOrList(t.Context(), c, keys))
	if n := c.listed.Load(); n > 20 {
		t.Errorf("got %d objects listed for 5 keys, want at most 20", n)
	}
}

// A LIST proves that an object exists; only a HEAD proves that one does not.
func TestLookupSendsAHeadForWhatNoListShows(t *testing.T) {
	l := setupLookup(t)
	keys := l.folder(t, "0190000000", 20)
	absent := "documents/0190000000/0005x"
	for name, show := range map[string]func([]schema.Object, error) ([]schema.Object, error){
		"the LIST lags": func(page []schema.Object, err error) ([]schema.Object, error) { return page[:len(page)/2], err },
		"the LIST fails": func([]schema.Object, error) ([]schema.Object, error) {
			return nil, errors.New("no listing today")
		},
		"the LIST is empty": func([]schema.Object, error) ([]schema.Object, error) { return nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			c := &counter{Objects: l.objects, show: show}
			results := minio.StatOrList(t.Context(), c, append(slices.Clone(keys), absent))
			l.expect(t, append(slices.Clone(keys), absent), results)
			if !results[absent].Absent() {
				t.Errorf("%s: got %+v, want a proof of absence", absent, results[absent])
			}
		})
	}
}

func TestLookupFindsWhatHeadsFind(t *testing.T) {
	l := setupLookup(t)
	var keys []string
	for i, n := range []int{30, 4, 1, 90} {
		keys = append(keys, l.folder(t, fmt.Sprintf("019000000%d", i), n)...)
	}
	keys = append(keys, l.folder(t, "ä €", 9)...)
	keys = append(keys, "documents/0190000000/", "documents/0190000000/0003x", "documents/nobody/a", "documents/ä €/ü", "x", "/", "documents//a")
	rapid.Check(t, func(t *rapid.T) {
		// Ranges with gaps, as a backlog has them, and single keys.
		var asked []string
		for range rapid.IntRange(1, 4).Draw(t, "ranges") {
			at := rapid.IntRange(0, len(keys)-1).Draw(t, "at")
			step := rapid.IntRange(1, 6).Draw(t, "step")
			for i := range rapid.IntRange(1, 30).Draw(t, "n") {
				asked = append(asked, keys[(at+i*step)%len(keys)])
			}
		}
		l.expect(t, asked, minio.StatOrList(context.Background(), l.objects, asked))
	})
}
