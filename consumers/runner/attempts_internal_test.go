package runner

import (
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The records of a message's postponements become rarer the longer it is postponed.
func TestPostponementsAreRecordedAtGrowingIntervals(t *testing.T) {
	p, began := newPostponements(0), time.Now()
	const wait = 10 * time.Second
	var got []time.Duration
	for after := time.Duration(0); after <= time.Hour; after += wait {
		if p.due(7, began.Add(after), wait) {
			got = append(got, after)
		}
	}
	last, want := time.Duration(0), []time.Duration{0}
	for {
		interval := min(max(last, time.Minute), 10*time.Minute)
		last += interval + wait
		if last > time.Hour {
			break
		}
		want = append(want, last)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got records after %v, want %v", got, want)
	}
	if p.due(7, began.Add(time.Hour), wait) {
		t.Error("recorded again within the interval")
	}
	if !p.due(8, began.Add(time.Hour), wait) {
		t.Error("got no record of another message")
	}
	if !p.due(7, began.Add(time.Hour), time.Hour) {
		t.Error("got no record of a postponement that is longer than the interval")
	}
	if p.forget(7); !p.due(7, began.Add(time.Hour), wait) {
		t.Error("got no record after the message was forgotten")
	}
}

// The number of messages that are kept in the stream never exceeds its limit, and a message that is
// kept stays kept until it was handled or is long overdue.
func TestKeptPostponementsAreLimited(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 5).Draw(t, "limit")
		p, now := newPostponements(limit), time.Now()
		kept := make(map[uint64]time.Time) // when it is due
		message := rapid.Uint64Range(1, 10)
		t.Repeat(map[string]func(*rapid.T){
			"postpone": func(t *rapid.T) {
				m := message.Draw(t, "message")
				wait := time.Duration(rapid.IntRange(1, 120).Draw(t, "seconds")) * time.Second
				_, before := kept[m]
				got := p.keep(m, now, wait)
				if before && !got && !now.After(kept[m].Add(keptGrace)) {
					t.Fatalf("message %d is parked although it was kept", m)
				}
				if len(kept) < limit && !got {
					t.Fatalf("message %d is parked although only %d are kept", m, len(kept))
				}
				if got {
					kept[m] = now.Add(wait)
				} else {
					delete(kept, m)
				}
			},
			"postpone briefly": func(t *rapid.T) {
				if m := message.Draw(t, "message"); !p.keep(m, now, minParkedWait-1) {
					t.Fatalf("message %d is parked although it is due at once", m)
				}
			},
			"handle": func(t *rapid.T) {
				m := message.Draw(t, "message")
				p.forget(m)
				delete(kept, m)
			},
			"wait": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(1, 90).Draw(t, "seconds")) * time.Second)
			},
			"": func(t *rapid.T) {
				alive := 0
				for _, due := range kept {
					if !now.After(due.Add(keptGrace)) {
						alive++
					}
				}
				if alive > limit || len(p.kept) > limit {
					t.Fatalf("got %d messages kept, %d of them alive, want at most %d", len(p.kept), alive, limit)
				}
				maps.DeleteFunc(kept, func(m uint64, _ time.Time) bool {
					_, ok := p.kept[m]
					return !ok
				})
			},
		})
	})
}
