//go:build unix

package extract

import (
	"sync"

	"github.com/tetratelabs/wazero/experimental"
	"golang.org/x/sys/unix"
)

// memory gives a sandbox its linear memory as anonymous mappings. Growing one
// needs no copy, so the peak is what the sandbox really touches, not twice
// that, and what is given back goes to the operating system at once.
//
// A mapping outlives Free until release is called: wazero frees a module's
// memory as soon as its context ends, while code of the host may still be on
// its way out of a call and read from there, which would be a fault that ends
// the process.
type memory struct {
	lease *lease
	mu    sync.Mutex
	maps  []*mapping
}

// mapping is one linear memory: max bytes of reserved addresses, of which the
// first used ones can be read and written.
type mapping struct {
	reserved []byte
	used     uint64
	freed    bool
	of       *memory
}

// Allocate reserves max bytes of addresses. It panics where even these are
// refused, which wazero's caller recovers.
func (m *memory) Allocate(_, max uint64) experimental.LinearMemory {
	reserved, err := unix.Mmap(-1, 0, int(max), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		panic("reserve sandbox memory: " + err.Error())
	}
	mapped := &mapping{reserved: reserved, of: m}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.maps = append(m.maps, mapped)
	return mapped
}

// Reallocate makes the first size bytes usable; nil tells the module that
// there is no more. For more than smallBytes it waits for the lease.
func (m *mapping) Reallocate(size uint64) []byte {
	if size > uint64(len(m.reserved)) || size > smallBytes && !m.of.lease.take() {
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
	m.of.mu.Lock()
	defer m.of.mu.Unlock()
	m.freed = true
}

// release unmaps what was freed. No call into the sandbox may be under way.
func (m *memory) release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	kept := m.maps[:0]
	for _, mapped := range m.maps {
		if !mapped.freed {
			kept = append(kept, mapped)
			continue
		}
		// It fails only for addresses that are not a mapping's.
		_ = unix.Munmap(mapped.reserved)
	}
	clear(m.maps[len(kept):])
	m.maps = kept
	if len(kept) == 0 {
		m.lease.giveBack()
	}
}

// mapped counts the linear memories that are not released.
func (m *memory) mapped() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.maps)
}
