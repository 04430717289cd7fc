package extract

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"maps"
	"slices"
	"testing"
)

// tiffFile returns a TIFF of one page with the strips and fields, whose values are all long.
func tiffFile(img *image.Gray, strips [][]byte, fields map[int][]uint32) []byte {
	const rows = 100
	le := binary.LittleEndian
	b := []byte("II*\x00\x00\x00\x00\x00")
	all := map[int][]uint32{
		tagWidth: {uint32(img.Rect.Dx())}, tagLength: {uint32(img.Rect.Dy())}, tagRowsPerStrip: {rows},
		tagCompression: {compressionNone},
	}
	for _, strip := range strips {
		all[tagStripOffsets] = append(all[tagStripOffsets], uint32(len(b)))
		all[tagStripCounts] = append(all[tagStripCounts], uint32(len(strip)))
		b = append(b, strip...)
	}
	maps.Copy(all, fields)
	var directory []byte
	for _, tag := range slices.Sorted(maps.Keys(all)) {
		values := littleEndian(all[tag]...)
		at := le.AppendUint32(nil, uint32(len(b)))
		if len(values) > 4 {
			b = append(b, values...)
		} else {
			at = values
		}
		directory = le.AppendUint16(le.AppendUint16(directory, uint16(tag)), 4)
		directory = append(le.AppendUint32(directory, uint32(len(all[tag]))), at...)
	}
	le.PutUint32(b[4:], uint32(len(b)))
	b = append(le.AppendUint16(b, uint16(len(all))), directory...)
	return append(b, 0, 0, 0, 0)
}

// stripsOf returns strips of 100 rows of the samples that pixel returns for each pixel.
func stripsOf(img *image.Gray, pixel func(x int, gray byte) []byte) (strips [][]byte) {
	for y := 0; y < img.Rect.Dy(); y += 100 {
		var strip []byte
		for _, row := range slices.Collect(slices.Chunk(img.Pix[y*img.Stride:], img.Stride))[:100] {
			for x, gray := range row {
				strip = append(strip, pixel(x, gray)...)
			}
		}
		strips = append(strips, strip)
	}
	return strips
}

// packed returns strips of packets of literal bytes (TIFF 6.0, section 9), and one run of white.
func packed(strips [][]byte) (all [][]byte) {
	for _, strip := range strips {
		var p []byte
		for chunk := range slices.Chunk(strip, 100) {
			if bytes.Count(chunk, []byte{0xff}) == len(chunk) {
				p = append(p, byte(1-len(chunk)), 0xff)
			} else {
				p = append(append(p, byte(len(chunk)-1)), chunk...)
			}
		}
		all = append(all, p)
	}
	return all
}

