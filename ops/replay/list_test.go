package replay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// scanOf yields events of the stream that were stored at the times, in Unix seconds, and then
// err unless it is nil.
func scanOf(stream string, err error, seconds ...int) events {
	return func(yield func(Event, error) bool) {
		for _, n := range seconds {
			if !yield(Event{Stream: stream, Time: time.Unix(int64(n), 0)}, nil) {
				return
			}
		}
		if err != nil {
			yield(Event{}, err)
		}
	}
}

// collect returns the events, each as its stream and time in seconds, and the error that ended
// them.
func collect(all events) (names []string, err error) {
	for e, err := range all {
		if err != nil {
			return names, err
		}
		names = append(names, fmt.Sprint(e.Stream, e.Time.Unix()))
	}
	return names, nil
}

func TestMerge(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		scans []events
		want  []string
		err   error
	}{
		"no scans":      {},
		"an empty scan": {[]events{scanOf("a", nil), scanOf("b", nil, 1)}, []string{"b1"}, nil},
		"two scans": {
			[]events{scanOf("a", nil, 1, 4, 5), scanOf("b", nil, 2, 3, 6)},
			[]string{"a1", "b2", "b3", "a4", "a5", "b6"}, nil,
		},
		"three scans": {
			[]events{scanOf("a", nil, 3, 6), scanOf("b", nil, 1, 5), scanOf("c", nil, 2, 4)},
			[]string{"b1", "c2", "a3", "c4", "b5", "a6"}, nil,
		},
		"the same time": {
			[]events{scanOf("a", nil, 1, 1), scanOf("b", nil, 1)},
			[]string{"a1", "a1", "b1"}, nil,
		},
		"a scan that fails first": {[]events{scanOf("a", nil, 1), scanOf("b", broken)}, nil, broken},
		"a scan that fails later": {
			[]events{scanOf("a", broken, 1), scanOf("b", nil, 2)},
			[]string{"a1"}, broken,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := collect(merge(c.scans))
			if !slices.Equal(got, c.want) || !errors.Is(err, c.err) {
				t.Errorf("got %v, %v, want %v, %v", got, err, c.want, c.err)
			}
		})
	}
	t.Run("the reader stops", func(t *testing.T) {
		for e, err := range merge([]events{scanOf("a", nil, 1, 3), scanOf("b", nil, 2)}) {
			if got := fmt.Sprint(e.Stream, e.Time.Unix()); got != "a1" || err != nil {
				t.Errorf("got %s, %v, want a1", got, err)
			}
			break
		}
	})
}

func TestInterleave(t *testing.T) {
	// follow yields one event every period until ctx is canceled.
	follow := func(ctx context.Context, stream string, period time.Duration) events {
		return func(yield func(Event, error) bool) {
			for {
				select {
				case <-ctx.Done():
					yield(Event{}, ctx.Err())
					return
				case <-time.After(period):
				}
				if !yield(Event{Stream: stream}, nil) {
					return
				}
			}
		}
	}
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		timeout time.Duration // of the context; 0: none
		limit   int           // events that the reader reads; 0: all
		failing bool
		want    string
		err     error
	}{
		"until the context ends": {
			timeout: 7 * time.Second, want: "aabaaaba", err: context.DeadlineExceeded,
		},
		"until the reader stops": {limit: 4, want: "aaba"},
		"until a scan fails":     {failing: true, want: "aab", err: broken},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				if c.timeout > 0 {
					ctx, cancel = context.WithTimeout(t.Context(), c.timeout)
				}
				defer cancel()
				scans := []events{
					follow(ctx, "a", 1100*time.Millisecond), follow(ctx, "b", 3*time.Second),
				}
				if c.failing {
					scans = append(scans, func(yield func(Event, error) bool) {
						<-time.After(3200 * time.Millisecond)
						yield(Event{}, broken)
					})
				}
				var got string
				var err error
				interleave(ctx, cancel, scans, func(e Event, failure error) bool {
					got, err = got+e.Stream, failure
					return c.limit == 0 || len(got) < c.limit
				})
				if got != c.want || !errors.Is(err, c.err) {
					t.Errorf("got %q, %v, want %q, %v", got, err, c.want, c.err)
				}
				if ctx.Err() == nil {
					t.Error("got a context without an error, want it canceled")
				}
			})
		})
	}
}
