package extract

import (
	"encoding/binary"
	"math"
	"strings"
)

// stream is a stream of a compound file. The name of a stream in a storage contains a slash.
type stream struct {
	name    string
	content []byte
}

// compoundWriter writes compound files of version 3 ([MS-CFB]).
type compoundWriter struct {
	sectors []byte
	fat     []uint32
	mini    []byte
	miniFAT []uint32
}

const (
	endOfChain = 0xfffffffe
	fatSector  = 0xfffffffd
)

// chain appends content as a chain of sectors and returns the first one.
func (w *compoundWriter) chain(content []byte) uint32 {
	return appendChain(&w.sectors, &w.fat, content, 512)
}

func appendChain(sectors *[]byte, table *[]uint32, content []byte, size int) uint32 {
	if len(content) == 0 {
		return endOfChain
	}
	first := uint32(len(*table))
	for from := 0; from < len(content); from += size {
		sector := make([]byte, size)
		copy(sector, content[from:])
		*sectors = append(*sectors, sector...)
		*table = append(*table, uint32(len(*table)+1))
	}
	(*table)[len(*table)-1] = endOfChain
	return first
}

// compoundEntryBytes returns an entry of the directory without left siblings.
func compoundEntryBytes(name string, kind byte, right, child, start uint32, size int) []byte {
	e := make([]byte, entryBytes)
	encoded := utf16le(name + "\x00")
	copy(e, encoded)
	binary.LittleEndian.PutUint16(e[64:], uint16(len(encoded)))
	e[66] = kind
	for at, n := range map[int]uint32{68: noEntry, 72: right, 76: child, 116: start} {
		binary.LittleEndian.PutUint32(e[at:], n)
	}
	binary.LittleEndian.PutUint32(e[120:], uint32(size))
	return e
}

// compoundFile returns a compound file with the streams. Streams of the same storage must follow
// each other.
func compoundFile(streams ...stream) []byte {
	w := &compoundWriter{}
	type node struct {
		name     string
		content  []byte
		children []int
	}
	nodes := []node{{name: "Root Entry"}}
	for _, s := range streams {
		parent := 0
		for parts := strings.Split(s.name, "/"); len(parts) > 0; parts = parts[1:] {
			found := -1
			for _, n := range nodes[parent].children {
				if nodes[n].name == parts[0] {
					found = n
				}
			}
			if found < 0 {
				found = len(nodes)
				nodes[parent].children = append(nodes[parent].children, found)
				nodes = append(nodes, node{name: parts[0]})
			}
			parent = found
		}
		nodes[parent].content = s.content
	}
	right := make([]uint32, len(nodes))
	child := make([]uint32, len(nodes))
	for i := range nodes {
		right[i], child[i] = noEntry, noEntry
	}
	for i, n := range nodes {
		for k, c := range n.children {
			if k == 0 {
				child[i] = uint32(c)
			} else {
				right[n.children[k-1]] = uint32(c)
			}
		}
	}
	var directory []byte
	for i, n := range nodes[1:] {
		kind, start := byte(entryStream), uint32(0)
		switch {
		case len(n.children) > 0:
			kind = entryStorage
		case len(n.content) >= miniCutoff:
			start = w.chain(n.content)
		default:
			start = appendChain(&w.mini, &w.miniFAT, n.content, miniSectorBytes)
		}
		directory = append(directory,
			compoundEntryBytes(n.name, kind, right[i+1], child[i+1], start, len(n.content))...)
	}
	mini := w.chain(w.mini)
	root := compoundEntryBytes("Root Entry", entryRoot, noEntry, child[0], mini, len(w.mini))
	return w.end(append(root, directory...))
}

func littleEndian(numbers ...uint32) (raw []byte) {
	for _, n := range numbers {
		raw = binary.LittleEndian.AppendUint32(raw, n)
	}
	return raw
}

