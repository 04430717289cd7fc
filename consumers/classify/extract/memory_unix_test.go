//go:build unix

package extract

import (
	"runtime"
	"testing"
	"time"

	"github.com/tetratelabs/wazero/experimental"
)

func TestSandboxMemoryIsLimited(t *testing.T) {
	e := setup(t, Config{})
	if err := e.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	box := <-e.pdfs.idle
	defer func() { e.pdfs.idle <- box }()
	instance, err := box.pool.GetInstanceWithContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	maps := box.memory.maps
	if len(maps) != 1 {
		t.Fatalf("got %d mappings, want 1", len(maps))
	}
	if got, want := len(maps[0].reserved), 192<<20; got != want {
		t.Errorf("got a mapping of %d bytes, want %d", got, want)
	}
	if err := instance.Close(); err != nil {
		t.Fatal(err)
	}
	box.memory.release()
}

func TestLinearMemory(t *testing.T) {
	m := &memory{lease: &lease{semaphore: make(chan struct{}, 1)}}
	linear := m.Allocate(0, 4<<20)
	small := linear.Reallocate(1 << 20)
	small[1<<20-1] = 7
	large := linear.Reallocate(4 << 20)
	if large[1<<20-1] != 7 || &large[0] != &small[0] || large[4<<20-1] != 0 {
		t.Error("growing moved or lost the contents")
	}
	if linear.Reallocate(4<<20+1) != nil {
		t.Error("the memory grew beyond its maximum")
	}
	linear.Free()
	if got := m.mapped(); small[1<<20-1] != 7 || got != 1 {
		t.Errorf("after Free: got %d mappings, want 1 that can still be read", got)
	}
	m.release()
	if got := m.mapped(); got != 0 {
		t.Errorf("after release: got %d mappings, want none", got)
	}
}

// Only one sandbox at a time has more than smallMemory. While another waits for it, the timer of
// its document is paused.
func TestOneSandboxAtATimeHasLargeMemory(t *testing.T) {
	t.Parallel()
	semaphore, stopped := make(chan struct{}, 1), make(chan struct{})
	newMemory := func() (*memory, experimental.LinearMemory) {
		m := &memory{lease: &lease{semaphore: semaphore, stopped: stopped}}
		return m, m.Allocate(0, 2*smallMemory)
	}
	first, firstLinear := newMemory()
	second, secondLinear := newMemory()
	third, thirdLinear := newMemory()

	if firstLinear.Reallocate(smallMemory+1) == nil ||
		firstLinear.Reallocate(2*smallMemory) == nil {
		t.Fatal("first sandbox: got no large memory while no other sandbox has any")
	}
	if secondLinear.Reallocate(smallMemory) == nil {
		t.Fatal("second sandbox: got no small memory while the first has large memory")
	}

	timer := startTimer(time.Hour, func() {})
	isPaused := func() bool {
		timer.mu.Lock()
		defer timer.mu.Unlock()
		return timer.paused
	}
	second.lease.setTimer(timer)
	granted := make(chan bool)
	go func() { granted <- secondLinear.Reallocate(smallMemory+1) != nil }()
	for !isPaused() {
		select {
		case <-granted:
			t.Fatal("second sandbox: got large memory while the first has it")
		default:
			runtime.Gosched()
		}
	}
	firstLinear.Free()
	first.release()
	if !<-granted {
		t.Error("second sandbox: got no large memory after the first released it")
	}
	if isPaused() || !timer.stop() {
		t.Error("the timer is not running after the second sandbox got large memory")
	}

	go func() { granted <- thirdLinear.Reallocate(smallMemory+1) != nil }()
	close(stopped)
	if <-granted {
		t.Error("third sandbox: got large memory when it was stopped, want none")
	}

	secondLinear.Free()
	second.release()
	thirdLinear.Free()
	third.release()
	if got := len(semaphore); got != 0 {
		t.Errorf("got %d holders of large memory after all were released, want none", got)
	}
}
