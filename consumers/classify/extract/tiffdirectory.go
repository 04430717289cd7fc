package extract

import (
	"bytes"
	"encoding/binary"
	"math"
)

// maxTIFFPages is the number of pages of a TIFF that are counted.
const maxTIFFPages = 10_000

// tiffFormat is how a TIFF stores offsets: in 32 bits (TIFF 6.0), or in 64 bits if it is a BigTIFF.
type tiffFormat struct {
	order binary.ByteOrder // nil if the content is not a TIFF

	first        int64 // where the offset of the first directory is
	count, entry int64 // the sizes of the number of entries in a directory and of an entry
	offset       int64 // the size of an offset; values of that size are in the entry itself
}

// tiffFormatOf returns the format of a TIFF by its header: the byte order, the version, and in a
// BigTIFF the size of offsets and two bytes of zeros.
func tiffFormatOf(content []byte) (f tiffFormat) {
	switch {
	case bytes.HasPrefix(content, []byte("II*\x00")), bytes.HasPrefix(content, []byte("MM\x00*")):
		f = tiffFormat{first: 4, count: 2, entry: 12, offset: 4}
	case bytes.HasPrefix(content, []byte("II+\x00\x08\x00\x00\x00")),
		bytes.HasPrefix(content, []byte("MM\x00+\x00\x08\x00\x00")):
		f = tiffFormat{first: 8, count: 8, entry: 20, offset: 8}
	default:
		return f
	}
	f.order = binary.LittleEndian
	if content[0] == 'M' {
		f.order = binary.BigEndian
	}
	return f
}

// number returns the number of 1, 2, 4 or 8 bytes at a place, or 0 if it is beyond the content. One
// that is beyond every file is returned as math.MaxInt32, so that sums do not overflow.
func (f tiffFormat) number(content []byte, at, size int64) int64 {
	if at < 0 || at+size > int64(len(content)) {
		return 0
	}
	switch content = content[at:]; size {
	case 2:
		return int64(f.order.Uint16(content))
	case 4:
		return int64(f.order.Uint32(content))
	case 8:
		return int64(min(f.order.Uint64(content), math.MaxInt32))
	}
	return int64(content[0])
}

// tiffPages returns the offsets of the directories of a TIFF, each of which describes a page. It
// returns nil for other images.
func tiffPages(content []byte) (offsets []int64) {
	f, size := tiffFormatOf(content), int64(len(content))
	if f.order == nil {
		return nil
	}
	seen := map[int64]bool{}
	next := f.number(content, f.first, f.offset)
	for next > 0 && next+f.count <= size && !seen[next] && len(offsets) < maxTIFFPages {
		seen[next] = true
		offsets = append(offsets, next)
		next += f.count + f.entry*f.number(content, next, f.count)
		next = f.number(content, next, f.offset)
	}
	return offsets
}

// tiffPage makes the page at offset the first page of the TIFF, in place, because decoders read
// only the first one.
func tiffPage(content []byte, offset int64) []byte {
	f := tiffFormatOf(content)
	if f.offset == 8 {
		f.order.PutUint64(content[f.first:], uint64(offset))
	} else {
		f.order.PutUint32(content[f.first:], uint32(offset))
	}
	return content
}

// tiffDirectory is the directory of the first page of a TIFF.
type tiffDirectory struct {
	tiffFormat
	fields map[int]tiffField
}

// tiffField holds the values of a tag, each of which has width bytes.
type tiffField struct {
	width  int
	values []byte
}

// readTIFF reads the directory of the first page. The fields of anything else are empty.
func readTIFF(content []byte) tiffDirectory {
	d := tiffDirectory{tiffFormat: tiffFormatOf(content), fields: map[int]tiffField{}}
	if d.order == nil {
		return d
	}
	at, size := d.number(content, d.first, d.offset), int64(len(content))
	entries := d.number(content, at, d.count)
	for i := at + d.count; entries > 0 && i+d.entry <= size; i, entries = i+d.entry, entries-1 {
		width := map[int64]int64{1: 1, 3: 2, 4: 4, 7: 1, 16: 8}[d.number(content, i+2, 2)]
		length := d.number(content, i+4, d.offset) * width
		from := i + 4 + d.offset
		if length > d.offset {
			from = d.number(content, from, d.offset)
		}
		if width > 0 && from+length <= size {
			tag := int(d.number(content, i, 2))
			d.fields[tag] = tiffField{int(width), content[from : from+length]}
		}
	}
	return d
}

// values returns the number of values of a tag.
func (d tiffDirectory) values(tag int) int {
	f := d.fields[tag]
	if f.width == 0 {
		return 0
	}
	return len(f.values) / f.width
}

// value returns one value of a tag, or 0 if there is none.
func (d tiffDirectory) value(tag, index int) int {
	if index >= d.values(tag) {
		return 0
	}
	f := d.fields[tag]
	return int(d.number(f.values, int64(index*f.width), int64(f.width)))
}
