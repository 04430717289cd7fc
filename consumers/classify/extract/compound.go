package extract

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf16"
)

// Sizes and special values of compound files ([MS-CFB], 2.1 to 2.6).
const (
	compoundHeader  = 512
	maxSector       = 0xfffffff9 // larger numbers do not stand for sectors
	noEntry         = 0xffffffff
	entryBytes      = 128
	miniSectorBytes = 64
	miniCutoff      = 4096 // smaller streams are in the mini stream
	entryStorage    = 1
	entryStream     = 2
	entryRoot       = 5
	maxEntries      = 20_000
	maxStreamBytes  = 16 << 20
	// maxCompoundLoad is the number of bytes that are read from the storage of a large file. The
	// sectors of a damaged one may be out of order, so that each of them needs a block of its own.
	maxCompoundLoad = 128 << 20
)

// compound is a compound file: the container of old Office files, whose streams are read one at a
// time. It holds a context because it exists only during one call.
type compound struct {
	ctx     context.Context
	src     *source
	sector  int      // size of a sector in bytes
	fat     []uint32 // the sectors of the table that links the sectors of each stream
	mini    []byte   // the mini stream
	miniFAT []byte   // the table that links its sectors
	entries []compoundEntry
	cut     bool // a sector is missing, or a limit was reached
}

// compoundEntry is a stream, or a storage, which contains others.
type compoundEntry struct {
	name               string
	kind               byte
	left, right, child uint32 // entries; left and right are in the same storage
	start              uint32 // the first sector
	size               int64
}

// openCompound reads the list of the entries in src. It fails if there are none.
func openCompound(ctx context.Context, src *source) (*compound, error) {
	c := &compound{ctx: ctx, src: src}
	header := c.bytes(0, compoundHeader)
	switch shift := u16(header, 30); shift {
	case 9, 12:
		c.sector = 1 << shift
	default:
		return nil, errDamagedCompound
	}
	c.readFAT(header)
	directory := c.chain(uint32(u32(header, 48)), maxEntries*entryBytes)
	for ; len(directory) >= entryBytes; directory = directory[entryBytes:] {
		c.entries = append(c.entries, parseEntry(directory[:entryBytes], c.sector == 1<<9))
	}
	if len(c.entries) == 0 || c.entries[0].kind != entryRoot {
		return nil, errDamagedCompound
	}
	c.miniFAT = c.chain(uint32(u32(header, 60)), maxStreamBytes/miniSectorBytes*4)
	c.mini = c.chain(c.entries[0].start, min(c.entries[0].size, maxStreamBytes))
	c.cut = false // the tables end where their last sector does
	return c, nil
}

var errDamagedCompound = fmt.Errorf("%w: damaged compound file", ErrBroken)

// readFAT lists the sectors of the table of sectors: 109 in the header, and the others in a chain
// of sectors.
func (c *compound) readFAT(header []byte) {
	most := int(c.src.size/int64(c.sector))*4/c.sector + 1
	add := func(list []byte) {
		for ; len(list) >= 4 && len(c.fat) < most; list = list[4:] {
			if n := binary.LittleEndian.Uint32(list); n <= maxSector {
				c.fat = append(c.fat, n)
			}
		}
	}
	add(span(header, 76, compoundHeader-76))
	next := uint32(u32(header, 68))
	for n := 0; next <= maxSector && len(c.fat) < most && n < most; n++ {
		list := c.bytes(c.offset(next), c.sector)
		if len(list) < c.sector {
			return
		}
		add(list[:c.sector-4])
		next = binary.LittleEndian.Uint32(list[c.sector-4:])
	}
}

func parseEntry(raw []byte, short bool) compoundEntry {
	units := make([]uint16, 0, 32)
	for at := 0; at+2 < min(u16(raw, 64), 64); at += 2 {
		units = append(units, uint16(u16(raw, at)))
	}
	e := compoundEntry{
		name: string(utf16.Decode(units)), kind: raw[66],
		left: uint32(u32(raw, 68)), right: uint32(u32(raw, 72)), child: uint32(u32(raw, 76)),
		start: uint32(u32(raw, 116)), size: int64(u32(raw, 120)),
	}
	if !short { // in files with short sectors, the upper half may be anything
		e.size = max(0, e.size|int64(int32(u32(raw, 124)))<<32)
	}
	return e
}

func (c *compound) offset(sector uint32) int64 { return (int64(sector) + 1) * int64(c.sector) }

