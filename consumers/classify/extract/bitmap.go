package extract

import (
	"encoding/binary"
	"image"
	"image/color"
)

// rleBitmap is a Windows bitmap of 4 or 8 bits a pixel with run-length encoding, which x/image/bmp
// does not read.
type rleBitmap struct {
	width, height int
	bits          int
	palette       [256]uint8 // the gray of each color
	data          []byte
}

// readRLEBitmap reads the header of a bitmap with run-length encoding ([MS-WMF], 2.2.2.3). ok is
// false for any other image.
func readRLEBitmap(content []byte) (b rleBitmap, ok bool) {
	const fileHeader, infoHeader = 14, 40
	if len(content) < fileHeader+infoHeader || content[0] != 'B' || content[1] != 'M' {
		return b, false
	}
	order := binary.LittleEndian
	compression := order.Uint32(content[30:])
	b.bits = int(order.Uint16(content[28:]))
	if compression != 1 && compression != 2 || b.bits != int(8/compression) {
		return b, false
	}
	b.width = int(int32(order.Uint32(content[18:])))
	b.height = int(int32(order.Uint32(content[22:])))
	offset := int64(order.Uint32(content[10:]))
	colors := fileHeader + int64(order.Uint32(content[14:]))
	if b.width <= 0 || b.height <= 0 || offset > int64(len(content)) || colors > offset {
		return b, false
	}
	b.data = content[offset:]
	for i, table := 0, content[colors:offset]; i < len(b.palette) && len(table) >= 4; i++ {
		c := color.RGBA{table[2], table[1], table[0], 0xff}
		b.palette[i] = color.GrayModel.Convert(c).(color.Gray).Y
		table = table[4:]
	}
	return b, true
}

// decode decodes the pixels. The lines are stored from the bottom up. Pixels that are left out are
// white.
func (b rleBitmap) decode() *image.Gray {
	page := newWhite(b.width, b.height)
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
			return page
		case value == 2: // a step to the right and up
			if len(data) < 2 {
				return page
			}
			x, y = x+int(data[0]), y-int(data[1])
			data = data[2:]
		default: // pixels without encoding, padded to two bytes
			size := (value*b.bits + 7) / 8
			if size > len(data) {
				return page
			}
			for n := range value {
				put(b.pixel(data, n))
			}
			data = data[min(len(data), size+size%2):]
		}
	}
	return page
}

// pixel returns the nth pixel of a sequence of bytes, each of which has one or two pixels.
func (b rleBitmap) pixel(data []byte, n int) int {
	if b.bits == 8 {
		return int(data[n])
	}
	return int(data[n/2] >> (4 - n%2*4) & 0xf)
}
