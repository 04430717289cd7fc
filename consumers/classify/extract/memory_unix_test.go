//go:build unix

package extract

import (
	"testing"
	"time"
)

func TestSandboxMemoryIsLimited(t *testing.T) {
	e := setup(t, Config{})
	if err := e.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	box := <-e.pdfs.places
	defer func() { e.pdfs.places <- box }()
	instance, err := box.pool.GetInstanceWithContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(box.memory.maps) != 1 || len(box.memory.maps[0].reserved) != 192<<20 {
		t.Errorf("%d memories, the first of %d bytes", len(box.memory.maps), len(box.memory.maps[0].reserved))
	}
	if err := instance.Close(); err != nil {
		t.Fatal(err)
	}
	box.memory.release()
}

func TestMemory(t *testing.T) {
	m := &memory{lease: &lease{turn: make(chan struct{}, 1)}}
	linear := m.Allocate(0, 4<<20)
	small := linear.Reallocate(1 << 20)
	small[1<<20-1] = 7
	large := linear.Reallocate(4 << 20)
	if large[1<<20-1] != 7 || &large[0] != &small[0] || large[4<<20-1] != 0 {
		t.Error("growing moved or lost what was there")
	}
	if linear.Reallocate(4<<20+1) != nil {
		t.Error("it grew over its maximum")
	}
	linear.Free()
	if small[1<<20-1] != 7 || m.mapped() != 1 {
		t.Error("what is freed cannot be read until release")
	}
	m.release()
	if m.mapped() != 0 {
		t.Error("what is freed was not released")
	}
}

// One sandbox at a time has more than smallBytes; the clock of who waits stands still.
func TestLargeMemoryIsTakenInTurns(t *testing.T) {
	t.Parallel()
	turn, stopped := make(chan struct{}, 1), make(chan struct{})
	lends := func() *memory { return &memory{lease: &lease{turn: turn, stopped: stopped}} }
	first, second, third := lends(), lends(), lends()
	one, two, three := first.Allocate(0, 2*smallBytes), second.Allocate(0, 2*smallBytes), third.Allocate(0, 2*smallBytes)
	if one.Reallocate(smallBytes+1) == nil || one.Reallocate(2*smallBytes) == nil {
		t.Fatal("the first got no large memory")
	}
	if two.Reallocate(smallBytes) == nil {
		t.Fatal("the second got no small memory")
	}
	late := make(chan struct{})
	watch := startStopwatch(50*time.Millisecond, func() { close(late) })
	second.lease.measure(watch)
	got := make(chan bool)
	go func() { got <- two.Reallocate(smallBytes+1) != nil }()
	select {
	case <-got:
		t.Fatal("two have large memory")
	case <-late:
		t.Fatal("the clock of who waits runs")
	case <-time.After(200 * time.Millisecond):
	}
	one.Free()
	first.release()
	if !<-got {
		t.Error("the second got no large memory after the first")
	}
	<-late // it runs again
	go func() { got <- three.Reallocate(smallBytes+1) != nil }()
	close(stopped)
	if <-got {
		t.Error("the third got large memory while it was told to end")
	}
	for memory, linear := range map[*memory]interface{ Free() }{second: two, third: three} {
		linear.Free()
		memory.release()
	}
	if len(turn) != 0 || watch.stop() {
		t.Error("the turn was not given back, or the clock did not end")
	}
}
