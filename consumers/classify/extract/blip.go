package extract

import (
	"bytes"
	"encoding/binary"
)

// blipBytes is the number of bytes of a picture in an old Office file before its content: the
// header of the record, one digest, and a tag ([MS-ODRAW], 2.2.27 to 2.2.31).
const blipBytes = 8 + 16 + 1

// blips returns the pictures in a stream of an old Office file, except those that consist of
// drawing commands (EMF, WMF, PICT). A picture is recognized by the version, instance and type of
// its record, wherever it is: the structures around it differ between Word, Excel and PowerPoint,
// and may be damaged.
func blips(stream []byte) (pictures [][]byte) {
	for at := 0; ; {
		found := bytes.IndexByte(stream[at:], 0xf0) // the upper byte of the type
		if found < 0 {
			return pictures
		}
		at += found + 1
		header := span(stream, at-4, blipBytes)
		if len(header) < blipBytes {
			continue
		}
		digests, isDIB := 1, false
		switch u16(header, 2)<<16 | u16(header, 0) {
		case 0xf01d46a0, 0xf01d6e20, 0xf02a46a0, 0xf02a6e20, 0xf01e6e00, 0xf0296e40: // JPEG, PNG, TIFF
		case 0xf01d46b0, 0xf01d6e30, 0xf02a46b0, 0xf02a6e30, 0xf01e6e10, 0xf0296e50:
			digests = 2
		case 0xf01f7a80:
			isDIB = true
		case 0xf01f7a90:
			digests, isDIB = 2, true
		default:
			continue
		}
		record := span(stream, at+4, u32(header, 4))
		content := span(record, 16*digests+1, len(record))
		if isDIB {
			content = bitmapFile(content)
		}
		if len(content) > 0 {
			pictures = append(pictures, content)
			at += 4 + len(record)
		}
	}
}

// bitmapFile returns a device-independent bitmap with the header of a file ([MS-WMF], 2.2.2.9), or
// nil if it is damaged.
func bitmapFile(dib []byte) []byte {
	const fileHeader, infoHeader = 14, 40
	if len(dib) < infoHeader {
		return nil
	}
	header, bits := u32(dib, 0), u16(dib, 14)
	colors := u32(dib, 32)
	if colors == 0 && bits <= 8 {
		colors = 1 << bits
	}
	pixels := fileHeader + header + 4*colors
	if pixels > fileHeader+len(dib) {
		return nil
	}
	file := binary.LittleEndian.AppendUint32([]byte("BM"), uint32(fileHeader+len(dib)))
	file = append(file, 0, 0, 0, 0)
	file = binary.LittleEndian.AppendUint32(file, uint32(pixels))
	return append(file, dib...)
}
