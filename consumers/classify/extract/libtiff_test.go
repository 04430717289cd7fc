package extract

import (
	"bytes"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/image/draw"
)

// libtiffFile returns a file of testdata/tiff. They show page.png and were written by libtiff 4.5.0
// in the compression and variant that their name says.
func libtiffFile(t testing.TB, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", "tiff", name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// pagePixels returns the pixels of a file at their full size.
func pagePixels(t testing.TB, content []byte) (page *image.Gray, whole bool) {
	t.Helper()
	f, err := openImage(content)
	if err != nil {
		t.Fatal(err)
	}
	decoded, whole, err := f.pixels(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	page = newWhite(decoded.Bounds().Dx(), decoded.Bounds().Dy())
	draw.Draw(page, page.Rect, decoded, decoded.Bounds().Min, draw.Over)
	return page, whole
}

// libtiffPage returns the page that the files show.
func libtiffPage(t testing.TB) *image.Gray {
	t.Helper()
	page, err := png.Decode(bytes.NewReader(libtiffFile(t, "page.png")))
	if err != nil {
		t.Fatal(err)
	}
	return page.(*image.Gray)
}

// The variants that libtiff writes are read pixel for pixel, unless their compression loses some.
func TestTIFFOfLibtiff(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{})
	want := libtiffPage(t)
	files, err := filepath.Glob(filepath.Join("testdata", "tiff", "*.tif"))
	if err != nil || len(files) < 20 {
		t.Fatalf("got %d files, %v, want at least 20", len(files), err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		most := 0.0 // the largest difference
		switch kind, _, _ := strings.Cut(name, "_"); kind {
		case "jpeg":
			most = 4
		case "webp":
			most = 20 // x/image/webp does not expand the range of its colors
		}
		t.Run(name, func(t *testing.T) {
			content := libtiffFile(t, name)
			got, whole := pagePixels(t, content)
			if got.Rect != want.Rect || !whole {
				t.Fatalf("got %s, whole %v, want %s, whole", got.Rect, whole, want.Rect)
			}
			if d := difference(got, want); d > most {
				t.Errorf("got a difference of %.1f, want at most %.1f", d, most)
			}
			decodeDetected(t, e, content)
		})
	}
}

// All pages of a BigTIFF are found.
func TestPagesOfBigTIFF(t *testing.T) {
	content := libtiffFile(t, "pages_big.tif")
	offsets := tiffPages(content)
	if len(offsets) != 2 {
		t.Fatalf("got pages at %d, want 2", offsets)
	}
	for i, offset := range offsets {
		got, whole := pagePixels(t, tiffPage(content, offset))
		if rows := differingRows(got, libtiffPage(t)); len(rows) > 0 || !whole {
			t.Errorf("page %d: got rows %d that differ, whole %v, want none, whole", i+1, rows, whole)
		}
	}
}
