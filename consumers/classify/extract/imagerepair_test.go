package extract

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/image/bmp"
	"golang.org/x/image/draw"
)

// Of an image that is cut off, the rows are read that there are. Those of a BMP are stored from the
// bottom up.
func TestImagesCutOff(t *testing.T) {
	t.Parallel()
	page := libtiffPage(t)
	as := func(img draw.Image, encode func(*bytes.Buffer, image.Image) error) []byte {
		draw.Draw(img, page.Rect, page, image.Point{}, draw.Src)
		var b bytes.Buffer
		if err := encode(&b, img); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	asPNG := func(b *bytes.Buffer, img image.Image) error { return png.Encode(b, img) }
	asBMP := func(b *bytes.Buffer, img image.Image) error { return bmp.Encode(b, img) }
	asGIF := func(b *bytes.Buffer, img image.Image) error { return gif.Encode(b, img, nil) }
	two := color.Palette{color.White, color.Black}
	grays := make(color.Palette, 200)
	for i := range grays {
		grays[i] = color.Gray{255 - byte(i)}
	}
	files := map[string][]byte{
		"GIF":          as(image.NewPaletted(page.Rect, two), asGIF),
		"GIF, grays":   as(image.NewPaletted(page.Rect, grays), asGIF),
		"PNG, gray":    as(image.NewGray(page.Rect), asPNG),
		"PNG, color":   as(image.NewRGBA(page.Rect), asPNG),
		"PNG, opacity": as(image.NewNRGBA64(page.Rect), asPNG),
		"PNG, palette": as(image.NewPaletted(page.Rect, two), asPNG),
		"PNG, 16 bits": as(image.NewGray16(page.Rect), asPNG),
		"BMP, gray":    as(image.NewGray(page.Rect), asBMP),
		"BMP, palette": as(image.NewPaletted(page.Rect, grays), asBMP),
		"BMP, color":   as(image.NewRGBA(page.Rect), asBMP),
		"WebP":         stripOf(libtiffFile(t, "webp_rgb.tif")),
	}
	for name, content := range files {
		t.Run(name, func(t *testing.T) {
			want, whole := pagePixels(t, content)
			if !whole {
				t.Error("got a part of the image, want all of it")
			}
			got, whole := pagePixels(t, content[:len(content)*2/3])
			if got.Rect != want.Rect || whole {
				t.Fatalf("got %s, whole %v, want %s, not whole", got.Rect, whole, want.Rect)
			}
			rows := differingRows(got, want)
			if name[:3] == "BMP" { // from the bottom up
				slices.Reverse(rows)
				for i := range rows {
					rows[i] = page.Rect.Dy() - 1 - rows[i]
				}
			}
			if len(rows) == 0 || rows[0] < 20 {
				t.Errorf("got rows %d that differ, want only some of the last ones", rows)
			}
		})
	}
	for name, end := range map[string]int{"PNG, color": 12, "GIF": 1} {
		t.Run(name+", without its end", func(t *testing.T) {
			content := files[name]
			got, whole := pagePixels(t, content[:len(content)-end])
			if rows := differingRows(got, page); len(rows) > 0 || !whole {
				t.Errorf("got rows %d that differ, whole %v, want all rows", rows, whole)
			}
		})
	}
}

// A JPEG that is damaged is read to the damage, as if it were cut off there.
func TestDamagedJPEG(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, libtiffPage(t), nil); err != nil {
		t.Fatal(err)
	}
	content := b.Bytes()
	want, _ := pagePixels(t, content)
	for name, damage := range map[string]string{
		"end in the middle": "\xff\xd9", "wrong codes": strings.Repeat("\xff\x00", 20),
	} {
		damaged := bytes.Clone(content)
		copy(damaged[len(damaged)*2/3:], damage)
		got, whole := pagePixels(t, damaged)
		if rows := differingRows(got, want); whole || len(rows) == 0 || rows[0] < 20 {
			t.Errorf("%s: got rows %d that differ, whole %v, want only some of the last ones",
				name, rows, whole)
		}
	}
}