func (w *compoundWriter) end(directory []byte) []byte {
	first := w.chain(directory)
	miniFAT := w.chain(littleEndian(w.miniFAT...))
	tables := int(math.Ceil(float64(len(w.fat)) / 127))
	header := make([]byte, compoundHeader)
	copy(header, oleSignature)
	copy(header[24:], []byte{0x3e, 0, 3, 0, 0xfe, 0xff, 9, 0, 6, 0})
	for at, n := range map[int]uint32{
		44: uint32(tables), 48: first, 56: miniCutoff, 60: miniFAT, 64: uint32(len(w.miniFAT)+127) / 128,
		68: endOfChain,
	} {
		binary.LittleEndian.PutUint32(header[at:], n)
	}
	for i := range 109 {
		n := uint32(noEntry)
		if i < tables {
			n = uint32(len(w.fat) + i)
		}
		binary.LittleEndian.PutUint32(header[76+4*i:], n)
	}
	for range tables {
		w.fat = append(w.fat, fatSector)
	}
	for len(w.fat) < 128*tables {
		w.fat = append(w.fat, noEntry)
	}
	return append(append(header, w.sectors...), littleEndian(w.fat...)...)
}

// wordFile returns a Word document with these pieces of text.
func wordFile(pieces ...string) []byte { return compoundFile(wordStreams(pieces...)...) }

// wordStreams returns the streams of a Word document. Each piece of the text is in UTF-16 if it has
// a letter outside of Latin 1. What is between the characters « and » is deleted.
func wordStreams(pieces ...string) []stream {
	const header = 2048
	main := make([]byte, header)
	binary.LittleEndian.PutUint16(main, 0xa5ec)
	binary.LittleEndian.PutUint16(main[fibVersion:], word97)
	binary.LittleEndian.PutUint16(main[fibFlags:], wordTable1)
	positions, descriptors := []uint32{0}, []byte(nil)
	var deleted []uint32
	for _, p := range pieces {
		at, count := len(main), 0
		wide := strings.ContainsFunc(p, func(r rune) bool { return r > 0xff })
		for _, r := range p {
			switch {
			case r == '«', r == '»':
				deleted = append(deleted, uint32(len(main)))
				continue
			case wide:
				main = append(main, byte(r), byte(r>>8))
			default:
				main = append(main, byte(r))
			}
			count++
		}
		offset := uint32(at)
		if !wide {
			offset = uint32(at)*2 | 0x40000000
		}
		positions = append(positions, positions[len(positions)-1]+uint32(count))
		descriptors = append(descriptors, 0, 0)
		descriptors = append(append(descriptors, littleEndian(offset)...), 0, 0)
		main = append(main, make([]byte, len(main)%2)...)
	}
	list := append(littleEndian(positions...), descriptors...)
	properties := []byte{1, 2, 0, 9, 9} // properties of paragraphs come first
	table := append(append(properties, 2), littleEndian(uint32(len(list)))...)
	table = append(table, list...)
	pieceTable := len(table)

	main = append(main, make([]byte, (512-len(main)%512)%512)...)
	page := make([]byte, 512)
	copy(page, littleEndian(deleted...))
	page[511] = byte(max(0, len(deleted)-1))
	for i := 0; i+1 < len(deleted); i += 2 {
		page[4*len(deleted)+i] = 250
	}
	copy(page[500:], []byte{6, 0x35, 0x08, 0, 0x00, 0x08, 1}) // not bold, deleted
	runs := littleEndian(0, noEntry, uint32(len(main)/512))
	main, table = append(main, page...), append(table, runs...)
	for at, n := range map[int]int{
		fibPieces: 0, fibPiecesN: pieceTable, fibCharacterRuns: pieceTable, fibCharRunsN: len(runs),
	} {
		binary.LittleEndian.PutUint32(main[at:], uint32(n))
	}
	return []stream{{"WordDocument", main}, {"1Table", table}}
}
