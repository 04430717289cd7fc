package extract

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math"
)

// maxRepairedEntries is the number of entries of a damaged archive that are found.
const maxRepairedEntries = 10_000

// isCutOff reports whether an archive that begins with an entry ends with the list of another one:
// it was cut off after an archive that it contains uncompressed.
func isCutOff(content []byte) bool {
	const record = 22 // bytes of the end of a list (APPNOTE.TXT, 4.3.16)
	end := bytes.LastIndex(content[:max(0, len(content)-record+4)], []byte("PK\x05\x06"))
	if end < 0 || !bytes.HasPrefix(content, []byte(entrySignature)) {
		return false
	}
	size := int64(binary.LittleEndian.Uint32(content[end+12:]))
	offset := int64(binary.LittleEndian.Uint32(content[end+16:]))
	return size+offset < int64(end) && !bytes.HasPrefix(content[offset:], []byte("PK\x01\x02"))
}

// repairArchive returns an archive with the entries of a damaged one, or nil if it finds none. The
// list of the entries is at the end of an archive, which is missing if it was cut off, but each
// entry begins with a header of its own (PKWARE's APPNOTE.TXT, 4.3.7). Of the last entry it keeps
// what is there.
func repairArchive(ctx context.Context, content []byte) []byte {
	var repaired bytes.Buffer
	repaired.Grow(len(content) + len(content)/8) // with the list
	w := zip.NewWriter(&repaired)
	m := measurer{decompressor: flate.NewReader(nil), left: maxInflated}
	entries := 0
	for m.left > 0 && entries < maxRepairedEntries && ctx.Err() == nil {
		var header *zip.FileHeader
		if header, content = nextEntry(content); header == nil {
			break
		}
		size := int(min(header.CompressedSize64, uint64(len(content))))
		if header.CompressedSize64 == unknownSize {
			size = m.measure(header, content)
		}
		header.CompressedSize64 = uint64(size)
		entry, err := w.CreateRaw(header)
		if err == nil {
			_, err = entry.Write(content[:size])
		}
		if err != nil { // the writer refuses the name
			return nil
		}
		content = content[size:]
		entries++
	}
	if err := w.Close(); err != nil || entries == 0 {
		return nil
	}
	return repaired.Bytes()
}

// entrySignature is the beginning of an entry.
const entrySignature = "PK\x03\x04"

// unknownSize is the size of an entry whose header does not have it: it follows the content, or is
// in a field for large files, which programs also write for small ones.
const unknownSize = math.MaxUint64

// largeSizes returns the sizes in the field for large files of an entry, decompressed and
// compressed (APPNOTE.TXT, 4.5.3).
func largeSizes(extra []byte) (uncompressed, compressed uint64, ok bool) {
	for len(extra) >= 4 {
		size := int(binary.LittleEndian.Uint16(extra[2:]))
		if binary.LittleEndian.Uint16(extra) == 1 && size >= 16 && len(extra) >= 20 {
			return binary.LittleEndian.Uint64(extra[4:]), binary.LittleEndian.Uint64(extra[12:]), true
		}
		extra = extra[min(4+size, len(extra)):]
	}
	return 0, 0, false
}

// nextEntry returns the header of the first entry, and what follows the header. It returns nil if
// there is none.
func nextEntry(content []byte) (*zip.FileHeader, []byte) {
	const (
		fixed       = 30 // bytes before the name
		sizeFollows = 8
	)
	at := bytes.Index(content, []byte(entrySignature))
	if at < 0 || len(content)-at < fixed {
		return nil, nil
	}
	b := content[at:]
	field := func(at int) int { return int(binary.LittleEndian.Uint16(b[at:])) }
	name, extra := field(26), field(28)
	if len(b) < fixed+name+extra {
		return nil, nil
	}
	header := &zip.FileHeader{
		Name: string(b[fixed : fixed+name]), Flags: binary.LittleEndian.Uint16(b[6:]),
		Method: binary.LittleEndian.Uint16(b[8:]), CRC32: binary.LittleEndian.Uint32(b[14:]),
		CompressedSize64:   uint64(binary.LittleEndian.Uint32(b[18:])),
		UncompressedSize64: uint64(binary.LittleEndian.Uint32(b[22:])),
	}
	large := header.CompressedSize64 == math.MaxUint32
	if size, packed, ok := largeSizes(b[fixed+name : fixed+name+extra]); large && ok {
		header.UncompressedSize64, header.CompressedSize64, large = size, packed, false
	}
	if large || header.Flags&sizeFollows != 0 {
		header.CompressedSize64 = unknownSize
	}
	header.Flags &^= sizeFollows
	return header, b[fixed+name+extra:]
}

// measurer finds the ends of entries whose headers do not have their sizes.
type measurer struct {
	decompressor io.ReadCloser
	left         int64 // bytes that may still be decompressed
}

// measure sets what the header of an entry does not have, and returns the size of the entry at the
// beginning of content.
func (m *measurer) measure(header *zip.FileHeader, content []byte) (size int) {
	sum := crc32.NewIEEE()
	switch header.Method {
	case zip.Store:
		size = storedSize(content)
		_, _ = sum.Write(content[:size]) // never fails
		header.UncompressedSize64 = uint64(size)
	case zip.Deflate:
		r := bytes.NewReader(content)
		_ = m.decompressor.(flate.Resetter).Reset(r, nil) // never fails
		n, err := io.Copy(sum, io.LimitReader(m.decompressor, m.left))
		m.left -= n
		size = len(content) - r.Len()
		header.UncompressedSize64 = uint64(n)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			header.UncompressedSize64++ // so that it is known to be cut off
		}
	}
	header.CRC32 = sum.Sum32()
	return size
}

// storedSize returns the size of an uncompressed entry, which is followed by a descriptor with its
// size (APPNOTE.TXT, 4.3.9), or all of the content if there is none.
func storedSize(content []byte) int {
	for at := 0; ; {
		found := bytes.Index(content[at:], []byte("PK\x07\x08"))
		if found < 0 || at+found+12 > len(content) {
			return len(content)
		}
		at += found
		if uint64(binary.LittleEndian.Uint32(content[at+8:])) == uint64(at) {
			return at
		}
		at += 4
	}
}
