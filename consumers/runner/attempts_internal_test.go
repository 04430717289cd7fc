package runner

import (
	"slices"
	"testing"
	"time"
)

// The records of a message's postponements become rarer the longer it is postponed.
func TestPostponementsAreRecordedAtGrowingIntervals(t *testing.T) {
	p, began := newPostponements(), time.Now()
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
