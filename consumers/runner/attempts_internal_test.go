package runner

import (
	"testing"
	"time"
)

func TestAttemptsAreCountedUntilForgotten(t *testing.T) {
	a := newAttempts()
	for want := 1; want <= 3; want++ {
		if got := a.add(7); got != want || a.failed(7) != want {
			t.Errorf("got %d from add and %d from failed, want %d", got, a.failed(7), want)
		}
	}
	a.forget(7)
	if got := a.failed(7); got != 0 {
		t.Errorf("got %d attempts after forget, want 0", got)
	}
}

// Beyond maxTracked messages, the attempts of the one that failed least recently start at 0 again.
func TestTrackedAttemptsAreLimited(t *testing.T) {
	a := newAttempts()
	for sequence := range uint64(maxTracked) {
		a.add(sequence)
	}
	a.add(0)
	a.add(maxTracked)
	for sequence, want := range map[uint64]int{0: 2, 1: 0, 2: 1, maxTracked: 1} {
		if got := a.failed(sequence); got != want {
			t.Errorf("message %d: got %d attempts, want %d", sequence, got, want)
		}
	}
}

func TestPostponementIsRecordedOncePerInterval(t *testing.T) {
	a, now := newAttempts(), time.Now()
	for _, step := range []struct {
		after time.Duration
		want  bool
	}{{0, true}, {time.Second, false}, {recordInterval, true}, {recordInterval + time.Second, false}} {
		if got := a.recordPostponed(7, now.Add(step.after)); got != step.want {
			t.Errorf("after %s: got %v, want %v", step.after, got, step.want)
		}
	}
}
