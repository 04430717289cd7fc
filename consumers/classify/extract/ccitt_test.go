package extract

import (
	"bytes"
	"image"
	"testing"
)

// stripOf returns the data of the only strip of a TIFF.
func stripOf(content []byte) []byte {
	d := readTIFF(content)
	return span(content, d.value(tagStripOffsets, 0), d.value(tagStripCounts, 0))
}

// differingRows returns the rows in which two images of the same size differ.
func differingRows(a, b *image.Gray) (rows []int) {
	for y := range a.Rect.Dy() {
		if !bytes.Equal(a.Pix[y*a.Stride:][:a.Rect.Dx()], b.Pix[y*b.Stride:][:b.Rect.Dx()]) {
			rows = append(rows, y)
		}
	}
	return rows
}

// Damage between two ends of lines of Group 3 is limited to a few rows. Of a page that is cut off,
// the rows before that are read, and it is not whole.
func TestDamagedFax(t *testing.T) {
	t.Parallel()
	want := libtiffPage(t)
	for _, name := range []string{"g3_1d.tif", "g3_1d_fill.tif", "g3_2d.tif", "g3_2d_fill.tif"} {
		content := libtiffFile(t, name)
		strip := stripOf(content)
		strip[len(strip)/2] ^= 0xff
		got, whole := pagePixels(t, content)
		if rows := differingRows(got, want); len(rows) == 0 || len(rows) > 4 || !whole {
			t.Errorf("%s: got rows %d that differ, whole %v, want a few, whole", name, rows, whole)
		}
	}
	for _, name := range []string{"g3_1d.tif", "g3_2d_fill.tif", "g4.tif", "rle.tif", "rlew.tif"} {
		content := libtiffFile(t, name)
		strip := stripOf(content)
		clear(strip[len(strip)/2:])
		got, whole := pagePixels(t, content)
		rows := differingRows(got, want)
		if whole || len(rows) == 0 || rows[0] < 30 {
			t.Errorf("%s: got rows %d that differ, whole %v, want only the last ones, not whole",
				name, rows, whole)
		}
	}
}

// Every row has as many bytes as its width requires, and there are no more rows than declared.
func FuzzFax(f *testing.F) {
	for _, name := range []string{"rle.tif", "rlew.tif", "g3_1d_fill.tif", "g3_2d.tif", "g4.tif"} {
		d := readTIFF(libtiffFile(f, name))
		width, height := d.size()
		f.Add(stripOf(libtiffFile(f, name)), d.value(tagCompression, 0),
			d.value(tagT4Options, 0) != 0, uint16(width), uint16(height))
	}
	f.Fuzz(func(t *testing.T, data []byte, compression int, mixed bool, width, height uint16) {
		if width == 0 || int(width)*int(height) > 1<<20 {
			return // pages have a width, and their size is limited
		}
		x := fax{compression: compression, mixed: mixed, width: int(width), data: data}
		raw, stride := x.decode(int(height)), (int(width)+7)/8
		if len(raw)%stride != 0 || len(raw) > stride*int(height) {
			t.Errorf("got %d bytes, want rows of %d, at most %d rows", len(raw), stride, height)
		}
	})
}
