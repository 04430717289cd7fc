//go:build unix

package extract

import "testing"

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
