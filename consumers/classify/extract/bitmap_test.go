package extract

import (
	"encoding/binary"
	"image"
	"testing"
)

// bitmapOf returns a bitmap with a header of this size, what follows it, and the bytes that pixels
// returns for each row of img, from the bottom up, or from the top down if its height is negative.
func bitmapOf(
	img *image.Gray, header, height, bits, compression int, rest []byte,
	pixels func(row []byte) []byte,
) []byte {
	le := binary.LittleEndian
	width := img.Rect.Dx()
	b := append([]byte("BM"), make([]byte, 12+max(header, 12))...)
	if header > 40 {
		copy(b[14+40:], rest) // the masks are in the header
		rest = nil
	}
	b = append(b, rest...)
	le.PutUint32(b[10:], uint32(len(b)))
	le.PutUint32(b[14:], uint32(header))
	if header == 12 {
		le.PutUint16(b[18:], uint16(width))
		le.PutUint16(b[20:], uint16(height))
		le.PutUint16(b[22:], 1)
		le.PutUint16(b[24:], uint16(bits))
	} else {
		le.PutUint32(b[18:], uint32(width))
		le.PutUint32(b[22:], uint32(height))
		le.PutUint16(b[26:], 1)
		le.PutUint16(b[28:], uint16(bits))
		le.PutUint32(b[30:], uint32(compression))
	}
	for i := range img.Rect.Dy() {
		y := img.Rect.Dy() - 1 - i
		if height < 0 {
			y = i
		}
		row := pixels(img.Pix[y*img.Stride:][:width])
		b = append(append(b, row...), make([]byte, (4-len(row)%4)%4)...)
	}
	return b
}

func TestBitmapVariants(t *testing.T) {
	t.Parallel()
	page := libtiffPage(t)
	height := page.Rect.Dy()
	packed := func(row []byte) []byte {
		b := make([]byte, (len(row)+7)/8)
		for x, p := range row {
			b[x/8] |= p & (0x80 >> (x % 8))
		}
		return b
	}
	each := func(pixel func(gray byte) []byte) func(row []byte) []byte {
		return func(row []byte) (b []byte) {
			for _, p := range row {
				b = append(b, pixel(p)...)
			}
			return b
		}
	}
	twice := each(func(p byte) []byte { return []byte{p, p} })
	thrice := each(func(p byte) []byte { return []byte{p, p, p} })
	masks := func(masks ...uint32) []byte { return littleEndian(masks...) }
	for name, content := range map[string][]byte{
		"OS/2, 2 colors": bitmapOf(page, 12, height, 1, 0, []byte{0, 0, 0, 255, 255, 255}, packed),
		"OS/2, color":    bitmapOf(page, 12, height, 24, 0, nil, thrice),
		"top down":       bitmapOf(page, 40, -height, 24, 0, nil, thrice),
		"16 bits":        bitmapOf(page, 40, height, 16, 0, nil, twice),
		"16 bits, masks": bitmapOf(page, 40, height, 16, 3, masks(0xf800, 0x7e0, 0x1f), twice),
		"32 bits, masks": bitmapOf(page, 40, height, 32, 3, masks(0xff, 0xff00, 0xff0000),
			each(func(p byte) []byte { return []byte{p, p, p, 0} })),
		"32 bits, opacity": bitmapOf(page, 124, height, 32, 3,
			masks(0xff0000, 0xff00, 0xff, 0xff000000),
			each(func(p byte) []byte { return []byte{0, 0, 0, 255 - p} })),
	} {
		t.Run(name, func(t *testing.T) {
			if k := detect(content); k.name != "image/bmp" {
				t.Errorf("detected %s", k.name)
			}
			got, whole := pagePixels(t, content)
			if rows := differingRows(got, page); got.Rect != page.Rect || len(rows) > 0 || !whole {
				t.Errorf("got %s, rows %d that differ, whole %v, want all of %s",
					got.Rect, rows, whole, page.Rect)
			}
		})
	}
}
