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

	"github.com/klauspost/compress/zstd"
	"golang.org/x/image/tiff/lzw"
)

// Values of the tags of TIFF 6.0.
const (
	compressionNone, compressionPackBits      = 1, 32773
	compressionRLE, compressionRLEWord        = 2, 32771
	compressionGroup3, compressionGroup4      = 3, 4
	compressionLZW                            = 5
	compressionOldJPEG, compressionJPEG       = 6, 7
	compressionDeflate, compressionOldDeflate = 8, 32946
	compressionZSTD, compressionWebP          = 50000, 50001 // of libtiff

	photometricWhiteIsZero, photometricBlackIsZero = 0, 1
	photometricRGB, photometricPalette             = 2, 3
	photometricCMYK, photometricYCbCr              = 5, 6

	planarSeparate = 2
	// The colors are multiplied by the opacity if it is associated.
	opacityAssociated, opacityUnassociated = 1, 2
	// maxPixelBits is the largest number of bits of a pixel.
	maxPixelBits = 64
	// maxTIFFSide is the largest width and height in pixels. Products of two of them do not overflow.
	maxTIFFSide = 1 << 20
)

// isStandard reports whether x/image/tiff may read the page. It does not read some compressions,
// and it shows black as white in a page of a fax machine where black is zero, against TIFF 6.0,
// section 10.
func (d tiffDirectory) isStandard() bool {
	switch d.value(tagCompression, 0) {
	case compressionNone, compressionPackBits, compressionLZW, compressionDeflate,
		compressionOldDeflate:
		return d.offset == 4 && d.value(tagFillOrder, 0) != 2
	}
	return false
}

// isJPEG reports whether the page is compressed by JPEG.
func (d tiffDirectory) isJPEG() bool {
	compression := d.value(tagCompression, 0)
	return compression == compressionJPEG || compression == compressionOldJPEG
}

// isFax reports whether the page is compressed in the way of fax machines.
func (d tiffDirectory) isFax() bool {
	switch d.value(tagCompression, 0) {
	case compressionRLE, compressionRLEWord, compressionGroup3, compressionGroup4:
		return true
	}
	return false
}

// size returns the width and height in pixels, or 0 for one that cannot be right.
func (d tiffDirectory) size() (width, height int) {
	width, height = d.value(tagWidth, 0), d.value(tagLength, 0)
	if max(width, height) > maxTIFFSide {
		return 0, 0
	}
	return width, height
}

