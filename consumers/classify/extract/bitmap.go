package extract

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"math/bits"
)

// Compressions of a bitmap ([MS-WMF], 2.1.1.7). Those with fields have a mask for each color.
const (
	bitmapRLE8, bitmapRLE4            = 1, 2
	bitmapFields, bitmapFieldsOpacity = 3, 6
)

// bitmap is a bitmap of Windows or OS/2.
type bitmap struct {
	width, height int
	bits          int // of a pixel
	compression   int
	topDown       bool // the first line is at the top

	palette [256]uint8 // the gray of each color
	masks   [4]uint32  // where red, green, blue and the opacity are in 16 or 32 bits
	data    []byte
}

// isBitmap reports whether content has the signature of a bitmap.
func isBitmap(content []byte) bool { return bytes.HasPrefix(content, []byte("BM")) }

// Sizes of the parts of a bitmap before its pixels, in bytes. The header of the file is followed by
// one of the others.
const (
	bitmapFileHeader = 14
	bitmapCoreHeader = 12 // of OS/2 1.x
	bitmapInfoHeader = 40
	bitmapOS2Header  = 64 // of OS/2 2.x, in which other compressions have the same numbers
)

// readBitmap reads the header of a bitmap ([MS-WMF], 2.2.2.3).
func readBitmap(content []byte) (b bitmap, err error) {
	if len(content) < bitmapFileHeader+bitmapInfoHeader {
		return b, errDamagedImage
	}
	order := binary.LittleEndian
	header, colorSize := int(order.Uint32(content[14:])), 4
	switch {
	case header == bitmapCoreHeader:
		colorSize = 3
		b.width, b.height = int(order.Uint16(content[18:])), int(order.Uint16(content[20:]))
		b.bits = int(order.Uint16(content[24:]))
	case header >= bitmapInfoHeader && header <= 1<<10:
		b.width = int(int32(order.Uint32(content[18:])))
		b.height = int(int32(order.Uint32(content[22:])))
		b.topDown, b.height = b.height < 0, max(b.height, -b.height)
		b.bits, b.compression = int(order.Uint16(content[28:])), int(order.Uint32(content[30:]))
	}
	if b.width <= 0 || b.height <= 0 || !b.isKnown() ||
		header == bitmapOS2Header && b.compression >= bitmapFields {
		return b, fmt.Errorf("%w: bitmap in a variant that is not read", ErrUnsupported)
	}
	colors := bitmapFileHeader + header + b.readMasks(content, header)
	offset := max(colors, int(order.Uint32(content[10:])))
	table := span(content, colors, offset-colors)
	for i := 0; i < len(b.palette) && len(table) >= colorSize; i++ { // blue, green and red
		b.palette[i], _, _ = color.RGBToYCbCr(table[2], table[1], table[0])
		table = table[colorSize:]
	}
	if b.data = span(content, offset, len(content)); len(b.data) == 0 {
		return b, errDamagedImage
	}
	return b, nil
}

// readMasks reads the masks, which are in the header or follow it. It returns the number of bytes
// that follow it.
func (b *bitmap) readMasks(content []byte, header int) (after int) {
	b.masks = [4]uint32{0xff0000, 0xff00, 0xff}
	if b.bits == 16 {
		b.masks = [4]uint32{0x7c00, 0x3e0, 0x1f}
	}
	n := 4
	switch {
	case b.compression != bitmapFields && b.compression != bitmapFieldsOpacity:
		return 0
	case header < bitmapInfoHeader+16 && b.compression == bitmapFields:
		n = 3
	}
	const place = bitmapFileHeader + bitmapInfoHeader
	for i := range len(span(content, place, 4*n)) / 4 {
		b.masks[i] = binary.LittleEndian.Uint32(content[place+4*i:])
	}
	return max(0, bitmapInfoHeader+4*n-header)
}

