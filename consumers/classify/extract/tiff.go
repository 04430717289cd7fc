package extract

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"slices"

	"golang.org/x/image/draw"
)

// Tags and values of TIFF 6.0.
const (
	tagWidth, tagLength             = 256, 257
	tagBits, tagSamples             = 258, 277
	tagCompression, tagPhotometric  = 259, 262
	tagFillOrder, tagPlanar         = 266, 284
	tagStripOffsets, tagStripCounts = 273, 279
	tagRowsPerStrip                 = 278
	tagPredictor, tagColorMap       = 317, 320
	tagTileWidth, tagTileLength     = 322, 323
	tagTileOffsets, tagTileCounts   = 324, 325
	tagJPEGTables                   = 347
	tagJPEGFile, tagJPEGFileLength  = 513, 514
	tagSubsampling                  = 530

	compressionOldJPEG, compressionJPEG = 6, 7
	photometricRGB                      = 2

	// maxTIFFPages is the number of pages of a TIFF that are counted.
	maxTIFFPages = 10_000
)

// tiffOrder returns the byte order of a TIFF, or nil if content is not one.
func tiffOrder(content []byte) binary.ByteOrder {
	switch {
	case bytes.HasPrefix(content, []byte("II*\x00")):
		return binary.LittleEndian
	case bytes.HasPrefix(content, []byte("MM\x00*")):
		return binary.BigEndian
	}
	return nil
}

// tiffPages returns the offsets of the directories of a TIFF, each of which describes a page. It
// returns nil for other images.
func tiffPages(content []byte) (offsets []int64) {
	order := tiffOrder(content)
	if order == nil || len(content) < 8 {
		return nil
	}
	seen := map[int64]bool{}
	next := int64(order.Uint32(content[4:]))
	for next > 0 && next+2 <= int64(len(content)) && !seen[next] && len(offsets) < maxTIFFPages {
		seen[next] = true
		offsets = append(offsets, next)
		end := next + 2 + 12*int64(order.Uint16(content[next:]))
		if end+4 > int64(len(content)) {
			break
		}
		next = int64(order.Uint32(content[end:]))
	}
	return offsets
}

// tiffPage makes the page at offset the first page of the TIFF, in place, because decoders read
// only the first one.
func tiffPage(content []byte, offset int64) []byte {
	at := uint32(offset)
	tiffOrder(content).PutUint32(content[4:], at)
	return content
}

// tiffDirectory is the directory of the first page of a TIFF.
type tiffDirectory struct {
	order  binary.ByteOrder
	fields map[int]tiffField
}

// tiffField holds the values of a tag, each of which has width bytes.
type tiffField struct {
	width  int
	values []byte
}

// readTIFF reads the directory of the first page. The fields of anything else are empty.
func readTIFF(content []byte) tiffDirectory {
	d := tiffDirectory{order: tiffOrder(content), fields: map[int]tiffField{}}
	if d.order == nil || len(content) < 8 {
		return d
	}
	at, size := int64(d.order.Uint32(content[4:])), int64(len(content))
	if at+2 > size {
		return d
	}
	entries := int64(d.order.Uint16(content[at:]))
	for i := at + 2; entries > 0 && i+12 <= size; i, entries = i+12, entries-1 {
		entry := content[i : i+12]
		width := map[uint16]int64{1: 1, 3: 2, 4: 4, 7: 1}[d.order.Uint16(entry[2:])]
		length := int64(d.order.Uint32(entry[4:])) * width
		from := i + 8
		if length > 4 {
			from = int64(d.order.Uint32(entry[8:]))
		}
		if width > 0 && from+length <= size {
			d.fields[int(d.order.Uint16(entry))] = tiffField{int(width), content[from : from+length]}
		}
	}
	return d
}

// count returns the number of values of a tag.
func (d tiffDirectory) count(tag int) int {
	f := d.fields[tag]
	if f.width == 0 {
		return 0
	}
	return len(f.values) / f.width
}

// value returns one value of a tag, or 0 if there is none.
func (d tiffDirectory) value(tag, index int) int {
	if index >= d.count(tag) {
		return 0
	}
	f := d.fields[tag]
	switch value := f.values[index*f.width:]; f.width {
	case 2:
		return int(d.order.Uint16(value))
	case 4:
		return int(d.order.Uint32(value))
	default:
		return int(value[0])
	}
}