func TestTIFFVariants(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{})
	page := textImage(1300, 1300, 60, letterLines...) // it is not scaled
	gray := stripsOf(page, func(_ int, p byte) []byte { return []byte{p} })
	half := byte(0)
	nibbles := stripsOf(page, func(x int, p byte) []byte {
		if x%2 == 0 {
			half = p &^ 0xf
			return nil
		}
		return []byte{half | p>>4}
	})
	// Pairs of rows share their color differences, so every second row is that above it.
	doubled := image.NewGray(page.Rect)
	for y := range 1300 {
		copy(doubled.Pix[y*1300:][:1300], page.Pix[y&^1*1300:][:1300])
	}
	chroma := make([][]byte, 13)
	for y := 0; y < 1300; y += 2 {
		for x := 0; x < 1300; x += 2 {
			a, b := doubled.Pix[y*1300+x], doubled.Pix[y*1300+x+1]
			chroma[y/100] = append(chroma[y/100], a, b, a, b, 128, 128)
		}
	}
	ramp := make([]uint32, 48) // the palette
	for i := range ramp {
		ramp[i] = uint32(i % 16 * 0x1111)
	}
	file := encodeJPEG(page)
	for name, c := range map[string]struct {
		content []byte
		want    *image.Gray
		most    float64 // the largest difference
		whole   bool
	}{
		"4 bits": {tiffFile(page, nibbles, map[int][]uint32{tagBits: {4}, tagPhotometric: {1}}), page, 8, true},
		"16 colors": {
			tiffFile(page, nibbles, map[int][]uint32{tagBits: {4}, tagPhotometric: {3}, tagColorMap: ramp}),
			page, 8, true,
		},
		"CMYK": {
			tiffFile(page, stripsOf(page, func(_ int, p byte) []byte { return []byte{0, 0, 0, 255 - p} }),
				map[int][]uint32{tagBits: {8, 8, 8, 8}, tagSamples: {4}, tagPhotometric: {5}}), page, 2, true,
		},
		"YCbCr": {
			tiffFile(page, chroma, map[int][]uint32{
				tagBits: {8, 8, 8}, tagSamples: {3}, tagPhotometric: {6}, tagSubsampling: {2, 2},
			}), doubled, 0, true,
		},
		"planes": {
			tiffFile(page, slices.Concat(make([][]byte, 13), gray, make([][]byte, 13)),
				map[int][]uint32{tagBits: {8, 8, 8}, tagSamples: {3}, tagPhotometric: {2}, tagPlanar: {2}}),
			page, 0, true,
		},
		"packed, with more samples": {
			tiffFile(page,
				packed(stripsOf(page, func(_ int, p byte) []byte { return []byte{p, p, p, 0, 0} })),
				map[int][]uint32{
					tagBits: {8, 8, 8, 8, 8}, tagSamples: {5}, tagPhotometric: {2},
					tagCompression: {compressionPackBits},
				}), page, 1, true,
		},
		"a strip is missing": {
			tiffFile(page, slices.Concat(gray[:12], [][]byte{nil}),
				map[int][]uint32{tagBits: {8}, tagPhotometric: {1}}), page, 10, false,
		},
		"JPEG of version 6": {
			tiffFile(page, [][]byte{file}, map[int][]uint32{
				tagBits: {8}, tagPhotometric: {1}, tagCompression: {compressionOldJPEG},
				tagJPEGFile: {8}, tagJPEGFileLength: {uint32(len(file))}, tagRowsPerStrip: {1300},
			}), page, 3, true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := openImage(c.content)
			if err != nil {
				t.Fatal(err)
			}
			got, whole, err := f.decode(t.Context())
			if err != nil || whole != c.whole || got.Rect != c.want.Rect {
				t.Fatalf("got %v, whole %v, %v, want %s, whole %v", got, whole, err, c.want.Rect, c.whole)
			}
			if d := difference(got, c.want); d > c.most {
				t.Errorf("got a difference of %.1f, want at most %.1f", d, c.most)
			}
			if got := decodeDetected(t, e, c.content); got.Rect != c.want.Rect {
				t.Errorf("got %s of the file, want %s", got.Rect, c.want.Rect)
			}
		})
	}
}

// The product of the sides of a tile must not overflow.
func TestHugeTIFFTiles(t *testing.T) {
	img := image.NewGray(image.Rect(0, 0, 12, 12))
	for _, side := range []uint32{1 << 20, 1<<31 - 1, 1 << 31, 1<<32 - 1} {
		content := tiffFile(img, [][]byte{make([]byte, 72)}, map[int][]uint32{
			tagBits: {4}, tagTileOffsets: {8}, tagTileCounts: {72},
			tagTileWidth: {side}, tagTileLength: {side},
		})
		page, _, err := readTIFF(content).decode(t.Context(), content)
		if !errors.Is(err, errDamagedImage) {
			t.Errorf("tiles with sides of %d: got %v, %v; want %v", side, page, err, errDamagedImage)
		}
	}
}

// Samples of a kind that no scanner writes are not read, although the file is sound.
func TestUnreadTIFFSamples(t *testing.T) {
	img := image.NewGray(image.Rect(0, 0, 40, 40))
	strips := [][]byte{make([]byte, 4*40*40)}
	for name, fields := range map[string]map[int][]uint32{
		"floating point": {tagBits: {16}, tagSampleFormat: {3}}, "32 bits": {tagBits: {32}},
	} {
		content := tiffFile(img, strips, fields)
		f, err := openImage(content)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := f.decode(t.Context()); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: got %v, want %v", name, err, ErrUnsupported)
		}
	}
}
