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
	blockBytes     = 1 << 20
	blockCount     = 8
	maxWindowBytes = 1<<31 - 1 // PDFium's file access has signed 32-bit offsets here
)

// document is an object as Text got it.
type document struct {
	sequential io.Reader   // from its first byte on
	at         io.ReaderAt // or nil
	size       int64       // -1 if not known
}

// readSeekerAt is a file that is read.
type readSeekerAt interface {
	io.ReadSeeker
	io.ReaderAt
}

// source is the file that PDFium sees. It remembers the first error of the
// reader below it, which PDFium would report as damage of the document, and
// how long reading took.
type source struct {
	readSeekerAt
	size   int64
	err    error
	waited time.Duration
}

// open makes a source of the document: in memory up to maxBytes, else through
// a window over its ReaderAt.
func (d document) open(maxBytes int64) (*source, error) {
	if d.size > maxBytes {
		if d.at == nil || d.size > maxWindowBytes {
			return nil, fmt.Errorf("%w: a file of %d bytes is over the limit", ErrUnsupported, d.size)
		}
		s := &source{size: d.size}
		s.readSeekerAt = io.NewSectionReader(&window{r: d.at, size: d.size, source: s}, 0, d.size)
		return s, nil
	}
	content, err := readUpTo(d.sequential, d.size, maxBytes)
	if err != nil {
		return nil, err
	}
	return &source{readSeekerAt: bytes.NewReader(content), size: int64(len(content))}, nil
}

// readUpTo reads r whole. Its length is expected to be size, but may be
// anything up to maxBytes.
func readUpTo(r io.Reader, size, maxBytes int64) ([]byte, error) {
	content := make([]byte, 0, max(size, 0)+headBytes)
	r = io.LimitReader(r, maxBytes+1)
	for {
		n, err := r.Read(content[len(content):cap(content)])
		content = content[:len(content)+n]
		if int64(len(content)) > maxBytes {
			return nil, fmt.Errorf("%w: a file of more than %d bytes is over the limit", ErrUnsupported, maxBytes)
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

// window reads r in blocks and keeps the ones used last: PDFium reads some
// hundred bytes at a time, from the end and then here and there, and each
// ReadAt may be a request to a server.
type window struct {
	r      io.ReaderAt
	size   int64
	source *source
	blocks list.List // of *block, the one used last in front
}

type block struct {
	offset  int64
	content []byte
}

// ReadAt implements io.ReaderAt for reads within size.
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
	began := time.Now()
	n, err := w.r.ReadAt(b.content, offset)
	w.source.waited += time.Since(began)
	if n < len(b.content) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("read document at %d: %w", offset, err)
	}
	w.blocks.PushFront(b)
	return b, nil
}

// reader stops reading when its context ends. (The context is the call's own;
// the value lives no longer than the call.)
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}
