package minio_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"path"
	"slices"
	"sync/atomic"
	"testing"

	"intray/infra/local/localtest"
	"intray/infra/minio"
)

// hangingAt returns the objects of the bucket behind a proxy that never answers some requests.
func (s *stack) hangingAt(t *testing.T, hangs func(*http.Request) bool) *minio.Objects {
	t.Helper()
	objects, err := minio.NewObjects(minio.Config{
		Endpoint: s.server.Hanging(t, hangs), Bucket: s.Bucket, Key: s.Keys.Worker,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(objects.Close)
	return objects
}

// The first round has the objects that MinIO answers for, even if the others occupy all concurrent
// requests several times over. The second round has these, which are inaccessible.
func TestStatAllYieldsHangingObjectsInASecondRound(t *testing.T) {
	s := setup(t)
	var sound, hanging []string
	for i := range 6 * minio.MaxConcurrent {
		if i%3 == 0 {
			sound = append(sound, newKey(t))
			s.put(t, sound[len(sound)-1], "hello")
		} else {
			hanging = append(hanging, newKey(t))
		}
	}
	absent := newKey(t)
	objects := s.hangingAt(t, localtest.Requests(http.MethodHead, hanging...))
	var rounds []map[string]minio.StatResult
	keys := slices.Concat(hanging, sound, []string{absent})
	for round := range minio.StatAll(t.Context(), objects, keys) {
		rounds = append(rounds, round)
	}
	if len(rounds) != 2 {
		t.Fatalf("got %d rounds, want 2", len(rounds))
	}
	want := slices.Sorted(slices.Values(append(slices.Clone(sound), absent)))
	if got := slices.Sorted(maps.Keys(rounds[0])); !slices.Equal(got, want) {
		t.Errorf("first round: got %q, want %q", got, want)
	}
	for _, key := range sound {
		if r := rounds[0][key]; r.Err != nil || r.Object.Size != 5 {
			t.Errorf("%s: got %+v, want an object of 5 bytes", key, r)
		}
	}
	if r := rounds[0][absent]; !r.Absent() {
		t.Errorf("%s: got %+v, want Absent", absent, r)
	}
	if len(rounds[1]) != len(hanging) {
		t.Errorf("second round: got %d results, want %d", len(rounds[1]), len(hanging))
	}
	for _, key := range hanging {
		expectKind(t, key, rounds[1][key].Err, minio.ErrInaccessible)
	}
}

// An object for which MinIO needs longer than others is found in the second round.
func TestSlowObjectIsFoundInTheSecondRound(t *testing.T) {
	s := setup(t)
	slow := newKey(t)
	s.put(t, slow, "hello")
	isSlow := localtest.Requests(http.MethodHead, slow)
	var requests atomic.Int64
	objects := s.hangingAt(t, func(r *http.Request) bool { return isSlow(r) && requests.Add(1) == 1 })
	result := merged(minio.StatAll(t.Context(), objects, []string{slow}))[slow]
	if result.Err != nil || result.Object.Size != 5 || requests.Load() != 2 {
		t.Errorf("got %+v after %d requests, want the object after 2", result, requests.Load())
	}
}

// The objects of a LIST that MinIO does not answer are found by HEADs.
func TestHangingListIsReplacedByHeads(t *testing.T) {
	s := setup(t)
	keys := siblings(t, s, newKey(t))
	s.put(t, keys[0], "hello")
	folder := path.Dir(keys[0]) + "/"
	objects := s.hangingAt(t, func(r *http.Request) bool {
		return r.URL.Query().Get("prefix") == folder
	})
	for key, r := range merged(minio.StatOrList(t.Context(), objects, keys)) {
		if r.Err != nil || r.Listed || r.Object.Size != 5 {
			t.Errorf("%s: got %+v, want an object of 5 bytes found by a HEAD", key, r)
		}
	}
}

// If MinIO answers no HEAD at all, or nothing at all, that is an outage, and the remaining objects
// are not tried.
func TestNoAnswerToAnyRequestIsAnOutage(t *testing.T) {
	s := setup(t)
	for name, hangs := range map[string]func(*http.Request) bool{
		"no HEAD":    func(r *http.Request) bool { return r.Method == http.MethodHead },
		"no request": func(*http.Request) bool { return true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var heads atomic.Int64
			objects := s.hangingAt(t, func(r *http.Request) bool {
				if r.Method == http.MethodHead {
					heads.Add(1)
				}
				return hangs(r)
			})
			keys := make([]string, 10*minio.MaxConcurrent)
			for i := range keys {
				keys[i] = newKey(t)
			}
			results := merged(minio.StatAll(t.Context(), objects, keys))
			for _, key := range keys {
				if err := results[key].Err; !errors.Is(err, minio.ErrUnavailable) {
					t.Errorf("%s: got %v, want ErrUnavailable", key, err)
				}
			}
			// One more for each probe, of which some workers may need one of their own.
			if n := heads.Load(); n > 2*minio.MaxConcurrent {
				t.Errorf("got %d HEADs for %d keys, want at most %d", n, len(keys), 2*minio.MaxConcurrent)
			}
		})
	}
}

// If the caller's context has ended, nothing is known about an object.
func TestStatAllAfterADeadline(t *testing.T) {
	s := setup(t)
	key := newKey(t)
	s.put(t, key, "hello")
	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	objects := s.objects(t, s.Keys.Worker)
	expectKind(t, key, merged(minio.StatAll(ctx, objects, []string{key}))[key].Err,
		minio.ErrUnavailable)
}
