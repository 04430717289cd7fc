package extract

import (
	"sync"
	"time"
)

// pausableTimer limits the time that a document takes. It is paused while the document waits for
// memory that another document uses.
type pausableTimer struct {
	mu      sync.Mutex
	timer   *time.Timer
	left    time.Duration // remaining when the timer was last started
	started time.Time     // when the timer was last started
	paused  bool
	stopped bool
}

// startTimer starts a timer that calls expired once, after d. Time in which the timer is paused
// does not count.
func startTimer(d time.Duration, expired func()) *pausableTimer {
	return &pausableTimer{timer: time.AfterFunc(d, expired), left: d, started: time.Now()}
}

func (t *pausableTimer) pause() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped || t.paused || !t.timer.Stop() {
		return
	}
	t.left -= time.Since(t.started)
	t.paused = true
}

func (t *pausableTimer) resume() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped || !t.paused {
		return
	}
	t.paused, t.started = false, time.Now()
	t.timer.Reset(t.left)
}

// stop stops the timer. It returns false if expired was called or is about to be called.
func (t *pausableTimer) stop() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopped = true
	return t.timer.Stop() || t.paused
}
