//go:build !unix

package extract

import "github.com/tetratelabs/wazero/experimental"

// memory allocates the linear memory of a sandbox on Go's heap, for systems without mmap.
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
