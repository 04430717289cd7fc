package extract

import (
	"bytes"
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

const (
	blockBytes = 1 << 20
	blockCount = 8
	// maxWindowBytes is the largest file that is read through a window. PDFium's file access uses
	// signed 32-bit offsets.
	maxWindowBytes = 1<<31 - 1
)

// document is the content of a document as the caller passed it.
type document struct {
	sequential io.Reader   // starts at the first byte
	at         io.ReaderAt // nil if the reader is not an io.ReaderAt
	size       int64       // -1 if unknown
	skip       int64       // bytes before the document itself
	content    []byte      // all of it if it is in memory, otherwise nil
}

// bytes returns the whole content, which is limited to maxBytes.
func (d document) bytes(maxBytes int64) ([]byte, error) {
	if d.content != nil && int64(len(d.content)) <= maxBytes {
		return d.content, nil
	}
	return readUpTo(d.sequential, d.size, maxBytes)
}

// readSeekerAt is a file that can be read sequentially and at offsets.
type readSeekerAt interface {
	io.ReadSeeker
	io.ReaderAt
}

// source is the file that PDFium or a reader of archives reads. It records errors of the underlying
// reader, which PDFium reports as a damaged document, and what reading through a window took.
type source struct {
	readSeekerAt
	content []byte // all of the file, or nil if it is read through a window
	size    int64
	err     error
	waited  time.Duration
	loaded  int64 // bytes
}

// open returns a source for the document. It reads a document of up to maxBytes into memory. A
// larger one is read through a window, which requires an io.ReaderAt.
func (d document) open(maxBytes int64) (*source, error) {
	if d.size > maxBytes {
		if d.at == nil || d.size > maxWindowBytes {
			return nil, fmt.Errorf("%w: file of %d bytes exceeds the limit", ErrUnsupported, d.size)
		}
		s := &source{size: d.size - d.skip}
		w := &window{r: d.at, size: d.size, source: s}
		s.readSeekerAt = io.NewSectionReader(w, d.skip, s.size)
		return s, nil
	}
	content, err := d.bytes(maxBytes)
	if err != nil {
		return nil, err
	}
	content = content[min(d.skip, int64(len(content))):]
	return &source{
		readSeekerAt: bytes.NewReader(content), content: content, size: int64(len(content)),
	}, nil
}

// readUpTo reads all of r. size is the expected length, or -1; the actual length may be anything up
// to maxBytes.
func readUpTo(r io.Reader, size, maxBytes int64) ([]byte, error) {
	content := make([]byte, 0, max(size, 0)+headBytes)
	r = io.LimitReader(r, maxBytes+1)
	for {
		n, err := r.Read(content[len(content):cap(content)])
		content = content[:len(content)+n]
		if int64(len(content)) > maxBytes {
			return nil, fmt.Errorf("%w: file exceeds the limit of %d bytes", ErrUnsupported, maxBytes)
		}
		if errors.Is(err, io.EOF) {
			return content, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read document: %w", err)
		}
		if len(content) == cap(content) {
			content = append(content, 0)[:len(content)]
		}
	}
}

// window reads r in blocks of blockBytes and caches the blockCount most recently used blocks.
// PDFium reads a few hundred bytes at a time, first from the end of the file and then from various
// offsets, and each ReadAt of r may be a request to a server.
type window struct {
	r      io.ReaderAt
	size   int64
	source *source
	blocks list.List // of *block, the most recently used first
}

type block struct {
	offset  int64
	content []byte
}

// ReadAt implements io.ReaderAt for the first size bytes.
func (w *window) ReadAt(p []byte, offset int64) (int, error) {
	n := 0
	for n < len(p) && offset < w.size {
		b, err := w.block(offset - offset%blockBytes)
		if err != nil {
			w.source.err = errors.Join(w.source.err, err)
			return n, err
		}
		copied := copy(p[n:], b.content[offset-b.offset:])
		n += copied
		offset += int64(copied)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// block returns the block that starts at offset.
func (w *window) block(offset int64) (*block, error) {
	for e := w.blocks.Front(); e != nil; e = e.Next() {
		if b := e.Value.(*block); b.offset == offset {
			w.blocks.MoveToFront(e)
			return b, nil
		}
	}
	b := &block{offset: offset}
	if w.blocks.Len() >= blockCount {
		b.content = w.blocks.Remove(w.blocks.Back()).(*block).content[:0]
	}
	if b.content == nil {
		b.content = make([]byte, 0, blockBytes)
	}
	b.content = b.content[:min(blockBytes, w.size-offset)]
	start := time.Now()
	n, err := w.r.ReadAt(b.content, offset)
	w.source.waited += time.Since(start)
	w.source.loaded += int64(n)
	if n < len(b.content) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("read document at offset %d: %w", offset, err)
	}
	w.blocks.PushFront(b)
	return b, nil
}

// storageTimeout returns the error for a document that took too long because of its storage.
func storageTimeout(waited time.Duration) error {
	return fmt.Errorf("read document: storage took %s: %w", waited, context.DeadlineExceeded)
}

// contextReader fails when its context is done. It holds a context because it exists only during
// one call.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}