// bytes returns the bytes at an offset of the file, or what there is of them.
func (c *compound) bytes(offset int64, length int) []byte {
	b := make([]byte, length)
	return b[:c.readAt(b, offset)]
}

// readAt returns the number of bytes that it has read at an offset of the file.
func (c *compound) readAt(b []byte, offset int64) int {
	if c.ctx.Err() != nil || c.src.loaded >= maxCompoundLoad {
		return 0
	}
	n, _ := c.src.ReadAt(b, offset) // the source records errors
	return n
}

// next returns the sector that follows a sector in its stream.
func (c *compound) next(sector uint32) uint32 {
	entries := uint32(c.sector / 4)
	if int(sector/entries) >= len(c.fat) {
		return noEntry
	}
	at := c.offset(c.fat[sector/entries]) + int64(sector%entries)*4
	link := c.bytes(at, 4)
	if len(link) < 4 {
		return noEntry
	}
	return binary.LittleEndian.Uint32(link)
}

// chain returns up to size bytes of the chain of sectors that begins with start. A chain that
// contains itself ends because there cannot be more sectors than the file has.
func (c *compound) chain(start uint32, size int64) []byte {
	content := make([]byte, 0, min(size, c.src.size))
	for sector := start; sector <= maxSector && len(content) < cap(content); {
		rest := content[len(content):min(cap(content), len(content)+c.sector)]
		n := c.readAt(rest, c.offset(sector))
		if content = content[:len(content)+n]; n < len(rest) {
			break
		}
		sector = c.next(sector)
	}
	c.cut = c.cut || int64(len(content)) < size
	return content
}

// content returns the content of a stream, up to limit.
func (c *compound) content(e compoundEntry, limit int64) []byte {
	size := min(e.size, limit)
	c.cut = c.cut || e.size > limit
	if e.size >= miniCutoff {
		return c.chain(e.start, size)
	}
	var content []byte
	for sector := int(e.start); int64(len(content)) < size; {
		read := span(c.mini, sector*miniSectorBytes, miniSectorBytes)
		if len(read) == 0 {
			c.cut = true
			break
		}
		content = append(content, read...)
		if len(c.miniFAT) < 4*sector+4 {
			break
		}
		sector = u32(c.miniFAT, 4*sector)
	}
	return content[:max(0, min(int64(len(content)), size))]
}

// children returns the entries in a storage. The tree of entries may be damaged, so each entry
// counts once.
func (c *compound) children(storage int) (found []int) {
	seen := make(map[uint32]bool)
	for stack := []uint32{c.entries[storage].child}; len(stack) > 0; {
		last := len(stack) - 1
		n := stack[last]
		stack = stack[:last]
		if int64(n) >= int64(len(c.entries)) || seen[n] {
			continue
		}
		seen[n] = true
		found = append(found, int(n))
		stack = append(stack, c.entries[n].right, c.entries[n].left)
	}
	return found
}

// find returns the entry of this name in a storage, or -1.
func (c *compound) find(storage int, name string) int {
	for _, n := range c.children(storage) {
		if strings.EqualFold(c.entries[n].name, name) {
			return n
		}
	}
	return -1
}

// stream returns the content of the stream of this name in the root. ok is false if there is none.
func (c *compound) stream(name string) (content []byte, ok bool) {
	n := c.find(0, name)
	if n < 0 || c.entries[n].kind != entryStream {
		return nil, false
	}
	return c.content(c.entries[n], maxStreamBytes), true
}

// u16 and u32 return the little-endian number at an offset, or 0 if b is too short.
func u16(b []byte, at int) int {
	if b = span(b, at, 2); len(b) < 2 {
		return 0
	}
	return int(binary.LittleEndian.Uint16(b))
}

func u32(b []byte, at int) int {
	if b = span(b, at, 4); len(b) < 4 {
		return 0
	}
	return int(binary.LittleEndian.Uint32(b))
}

// span returns length bytes at an offset, or what there is of them.
func span(b []byte, at, length int) []byte {
	if at < 0 || length < 0 || at >= len(b) {
		return nil
	}
	return b[at:min(len(b), at+length)]
}

// utf16Text decodes UTF-16 in little-endian order.
func utf16Text(raw []byte) string {
	units := make([]uint16, len(raw)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(raw[2*i:])
	}
	return string(utf16.Decode(units))
}