// The later scans of a progressive JPEG make it sharper.
func TestProgressiveJPEGCutOff(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("testdata/cases/i_progressive.jpg")
	if err != nil {
		t.Fatal(err)
	}
	want, _ := pagePixels(t, content)
	for percent := 40; percent < 100; percent += 5 {
		got, whole := pagePixels(t, content[:len(content)*percent/100])
		if whole || got.Rect != want.Rect {
			t.Fatalf("%d %%: got %s, whole %v, want %s, not whole", percent, got.Rect, whole, want.Rect)
		}
		difference := 0
		for i := range want.Pix {
			difference += max(int(want.Pix[i])-int(got.Pix[i]), int(got.Pix[i])-int(want.Pix[i]))
		}
		if mean := difference / len(want.Pix); mean > 25 {
			t.Errorf("%d %%: pixels differ by %d on average", percent, mean)
		}
	}
}

// interlacedPNG returns the image as an interlaced PNG.
func interlacedPNG(img *image.Gray) []byte {
	var rows bytes.Buffer
	for _, pass := range adam7 {
		for y := pass[1]; y < img.Rect.Dy() && pass[0] < img.Rect.Dx(); y += pass[3] {
			rows.WriteByte(0) // not filtered
			for x := pass[0]; x < img.Rect.Dx(); x += pass[2] {
				rows.WriteByte(img.GrayAt(x, y).Y)
			}
		}
	}
	header := binary.BigEndian.AppendUint32(nil, uint32(img.Rect.Dx()))
	header = binary.BigEndian.AppendUint32(header, uint32(img.Rect.Dy()))
	var p pngRows
	p.out.WriteString("\x89PNG\r\n\x1a\n")
	p.chunk("IHDR", append(header, 8, 0, 0, 0, 1))
	p.chunk("IDAT", deflate(rows.Bytes()))
	p.chunk("IEND", nil)
	return p.out.Bytes()
}

// An interlaced PNG that is cut off is reduced to the passes that are whole.
func TestInterlacedPNGCutOff(t *testing.T) {
	t.Parallel()
	page := libtiffPage(t)
	content := interlacedPNG(page)
	if got, whole := pagePixels(t, content); len(differingRows(got, page)) > 0 || !whole {
		t.Fatalf("got rows %d that differ, whole %v, want all", differingRows(got, page), whole)
	}
	steps := map[int]bool{}
	for percent := 10; percent < 100; percent += 10 {
		got, whole := pagePixels(t, content[:len(content)*percent/100])
		step := (page.Rect.Dx() + got.Rect.Dx() - 1) / got.Rect.Dx()
		steps[step] = true
		want := image.NewGray(got.Rect)
		for y := range got.Rect.Dy() {
			for x := range got.Rect.Dx() {
				want.SetGray(x, y, page.GrayAt(x*step, y*step))
			}
		}
		if rows := differingRows(got, want); len(rows) > 0 || whole {
			t.Errorf("%d %%: got rows %d that differ from every pixel of %d, whole %v",
				percent, rows, step, whole)
		}
	}
	f, err := openImage(content[:len(content)/2])
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := f.decode(t.Context()); err != nil || slices.Min(got.Pix) > 100 {
		t.Errorf("got %v, and no dark pixel for tesseract", err)
	}
	if !steps[8] || !steps[4] || !steps[2] {
		t.Errorf("got steps %v, want 8, 4 and 2 among them", steps)
	}
	for _, size := range []image.Rectangle{image.Rect(0, 0, 20, 20), image.Rect(0, 0, 33, 21)} {
		small := image.NewGray(size)
		content := interlacedPNG(small)
		if got, _ := pagePixels(t, content[:len(content)-12]); got.Rect != size {
			t.Errorf("without its end: got %s, want %s", got.Rect, size)
		}
	}
}
