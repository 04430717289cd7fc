//go:build !unix

package extract

import "github.com/tetratelabs/wazero/experimental"

// memory gives a sandbox its linear memory from Go's heap, where there is no mmap.
type memory struct{ lease *lease }

type heap struct{ b []byte }

func (*memory) Allocate(_, max uint64) experimental.LinearMemory { return &heap{} }

func (h *heap) Reallocate(size uint64) []byte {
	if size > uint64(len(h.b)) {
		h.b = append(h.b, make([]byte, size-uint64(len(h.b)))...)
	}
	return h.b[:size]
}

func (*heap) Free()         {}
func (*memory) release()    {}
func (*memory) mapped() int { return 0 }
