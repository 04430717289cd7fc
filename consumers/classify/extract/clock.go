package extract

import (
	"sync"
	"time"
)

// clock measures the time that a document may take. It stands still while the
// document waits for what another one has.
type clock struct {
	mu      sync.Mutex
	timer   *time.Timer
	left    time.Duration
	resumed time.Time
	paused  bool
	ended   bool
}

// startClock calls expired, once, when d has passed.
func startClock(d time.Duration, expired func()) *clock {
	return &clock{timer: time.AfterFunc(d, expired), left: d, resumed: time.Now()}
}

func (c *clock) pause() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || c.paused || !c.timer.Stop() {
		return
	}
	c.left -= time.Since(c.resumed)
	c.paused = true
}

func (c *clock) resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || !c.paused {
		return
	}
	c.paused, c.resumed = false, time.Now()
	c.timer.Reset(c.left)
}

// stop ends the clock. It returns false where expired was called or is about to be.
func (c *clock) stop() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	return c.timer.Stop() || c.paused
}