// isReadable reports whether the compression and the samples of the page are ones that are read.
func (d tiffDirectory) isReadable() bool {
	const floatingPoint = 3
	if d.value(tagSampleFormat, 0) == floatingPoint || d.value(tagBits, 0) > 16 {
		return false
	}
	switch d.value(tagCompression, 0) {
	case 0, compressionNone, compressionLZW, compressionDeflate, compressionOldDeflate,
		compressionPackBits, compressionZSTD, compressionWebP:
		return true
	}
	return d.isJPEG() || d.isFax()
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

// tiffSamples describes the samples of a strip or tile of a page, unless that is an image.
type tiffSamples struct {
	tiffDirectory
	bits, count int // bits of a sample, and samples of a pixel
	photometric int
	opacity     int // the number of the sample that is the opacity, or 0
	raw         []byte
}

// decodeSamples decodes a strip or tile in a variant that x/image/tiff does not read, for example
// with 4 bits, in CMYK or YCbCr, or damaged. It returns nil if nothing can be decoded. whole is
// false if pixels are missing.
func (d tiffDirectory) decodeSamples(
	ctx context.Context, strip []byte, size image.Point,
) (_ image.Image, whole bool) {
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
	maxBits := maxPixelBits
	if d.isFax() {
		maxBits = 1
	}
	if !slices.Contains([]int{1, 2, 4, 8, 10, 12, 16}, s.bits) || s.bits*s.count > maxBits {
		return nil, false
	}
	s.opacity = s.opacitySample()
	stride := (size.X*s.bits*s.count + 7) / 8
	s.raw = d.decompress(ctx, strip, size, stride*size.Y)
	if len(s.raw) == 0 {
		return nil, false
	}
	if d.value(tagPredictor, 0) == 2 {
		s.undoPredictor(stride)
	}
	page := newWhite(size.X, size.Y)
	whole = true
	for y := range size.Y {
		for x := range size.X {
			gray, ok := s.gray(x, y, stride, size.X)
			if ok {
				page.Pix[y*page.Stride+x] = gray
			}
			whole = whole && ok
		}
	}
	return page, whole
}

// inOrder returns a strip or tile with the bits of each byte in the usual order.
func (d tiffDirectory) inOrder(strip []byte) []byte {
	if d.value(tagFillOrder, 0) != 2 || d.isJPEG() {
		return strip
	}
	reversed := make([]byte, len(strip))
	for i, b := range strip {
		reversed[i] = bits.Reverse8(b)
	}
	return reversed
}

// decompress returns up to limit bytes of a strip or tile, or what there is of them.
func (d tiffDirectory) decompress(
	ctx context.Context, strip []byte, size image.Point, limit int,
) []byte {
	if d.isFax() {
		f := fax{
			compression: d.value(tagCompression, 0), mixed: d.value(tagT4Options, 0)&1 != 0,
			width: size.X, data: strip,
		}
		return f.decode(size.Y)
	}
	var r io.Reader = contextReader{ctx, bytes.NewReader(strip)}
	switch d.value(tagCompression, 0) {
	case compressionNone, 0:
	case compressionLZW:
		r = lzw.NewReader(r, lzw.MSB, 8)
	case compressionDeflate, compressionOldDeflate:
		inflated, err := zlib.NewReader(r)
		if err != nil {
			return nil
		}
		r = inflated
	case compressionZSTD:
		// Decoders should support windows of at least 8 MiB (RFC 8878, 3.1.1.1.2).
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(8<<20))
		if err != nil {
			return nil
		}
		defer z.Close()
		r = z
	case compressionPackBits:
		return unpackBits(strip, limit)
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
	var samples [5]byte
	for i := range min(s.count, len(samples)) {
		if samples[i], ok = s.sample(y*stride*8 + (x*s.count+i)*s.bits); !ok {
			return 0, false
		}
	}
	switch {
	case s.photometric == photometricWhiteIsZero:
		gray = 0xff - samples[0]
	case s.photometric == photometricPalette:
		gray = s.color(samples[0])
	case s.photometric == photometricRGB && s.count >= 3:
		gray = toLuma(color.RGBA{samples[0], samples[1], samples[2], 0xff})
	case s.photometric == photometricCMYK && s.count >= 4:
		gray = toLuma(color.CMYK{C: samples[0], M: samples[1], Y: samples[2], K: samples[3]})
	default:
		gray = samples[0]
	}
	if s.opacity > 0 {
		gray = s.overWhite(gray, samples[s.opacity])
	}
	return gray, true
}

// colors returns the number of samples of a pixel that are colors.
func (s *tiffSamples) colors() int {
	switch s.photometric {
	case photometricRGB:
		return 3
	case photometricCMYK:
		return 4
	}
	return 1
}

// opacitySample returns the number of the sample of a pixel that is its opacity, or 0.
func (s *tiffSamples) opacitySample() int {
	switch s.value(tagExtraSamples, 0) {
	case opacityAssociated, opacityUnassociated:
		if n := s.colors(); n < s.count {
			return n
		}
	}
	return 0
}

// overWhite returns the gray of a pixel on white paper.
func (s *tiffSamples) overWhite(gray, opacity byte) byte {
	shown := int(gray)
	if s.value(tagExtraSamples, 0) == opacityUnassociated {
		shown = shown * int(opacity) / 0xff
	}
	return byte(min(0xff, shown+0xff-int(opacity)))
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
