package extract

import (
	"bytes"
	"compress/zlib"
	"context"
	"image"
	"image/color"
	"io"
	"math/bits"
	"slices"

	"golang.org/x/image/ccitt"
	"golang.org/x/image/tiff/lzw"
)

// Values of the tags of TIFF 6.0.
const (
	compressionNone, compressionGroup3, compressionGroup4 = 1, 3, 4
	compressionLZW, compressionDeflate                    = 5, 8
	compressionOldDeflate, compressionPackBits            = 32946, 32773

	photometricWhiteIsZero, photometricBlackIsZero = 0, 1
	photometricPalette                             = 3
	photometricCMYK, photometricYCbCr              = 5, 6

	planarSeparate = 2
	// maxPixelBits is the largest number of bits of a pixel.
	maxPixelBits = 64
	// maxTIFFSide is the largest width and height in pixels. Products of two of them do not overflow.
	maxTIFFSide = 1 << 20
)

// isJPEG reports whether the page is compressed by JPEG, which x/image/tiff does not read.
func (d tiffDirectory) isJPEG() bool {
	compression := d.value(tagCompression, 0)
	return compression == compressionJPEG || compression == compressionOldJPEG
}

// size returns the width and height in pixels, or 0 for one that cannot be right.
func (d tiffDirectory) size() (width, height int) {
	width, height = d.value(tagWidth, 0), d.value(tagLength, 0)
	if max(width, height) > maxTIFFSide {
		return 0, 0
	}
	return width, height
}

// isReadable reports whether the compression of the page is one that is read.
func (d tiffDirectory) isReadable() bool {
	switch d.value(tagCompression, 0) {
	case 0, compressionNone, compressionGroup3, compressionGroup4, compressionLZW,
		compressionDeflate, compressionOldDeflate, compressionPackBits, compressionJPEG,
		compressionOldJPEG:
		return true
	}
	return false
}

// plane returns the number of the plane that is decoded if each sample of the pixels has a plane of
// its own: green, black, or the first one. It shows text as well as all of them together.
func (d tiffDirectory) plane() int {
	if d.value(tagPlanar, 0) != planarSeparate {
		return 0
	}
	switch d.value(tagPhotometric, 0) {
	case photometricRGB:
		return 1
	case photometricCMYK:
		return 3
	}
	return 0
}

// tiffSamples describes the samples of a strip or tile of a page that is not compressed by JPEG.
type tiffSamples struct {
	tiffDirectory
	bits, count int // bits of a sample, and samples of a pixel
	photometric int
	raw         []byte
}

// decodeSamples decodes a strip or tile in a variant that x/image/tiff does not read, for example
// with 4 bits, in CMYK or YCbCr, or damaged. It returns nil if nothing can be decoded.
func (d tiffDirectory) decodeSamples(
	ctx context.Context, strip []byte, size image.Point,
) image.Image {
	s := tiffSamples{
		tiffDirectory: d, bits: max(1, d.value(tagBits, 0)), count: max(1, d.value(tagSamples, 0)),
		photometric: d.value(tagPhotometric, 0),
	}
	if d.value(tagPlanar, 0) == planarSeparate {
		s.count = 1
		switch s.photometric {
		case photometricRGB, photometricYCbCr:
			s.photometric = photometricBlackIsZero
		case photometricCMYK:
			s.photometric = photometricWhiteIsZero
		}
	}
	if !slices.Contains([]int{1, 2, 4, 8, 10, 12, 16}, s.bits) || s.bits*s.count > maxPixelBits {
		return nil
	}
	stride := (size.X*s.bits*s.count + 7) / 8
	s.raw = d.decompress(contextReader{ctx, bytes.NewReader(strip)}, size, stride*size.Y)
	if len(s.raw) == 0 {
		return nil
	}
	if d.value(tagPredictor, 0) == 2 {
		s.undoPredictor(stride)
	}
	page := newWhite(size.X, size.Y)
	for y := range size.Y {
		for x := range size.X {
			if gray, ok := s.gray(x, y, stride, size.X); ok {
				page.Pix[y*page.Stride+x] = gray
			}
		}
	}
	return page
}

// isReversed reports whether the bits of each byte are in reverse order. The decoder of fax
// compression reverses them itself.
func (d tiffDirectory) isReversed() bool {
	compression := d.value(tagCompression, 0)
	return d.value(tagFillOrder, 0) == 2 && compression != compressionGroup3 &&
		compression != compressionGroup4 && !d.isJPEG()
}

// inOrder returns a strip or tile with the bits of each byte in the usual order.
func (d tiffDirectory) inOrder(strip []byte) []byte {
	if !d.isReversed() {
		return strip
	}
	reversed := make([]byte, len(strip))
	for i, b := range strip {
		reversed[i] = bits.Reverse8(b)
	}
	return reversed
}

