package runner

import (
	"testing"
	"time"
)

func TestPostponementIsRecordedOncePerInterval(t *testing.T) {
	p, now := newPostponements(), time.Now()
	for _, step := range []struct {
		after time.Duration
		want  bool
	}{{0, true}, {time.Second, false}, {recordInterval, true}, {recordInterval + time.Second, false}} {
		if got := p.due(7, now.Add(step.after)); got != step.want {
			t.Errorf("after %s: got %v, want %v", step.after, got, step.want)
		}
	}
	if p.forget(7); !p.due(7, now) {
		t.Error("after forget: got false, want true")
	}
}
