package extract

import (
	"sync"
	"time"
)

// stopwatch measures the time that a document may take. It is paused while the
// document waits for what another one has.
type stopwatch struct {
	mu      sync.Mutex
	timer   *time.Timer
	left    time.Duration
	resumed time.Time
	paused  bool
	ended   bool
}

// startStopwatch starts a stopwatch that calls expired, once, when d has passed.
func startStopwatch(d time.Duration, expired func()) *stopwatch {
	return &stopwatch{timer: time.AfterFunc(d, expired), left: d, resumed: time.Now()}
}

func (s *stopwatch) pause() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.paused || !s.timer.Stop() {
		return
	}
	s.left -= time.Since(s.resumed)
	s.paused = true
}

func (s *stopwatch) resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || !s.paused {
		return
	}
	s.paused, s.resumed = false, time.Now()
	s.timer.Reset(s.left)
}

// stop ends the stopwatch. It returns false if expired was called or is about to be.
func (s *stopwatch) stop() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	return s.timer.Stop() || s.paused
}
