package extract

import "sync"

// smallBytes is the memory that each sandbox may have for itself. Text needs
// some 10 to 30 MiB of it; scans, and bombs, need more.
const smallBytes = 64 << 20

// lease is a sandbox's right to more memory than smallBytes, which only one
// sandbox at a time has. So a few bombs together take no more than one, and
// documents of common size, which need no lease, are not held up by it.
type lease struct {
	turn    chan struct{}   // shared by all sandboxes; full while one has the right
	stopped <-chan struct{} // closed when the sandbox is told to end

	mu    sync.Mutex
	held  bool
	watch *stopwatch // of the document that is read, or nil
}

// take waits for the right, while the document's stopwatch is paused. It returns
// false if the sandbox is to end.
func (l *lease) take() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held {
		return true
	}
	if l.watch != nil {
		l.watch.pause()
		defer l.watch.resume()
	}
	select {
	case l.turn <- struct{}{}:
		l.held = true
	case <-l.stopped:
	}
	return l.held
}

// measure sets the stopwatch that waiting pauses.
func (l *lease) measure(c *stopwatch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watch = c
}

// giveBack ends the right, once the memory is gone.
func (l *lease) giveBack() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held {
		<-l.turn
		l.held = false
	}
}