// decompress returns up to limit bytes of a strip or tile, or what there is of them.
func (d tiffDirectory) decompress(r io.Reader, size image.Point, limit int) []byte {
	order := ccitt.MSB
	if d.value(tagFillOrder, 0) == 2 {
		order = ccitt.LSB
	}
	inverted := &ccitt.Options{Invert: d.value(tagPhotometric, 0) == photometricWhiteIsZero}
	switch d.value(tagCompression, 0) {
	case compressionNone, 0:
	case compressionGroup3:
		r = ccitt.NewReader(r, order, ccitt.Group3, size.X, size.Y, inverted)
	case compressionGroup4:
		r = ccitt.NewReader(r, order, ccitt.Group4, size.X, size.Y, inverted)
	case compressionLZW:
		r = lzw.NewReader(r, lzw.MSB, 8)
	case compressionDeflate, compressionOldDeflate:
		inflated, err := zlib.NewReader(r)
		if err != nil {
			return nil
		}
		r = inflated
	case compressionPackBits:
		packed, _ := io.ReadAll(r) // what can be read is decoded
		return unpackBits(packed, limit)
	default:
		return nil
	}
	raw := make([]byte, limit)
	n, _ := io.ReadFull(r, raw) // what can be read is decoded
	return raw[:n]
}

// unpackBits decompresses up to limit bytes (TIFF 6.0, section 9).
func unpackBits(packed []byte, limit int) (raw []byte) {
	for len(packed) > 1 && len(raw) < limit {
		n := int(int8(packed[0]))
		switch {
		case n >= 0:
			raw = append(raw, span(packed, 1, n+1)...)
			packed = packed[min(len(packed), n+2):]
			continue
		case n > -128:
			raw = append(raw, bytes.Repeat(packed[1:2], 1-n)...)
			packed = packed[1:]
		}
		packed = packed[1:]
	}
	return raw
}

// undoPredictor adds to each sample that of the pixel to the left (TIFF 6.0, section 14).
func (s *tiffSamples) undoPredictor(stride int) {
	for row := s.raw; len(row) > 0; row = row[min(len(row), stride):] {
		row := row[:min(len(row), stride)]
		switch s.bits {
		case 8:
			for i := s.count; i < len(row); i++ {
				row[i] += row[i-s.count]
			}
		case 16:
			for i := 2 * s.count; i+1 < len(row); i += 2 {
				s.order.PutUint16(row[i:], s.order.Uint16(row[i:])+s.order.Uint16(row[i-2*s.count:]))
			}
		}
	}
}

// gray returns the gray of a pixel. ok is false if the pixel is missing.
func (s *tiffSamples) gray(x, y, stride, width int) (gray byte, ok bool) {
	if s.photometric == photometricYCbCr && s.count >= 3 && s.bits == 8 {
		return s.luma(x, y, width)
	}
	var samples [4]byte
	for i := range min(s.count, len(samples)) {
		if samples[i], ok = s.sample(y*stride*8 + (x*s.count+i)*s.bits); !ok {
			return 0, false
		}
	}
	switch {
	case s.photometric == photometricWhiteIsZero:
		return 0xff - samples[0], true
	case s.photometric == photometricPalette:
		return s.color(samples[0]), true
	case s.photometric == photometricRGB && s.count >= 3:
		return toLuma(color.RGBA{samples[0], samples[1], samples[2], 0xff}), true
	case s.photometric == photometricCMYK && s.count >= 4:
		return toLuma(color.CMYK{C: samples[0], M: samples[1], Y: samples[2], K: samples[3]}), true
	}
	return samples[0], true
}

// sample returns the sample at an offset in bits, scaled to a byte unless it is the index of a
// color.
func (s *tiffSamples) sample(at int) (value byte, ok bool) {
	if at/8+(s.bits+7)/8 > len(s.raw) {
		return 0, false
	}
	switch {
	case s.bits == 16:
		return byte(s.order.Uint16(s.raw[at/8:]) >> 8), true
	case s.bits == 8:
		return s.raw[at/8], true
	case s.bits > 8: // in two bytes
		two := int(s.raw[at/8]) << 8
		if at/8+1 < len(s.raw) {
			two |= int(s.raw[at/8+1])
		}
		value := two >> (16 - at%8 - s.bits) & (1<<s.bits - 1)
		return byte(value * 0xff / (1<<s.bits - 1)), true
	}
	index := int(s.raw[at/8]) >> (8 - at%8 - s.bits) & (1<<s.bits - 1)
	if s.photometric == photometricPalette {
		return byte(index), true
	}
	return byte(index * 0xff / (1<<s.bits - 1)), true
}

// color returns the gray of a color of the palette, whose components follow one another.
func (s *tiffSamples) color(index byte) byte {
	n := 1 << s.bits
	component := func(i int) byte { return byte(s.value(tagColorMap, i*n+int(index)) >> 8) }
	return toLuma(color.RGBA{component(0), component(1), component(2), 0xff})
}

// luma returns the brightness of a pixel in YCbCr, where one pair of color differences follows the
// brightness of several pixels (TIFF 6.0, section 21).
func (s *tiffSamples) luma(x, y, width int) (gray byte, ok bool) {
	across, down := 2, 2
	if s.value(tagSubsampling, 0) > 0 {
		across, down = s.value(tagSubsampling, 0), max(1, s.value(tagSubsampling, 1))
	}
	units := (width + across - 1) / across
	unit := y/down*units + x/across
	return s.sample((unit*(across*down+2) + y%down*across + x%across) * 8)
}

func toLuma(c color.Color) byte { return color.GrayModel.Convert(c).(color.Gray).Y }
