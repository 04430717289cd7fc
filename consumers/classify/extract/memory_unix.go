//go:build unix

package extract

import (
	"sync"

	"github.com/tetratelabs/wazero/experimental"
	"golang.org/x/sys/unix"
)

// memory allocates the linear memory of a sandbox as anonymous mappings. A mapping grows without
// being copied, so the peak is the memory that the sandbox uses and not twice as much. When it is
// unmapped, the memory returns to the operating system immediately.
//
// A mapping is not unmapped by Free but later by release. wazero frees the memory of a module as
// soon as its context is done, while code of the host may still be returning from a call and read
// from that memory. If it were unmapped, that access would crash the process.
type memory struct {
	lease *lease
	mu    sync.Mutex
	maps  []*mapping
}

// mapping is one linear memory: a range of reserved addresses, of which the first used bytes can be
// read and written.
type mapping struct {
	reserved []byte
	used     uint64
	freed    bool
	memory   *memory
}

// Allocate reserves max bytes of addresses. It panics if the system refuses them. The callers of
// wazero in this package recover from the panic.
func (m *memory) Allocate(_, max uint64) experimental.LinearMemory {
	reserved, err := unix.Mmap(-1, 0, int(max), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		panic("reserve sandbox memory: " + err.Error())
	}
	mapped := &mapping{reserved: reserved, memory: m}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.maps = append(m.maps, mapped)
	return mapped
}

// Reallocate makes the first size bytes usable. For more than smallMemory it waits for the lease.
// It returns nil if the memory cannot grow to that size.
func (m *mapping) Reallocate(size uint64) []byte {
	if size > uint64(len(m.reserved)) || size > smallMemory && !m.memory.lease.acquire() {
		return nil
	}
	if size > m.used {
		if err := unix.Mprotect(m.reserved[:size], unix.PROT_READ|unix.PROT_WRITE); err != nil {
			return nil
		}
		m.used = size
	}
	return m.reserved[:size:size]
}

// Free marks the mapping for release.
func (m *mapping) Free() {
	m.memory.mu.Lock()
	defer m.memory.mu.Unlock()
	m.freed = true
}

// release unmaps the mappings that were freed. No call to the sandbox may be in progress.
func (m *memory) release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	remaining := m.maps[:0]
	for _, mapped := range m.maps {
		if !mapped.freed {
			remaining = append(remaining, mapped)
			continue
		}
		// Munmap fails only for addresses that are not mapped.
		_ = unix.Munmap(mapped.reserved)
	}
	clear(m.maps[len(remaining):])
	m.maps = remaining
	if len(remaining) == 0 {
		m.lease.release()
	}
}

// mapped returns the number of mappings that are not released.
func (m *memory) mapped() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.maps)
}