// decode decodes a page to gray. Strips and tiles that cannot be decoded stay white; whole is false
// if there are any.
func (d tiffDirectory) decode(
	ctx context.Context, content []byte,
) (_ *image.Gray, whole bool, err error) {
	if !d.isReadable() {
		return nil, false, fmt.Errorf("%w: TIFF with an unknown compression", ErrUnsupported)
	}
	width, height := d.size()
	decodeCell := d.decodeSamples
	switch d.value(tagCompression, 0) {
	case compressionOldJPEG:
		return d.decodeOldJPEG(ctx, content)
	case compressionJPEG:
		decodeCell = d.decodeStrip
	}
	cellWidth, cellHeight := width, d.value(tagRowsPerStrip, 0)
	offsets, counts := tagStripOffsets, tagStripCounts
	if d.count(tagTileOffsets) > 0 {
		offsets, counts = tagTileOffsets, tagTileCounts
		cellWidth, cellHeight = d.value(tagTileWidth, 0), d.value(tagTileLength, 0)
	}
	if cellHeight <= 0 || cellHeight > height && offsets == tagStripOffsets {
		cellHeight = height
	}
	const margin = 4 << 20 // pixels by which a tile may exceed the page
	if cellWidth <= 0 || cellHeight <= 0 || max(cellWidth, cellHeight) > maxTIFFSide ||
		cellWidth*cellHeight > width*height+margin {
		return nil, false, errDamagedImage
	}
	page := newWhite(width, height)
	columns := (width + cellWidth - 1) / cellWidth
	cells := columns * ((height + cellHeight - 1) / cellHeight)
	first := d.plane() * cells
	decoded := 0
	for i := range min(cells, d.count(offsets)-first) {
		if ctx.Err() != nil {
			return nil, false, fmt.Errorf("decode image: %w", context.Cause(ctx))
		}
		corner := image.Pt(i%columns*cellWidth, i/columns*cellHeight)
		strip := d.inOrder(span(content, d.value(offsets, first+i), d.value(counts, first+i)))
		cell := decodeCell(ctx, strip, image.Pt(cellWidth, min(cellHeight, height-corner.Y)))
		if cell == nil {
			continue
		}
		decoded++
		draw.Draw(page, cell.Bounds().Add(corner), cell, cell.Bounds().Min, draw.Src)
	}
	if decoded == 0 {
		return nil, false, errDamagedImage
	}
	return page, decoded == cells, nil
}

// decodeOldJPEG decodes a page that is compressed by JPEG in the way of TIFF 6.0, section 22, if it
// contains a whole file.
func (d tiffDirectory) decodeOldJPEG(
	ctx context.Context, content []byte,
) (_ *image.Gray, whole bool, err error) {
	file := span(content, d.value(tagJPEGFile, 0), len(content))
	if n := d.value(tagJPEGFileLength, 0); n > 0 {
		file = span(file, 0, n)
	}
	strips := span(content, d.value(tagStripOffsets, 0), len(content))
	size := image.Pt(d.value(tagWidth, 0), d.value(tagLength, 0))
	for _, jpeg := range [][]byte{file, slices.Concat(file, strips)} {
		if page := d.decodeStrip(ctx, jpeg, size); page != nil {
			gray := newWhite(size.X, size.Y)
			draw.Draw(gray, gray.Rect, page, page.Bounds().Min, draw.Src)
			return gray, true, nil
		}
	}
	return nil, false, fmt.Errorf("%w: TIFF with JPEG compression of version 6", ErrUnsupported)
}

// decodeStrip decodes a strip or tile that is compressed by JPEG (TIFF Technical Note 2), which is
// an image; the tables that all of them share are in a field of their own. It returns nil if the
// strip is damaged, or larger than size, for which memory was reserved.
func (d tiffDirectory) decodeStrip(
	ctx context.Context, strip []byte, size image.Point,
) image.Image {
	const block = 64 // strips may be padded to whole blocks
	if tables := d.fields[tagJPEGTables].values; len(tables) > 0 {
		tables = bytes.TrimSuffix(tables, []byte{0xff, 0xd9})
		strip = bytes.Join([][]byte{tables, bytes.TrimPrefix(strip, []byte{0xff, 0xd8})}, nil)
	}
	config, err := jpeg.DecodeConfig(bytes.NewReader(strip))
	if err != nil || config.Width > size.X+block || config.Height > size.Y+block {
		return nil
	}
	cell, err := jpeg.Decode(contextReader{ctx, bytes.NewReader(strip)})
	if err != nil {
		return nil
	}
	if planes, ok := cell.(*image.YCbCr); ok && d.value(tagPhotometric, 0) == photometricRGB {
		return rgbPlanes{planes}
	}
	return cell
}

// rgbPlanes is an image whose planes are red, green and blue, although its decoder could not know
// that.
type rgbPlanes struct{ *image.YCbCr }

func (p rgbPlanes) ColorModel() color.Model { return color.RGBAModel }

func (p rgbPlanes) At(x, y int) color.Color {
	c := p.YCbCrAt(x, y)
	return color.RGBA{c.Y, c.Cb, c.Cr, 0xff}
}

// newWhite returns a white image.
func newWhite(width, height int) *image.Gray {
	page := image.NewGray(image.Rect(0, 0, width, height))
	for i := range page.Pix {
		page.Pix[i] = 0xff
	}
	return page
}