// isKnown reports whether the compression is read and possible with these bits.
func (b *bitmap) isKnown() bool {
	switch b.compression {
	case 0:
		return b.bits == 1 || b.bits == 2 || b.bits == 4 || b.bits == 8 || b.bits == 16 ||
			b.bits == 24 || b.bits == 32
	case bitmapRLE8:
		return b.bits == 8 && !b.topDown
	case bitmapRLE4:
		return b.bits == 4 && !b.topDown
	case bitmapFields, bitmapFieldsOpacity:
		return b.bits == 16 || b.bits == 32
	}
	return false
}

// decode decodes the pixels. Those that are missing are white, and whole is false then.
func (b *bitmap) decode() (page *image.Gray, whole bool) {
	if b.compression == bitmapRLE8 || b.compression == bitmapRLE4 {
		return b.decodeRuns()
	}
	page = newWhite(b.width, b.height)
	length := (b.width*b.bits + 7) / 8
	stride := (length + 3) / 4 * 4
	for i := range b.height {
		row := span(b.data, i*stride, length)
		y := b.height - 1 - i
		if b.topDown {
			y = i
		}
		pixels := page.Pix[y*page.Stride:][:b.width]
		if len(row) < length {
			return page, false
		}
		for x := range pixels {
			pixels[x] = b.gray(row, x)
		}
	}
	return page, true
}

// gray returns the gray of a pixel of a row.
func (b *bitmap) gray(row []byte, x int) (gray uint8) {
	var value uint32
	switch b.bits {
	case 16:
		value = uint32(binary.LittleEndian.Uint16(row[2*x:]))
	case 24:
		gray, _, _ = color.RGBToYCbCr(row[3*x+2], row[3*x+1], row[3*x])
		return gray
	case 32:
		value = binary.LittleEndian.Uint32(row[4*x:])
	default:
		return b.palette[b.pixel(row, x)]
	}
	var c [4]int
	for i, mask := range b.masks {
		if mask != 0 {
			low := bits.TrailingZeros32(mask)
			c[i] = int(uint64((value&mask)>>low) * 0xff / uint64(mask>>low))
		}
	}
	gray, _, _ = color.RGBToYCbCr(uint8(c[0]), uint8(c[1]), uint8(c[2]))
	if b.masks[3] != 0 { // on white paper
		gray = uint8(int(gray)*c[3]/0xff + 0xff - c[3])
	}
	return gray
}

// decodeRuns decodes the pixels with run-length encoding. Pixels that are left out are white.
func (b *bitmap) decodeRuns() (page *image.Gray, whole bool) {
	page = newWhite(b.width, b.height)
	x, y := 0, b.height-1
	put := func(index int) {
		if x < b.width {
			page.Pix[y*page.Stride+x] = b.palette[index]
		}
		x++
	}
	for data := b.data; len(data) >= 2 && y >= 0; {
		count, value := int(data[0]), int(data[1])
		run := data[1:2]
		data = data[2:]
		switch {
		case count > 0:
			for n := range count {
				put(b.pixel(run, n%(8/b.bits)))
			}
		case value == 0: // the end of the line
			x, y = 0, y-1
		case value == 1: // the end of the image
			return page, true
		case value == 2: // a step to the right and up
			if len(data) < 2 {
				return page, false
			}
			x, y = x+int(data[0]), y-int(data[1])
			data = data[2:]
		default: // pixels without encoding, padded to two bytes
			size := (value*b.bits + 7) / 8
			if size > len(data) {
				return page, false
			}
			for n := range value {
				put(b.pixel(data, n))
			}
			data = data[min(len(data), size+size%2):]
		}
	}
	return page, y < 0 || y == 0 && x >= b.width
}

// pixel returns the nth pixel of a sequence of bytes, each of which has one or more pixels.
func (b *bitmap) pixel(data []byte, n int) int {
	at := n * b.bits
	return int(data[at/8]) >> (8 - b.bits - at%8) & (1<<b.bits - 1)
}
