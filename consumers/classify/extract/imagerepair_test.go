package extract

import (
	"bytes"
	"image"
	"image/color"
	"image/gif"
	"image/png"
	"slices"
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
