package extract

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/jpeg"
	"strings"
	"testing"
	"time"

	"golang.org/x/image/draw"

	"intray/infra/local/localtest"
)

func encodeJPEG(img image.Image) []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 90}); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// jpegTIFF returns a TIFF of pages that are compressed by JPEG, in strips of 32 lines with shared
// tables. The planes of an image in color are declared as red, green and blue.
func jpegTIFF(pages ...image.Image) []byte {
	le := binary.LittleEndian
	b := []byte("II*\x00\x00\x00\x00\x00")
	link := 4 // offset of the offset of the next directory
	for _, page := range pages {
		const rows = 32
		photometric, samples := uint32(1), uint32(1)
		if _, ok := page.(*image.Gray); !ok {
			photometric, samples = photometricRGB, 3
		}
		width, height := page.Bounds().Dx(), page.Bounds().Dy()
		var offsets, counts []byte
		for y := 0; y < height; y += rows {
			var strip draw.Image = image.NewGray(image.Rect(0, 0, width, min(rows, height-y)))
			if samples == 3 {
				strip = image.NewRGBA(strip.Bounds())
			}
			draw.Draw(strip, strip.Bounds(), page, image.Pt(0, y), draw.Src)
			encoded := encodeJPEG(strip)
			offsets = le.AppendUint32(offsets, uint32(len(b)))
			counts = le.AppendUint32(counts, uint32(len(encoded)))
			b = append(b, encoded...)
		}
		n := uint32(len(offsets) / 4)
		place := func(values []byte) uint32 { // a single value is in the directory itself
			if n == 1 {
				return le.Uint32(values)
			}
			b = append(b, values...)
			return uint32(len(b) - len(values))
		}
		offsetsAt, countsAt := place(offsets), place(counts)
		le.PutUint32(b[link:], uint32(len(b)))
		fields := [][3]uint32{ // tag, number of values, value
			{tagWidth, 1, uint32(width)}, {tagLength, 1, uint32(height)}, {258, 1, 8},
			{tagCompression, 1, compressionJPEG}, {tagPhotometric, 1, photometric},
			{tagStripOffsets, n, offsetsAt}, {277, 1, samples}, {tagRowsPerStrip, 1, rows},
			{tagStripCounts, n, countsAt},
		}
		b = le.AppendUint16(b, uint16(len(fields)))
		for _, f := range fields {
			b = le.AppendUint16(b, uint16(f[0]))
			b = le.AppendUint16(b, 4)
			b = le.AppendUint32(le.AppendUint32(b, f[1]), f[2])
		}
		link = len(b)
		b = append(b, 0, 0, 0, 0)
	}
	return b
}

// rleBMP returns a bitmap of 8 bits a pixel with run-length encoding.
func rleBMP(img *image.Gray) []byte {
	le := binary.LittleEndian
	width, height := img.Rect.Dx(), img.Rect.Dy()
	const colors = 54 + 256*4
	b := append([]byte("BM"), make([]byte, colors-2)...)
	le.PutUint32(b[10:], colors)
	le.PutUint32(b[14:], 40)
	le.PutUint32(b[18:], uint32(width))
	le.PutUint32(b[22:], uint32(height))
	le.PutUint16(b[26:], 1)
	le.PutUint16(b[28:], 8)
	le.PutUint32(b[30:], 1)
	for i := range 256 {
		copy(b[54+4*i:], []byte{byte(i), byte(i), byte(i), 0})
	}
	for y := height - 1; y >= 0; y-- {
		line := img.Pix[y*img.Stride:][:width]
		if len(line) >= 4 { // the first pixels without encoding, padded to two bytes
			b = append(b, 0, 3, line[0], line[1], line[2], 0)
			line = line[3:]
		}
		for len(line) > 0 {
			n := 1
			for n < len(line) && n < 255 && line[n] == line[0] {
				n++
			}
			b = append(b, byte(n), line[0])
			line = line[n:]
		}
		b = append(b, 0, 0)
	}
	return append(b, 0, 1)
}

// turned returns the image, turned clockwise by an angle in degrees, on a white page.
func turned(img *image.Gray, angle float64) *image.Gray {
	return turn(img, -angle)
}

// difference returns the mean difference between the pixels of two images of the same size.
func difference(a, b *image.Gray) float64 {
	sum := 0.0
	for i := range a.Pix {
		sum += max(float64(a.Pix[i])-float64(b.Pix[i]), float64(b.Pix[i])-float64(a.Pix[i]))
	}
	return sum / float64(len(a.Pix))
}

