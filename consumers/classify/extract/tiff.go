package extract

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"slices"

	"golang.org/x/image/draw"
	"golang.org/x/image/webp"
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
	tagT4Options, tagExtraSamples   = 292, 338
	tagSampleFormat                 = 339
	tagSubsampling                  = 530
)

// decode decodes a page to gray. What cannot be decoded stays white; whole is false if there is
// something.
func (d tiffDirectory) decode(
	ctx context.Context, content []byte,
) (_ *image.Gray, whole bool, err error) {
	if !d.isReadable() {
		return nil, false, fmt.Errorf("%w: TIFF in a variant that is not read", ErrUnsupported)
	}
	if d.value(tagCompression, 0) == compressionOldJPEG {
		return d.decodeOldJPEG(ctx, content)
	}
	width, height := d.size()
	cellWidth, cellHeight, ok := d.cellSize()
	if !ok {
		return nil, false, errDamagedImage
	}
	offsets, counts := tagStripOffsets, tagStripCounts
	if d.isTiled() {
		offsets, counts = tagTileOffsets, tagTileCounts
	}
	page := newWhite(width, height)
	columns := (width + cellWidth - 1) / cellWidth
	cells := columns * ((height + cellHeight - 1) / cellHeight)
	first := d.plane() * cells
	decoded := 0
	whole = true
	for i := range min(cells, d.values(offsets)-first) {
		if ctx.Err() != nil {
			return nil, false, fmt.Errorf("decode image: %w", context.Cause(ctx))
		}
		corner := image.Pt(i%columns*cellWidth, i/columns*cellHeight)
		strip := d.inOrder(span(content, d.value(offsets, first+i), d.value(counts, first+i)))
		size := image.Pt(cellWidth, cellHeight)
		if !d.isTiled() { // only the last strip is lower; tiles are padded
			size.Y = min(cellHeight, height-corner.Y)
		}
		cell, wholeCell := d.decodeCell(ctx, strip, size)
		whole = whole && wholeCell
		if cell == nil {
			continue
		}
		decoded++
		draw.Draw(page, cell.Bounds().Add(corner), cell, cell.Bounds().Min, draw.Over)
	}
	if decoded == 0 {
		return nil, false, errDamagedImage
	}
	return page, whole && decoded == cells, nil
}

// isTiled reports whether the page is divided into tiles instead of strips.
func (d tiffDirectory) isTiled() bool { return d.values(tagTileOffsets) > 0 }

// cellSize returns the size of a strip or tile. ok is false if it cannot be right.
func (d tiffDirectory) cellSize() (cellWidth, cellHeight int, ok bool) {
	width, height := d.size()
	cellWidth, cellHeight = width, d.value(tagRowsPerStrip, 0)
	if d.isTiled() {
		cellWidth, cellHeight = d.value(tagTileWidth, 0), d.value(tagTileLength, 0)
	}
	if cellHeight <= 0 || cellHeight > height && !d.isTiled() {
		cellHeight = height
	}
	const margin = 4 << 20 // pixels by which a tile may exceed the page
	return cellWidth, cellHeight, cellWidth > 0 && cellHeight > 0 &&
		max(cellWidth, cellHeight) <= maxTIFFSide && cellWidth*cellHeight <= width*height+margin
}

// decodeCell decodes a strip or tile. It returns nil if nothing can be decoded. whole is false if a
// part of it is missing.
func (d tiffDirectory) decodeCell(
	ctx context.Context, strip []byte, size image.Point,
) (_ image.Image, whole bool) {
	switch d.value(tagCompression, 0) {
	case compressionJPEG:
		return d.decodeJPEG(ctx, strip, size)
	case compressionWebP:
		return d.decodeWebP(ctx, strip, size)
	}
	return d.decodeSamples(ctx, strip, size)
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
		if page, _ := d.decodeJPEG(ctx, jpeg, size); page != nil {
			gray := newWhite(size.X, size.Y)
			draw.Draw(gray, gray.Rect, page, page.Bounds().Min, draw.Src)
			return gray, true, nil
		}
	}
	return nil, false, fmt.Errorf("%w: TIFF with JPEG compression of version 6", ErrUnsupported)
}

// maxPadding is the number of pixels by which a strip that is an image may exceed its place,
// because it is padded to whole blocks.
const maxPadding = 64

// decodeJPEG decodes a strip or tile that is compressed by JPEG (TIFF Technical Note 2), which is
// an image; the tables that all of them share are in a field of their own. It returns nil if the
// strip is damaged, or larger than size, for which memory was reserved.
func (d tiffDirectory) decodeJPEG(
	ctx context.Context, strip []byte, size image.Point,
) (_ image.Image, whole bool) {
	const start, end = "\xff\xd8", "\xff\xd9"
	tables := bytes.TrimSuffix(d.fields[tagJPEGTables].values, []byte(end))
	if len(tables) > 0 {
		strip = slices.Concat(tables, bytes.TrimPrefix(strip, []byte(start)))
	}
	samples := d.value(tagSamples, 0)
	if samples == 4 && len(strip) > len(start) {
		// Without Adobe's marker, image/jpeg does not read four components. With it, it takes them
		// for CMYK and inverts them.
		const marker = "\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
		strip = slices.Concat(strip[:len(start)], []byte(marker), strip[len(start):])
	}
	config, err := jpeg.DecodeConfig(bytes.NewReader(strip))
	if err != nil || config.Width > size.X+maxPadding || config.Height > size.Y+maxPadding {
		return nil, false
	}
	cell, err := jpeg.Decode(contextReader{ctx, bytes.NewReader(strip)})
	if err != nil {
		return nil, false
	}
	switch cell := cell.(type) {
	case *image.YCbCr:
		if d.value(tagPhotometric, 0) == photometricRGB {
			return rgbPlanes{cell}, true
		}
	case *image.CMYK:
		for i, p := range cell.Pix {
			cell.Pix[i] = ^p
		}
		if d.value(tagPhotometric, 0) == photometricRGB {
			return &image.NRGBA{Pix: cell.Pix, Stride: cell.Stride, Rect: cell.Rect}, true
		}
	}
	return cell, true
}

// decodeWebP decodes a strip or tile that is a WebP file, without its opacity. It returns nil in
// the same cases as decodeJPEG.
func (d tiffDirectory) decodeWebP(
	ctx context.Context, strip []byte, size image.Point,
) (_ image.Image, whole bool) {
	frame := webpFrame(strip)
	config, err := webp.DecodeConfig(bytes.NewReader(frame))
	if err != nil || config.Width > size.X+maxPadding || config.Height > size.Y+maxPadding {
		return nil, false
	}
	cell, err := webp.Decode(contextReader{ctx, bytes.NewReader(frame)})
	if err != nil {
		return nil, false
	}
	return cell, true
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
