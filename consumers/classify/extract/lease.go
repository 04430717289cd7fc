package extract

import "sync"

// smallMemory is the number of bytes of memory that every sandbox may use. Reading text takes about
// 10 to 30 MiB. Scans and decompression bombs take more.
const smallMemory = 64 << 20

// lease is the right of a sandbox to use more memory than smallMemory. Only one sandbox at a time
// has it, so several bombs together use no more memory than one. Documents of common size need no
// lease and do not wait for it.
type lease struct {
	semaphore chan struct{}   // shared by all sandboxes; full while one of them holds its lease
	stopped   <-chan struct{} // closed when the sandbox has to stop

	mu    sync.Mutex
	held  bool
	timer *pausableTimer // of the document that is being read, or nil
}

// acquire waits until the lease is available. In the meantime the timer of the document is paused.
// acquire returns false if the sandbox has to stop.
func (l *lease) acquire() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held {
		return true
	}
	if l.timer != nil {
		l.timer.pause()
		defer l.timer.resume()
	}
	select {
	case l.semaphore <- struct{}{}:
		l.held = true
	case <-l.stopped:
	}
	return l.held
}

// setTimer sets the timer that is paused by acquire.
func (l *lease) setTimer(t *pausableTimer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer = t
}

// release gives up the lease. It must be called after the memory was released.
func (l *lease) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held {
		<-l.semaphore
		l.held = false
	}
}