func TestPictureFormats(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{})
	page := textImage(1300, 1300, 60, letterLines...) // it is not scaled
	red := image.NewRGBA(page.Rect)
	for i, p := range page.Pix {
		red.Set(i%page.Stride, i/page.Stride, color.RGBA{p, p / 2, p, 0xff})
	}
	grayOfRed := image.NewGray(page.Rect)
	draw.Draw(grayOfRed, page.Rect, red, image.Point{}, draw.Src)
	whole := encodeJPEG(page)
	for name, c := range map[string]struct {
		content []byte
		want    *image.Gray
		most    float64 // the largest difference
	}{
		"TIFF, JPEG":              {jpegTIFF(page), page, 3},
		"TIFF, JPEG in color":     {jpegTIFF(red), grayOfRed, 60},
		"BMP, run-length encoded": {rleBMP(page), page, 0},
		"JPEG without its end":    {whole[:len(whole)-2], page, 3},
		"JPEG, half":              {whole[:len(whole)/2], page, 100},
	} {
		t.Run(name, func(t *testing.T) {
			got := decodeDetected(t, e, c.content)
			if got.Rect != c.want.Rect {
				t.Fatalf("got %s, want %s", got.Rect, c.want.Rect)
			}
			if d := difference(got, c.want); d > c.most {
				t.Errorf("got a difference of %.1f, want at most %.1f", d, c.most)
			}
			text := image.Rect(0, 0, 1300, 200) // the first lines are there
			top := got.SubImage(text).(*image.Gray)
			if dark := len(darkPoints(top)); dark < 100 {
				t.Errorf("got %d dark pixels at the top, want more", dark)
			}
		})
	}
}

// Every page of a TIFF is recognized, up to the number of pages that are recognized in a PDF.
func TestPagesOfTIFF(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{Tesseract: fakeTesseract(t, printWord+"96 page"), OCRTimeout: time.Minute})
	page := textImage(100, 60, 20, "x")
	for _, c := range []struct {
		pages, recognized int
	}{{1, 1}, {3, 3}, {8, maxScans}} {
		pages := make([]image.Image, c.pages)
		for i := range pages {
			pages[i] = page
		}
		got, err := extractBytes(e, jpegTIFF(pages...))
		if err != nil || got.Pages != c.pages || got.OCRPages != c.recognized ||
			strings.Count(got.Text, "page") != c.recognized ||
			got.Truncated != (c.pages > c.recognized) {
			t.Errorf("%d pages: got %+v, %v, want %d recognized", c.pages, got, err, c.recognized)
		}
	}
	loop := jpegTIFF(page)
	copy(loop[len(loop)-4:], loop[4:8]) // the directory is its own successor
	if n := len(tiffPages(loop)); n != 1 {
		t.Errorf("got %d pages of a loop, want 1", n)
	}
}

func TestSkew(t *testing.T) {
	t.Parallel()
	lines := strings.Split(strings.Repeat("The landlord and the tenant agree on the rent\n", 12), "\n")
	page := textImage(1000, 1000, 34, lines...)
	for _, angle := range []float64{-10, -7, -2, 0, 3, 7, 11} {
		if got := skew(turned(page, angle)); got < angle-0.6 || got > angle+0.6 {
			t.Errorf("got %.1f degrees, want %.1f", got, angle)
		}
	}
	if got := skew(newWhite(500, 500)); got != 0 {
		t.Errorf("got %.1f degrees for an empty page, want 0", got)
	}
}

// TestSkewedPicture runs the real tesseract, which by itself recognizes nothing in this image.
func TestSkewedPicture(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{
		Tesseract: localtest.Tesseract(t), Timeout: time.Minute, OCRTimeout: 5 * time.Minute,
	})
	page := newWhite(1300, 1000)
	letter := textImage(900, 300, 36, letterLines...)
	draw.Draw(page, letter.Rect.Add(image.Pt(200, 350)), letter, image.Point{}, draw.Src)
	got, err := extractBytes(e, encodePNG(turned(page, 7)))
	if err != nil || !strings.Contains(got.Text, letterLines[0]) || got.OCRPages != 1 {
		t.Errorf("got %+v, %v, want text with %q", got, err, letterLines[0])
	}
}

// What can be decoded of a JPEG is read. The text is truncated only if a part of the picture is
// missing, not if only the end marker is.
func TestCutJPEG(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{Tesseract: fakeTesseract(t, printWord+"96 page")})
	whole := encodeJPEG(letterImage())
	for name, c := range map[string]struct {
		length    int
		truncated bool
	}{
		"whole":                 {len(whole), false},
		"without its end":       {len(whole) - 2, false},
		"cut off in the middle": {len(whole) * 6 / 10, true},
	} {
		got, err := extractBytes(e, whole[:c.length])
		if err != nil || got.Text != "page" || got.Truncated != c.truncated {
			t.Errorf("%s: got %+v, %v, want the text page, truncated %v", name, got, err, c.truncated)
		}
	}
}
