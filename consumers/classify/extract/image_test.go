package extract

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"testing"
	"time"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
)

func TestImageFormats(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{})
	letter := letterImage()
	palette := image.NewPaletted(letter.Rect, color.Palette{color.Black, color.White})
	transparent := image.NewNRGBA(letter.Rect) // black letters without a background
	white := image.NewNRGBA(letter.Rect)       // white letters without a background
	for i, p := range letter.Pix {
		palette.Pix[i] = p >> 7
		transparent.Pix[4*i+3] = 255 - p
		copy(white.Pix[4*i:], []byte{0xff, 0xff, 0xff, 255 - p})
	}
	want := toGray(letter)
	for name, encode := range map[string]func(io.Writer) error{
		"png":             func(w io.Writer) error { return png.Encode(w, letter) },
		"transparent png": func(w io.Writer) error { return png.Encode(w, transparent) },
		"white letters":   func(w io.Writer) error { return png.Encode(w, white) },
		"jpeg":            func(w io.Writer) error { return jpeg.Encode(w, letter, nil) },
		"tiff": func(w io.Writer) error {
			return tiff.Encode(w, letter, &tiff.Options{Compression: tiff.Deflate})
		},
		"gif": func(w io.Writer) error { return gif.Encode(w, palette, nil) },
		"bmp": func(w io.Writer) error { return bmp.Encode(w, letter) },
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := encode(&b); err != nil {
				t.Fatal(err)
			}
			got := decodeDetected(t, e, b.Bytes())
			differing := 0
			for i := range got.Pix {
				if d := int(got.Pix[i]) - int(want.Pix[i]); d < -100 || d > 100 {
					differing++
				}
			}
			if got.Rect != want.Rect || differing > len(got.Pix)/100 {
				t.Errorf("got %s with %d differing pixels of %d, want %s with at most 1%%",
					got.Rect, differing, len(got.Pix), want.Rect)
			}
		})
	}
	// There is no encoder for WebP, so this is another image.
	t.Run("webp", func(t *testing.T) { decodeDetected(t, e, webpOfOneColor()) })
}

// decodeDetected checks that content is detected as an image and returns the decoded image.
func decodeDetected(t *testing.T, e *Extractor, content []byte) *image.Gray {
	t.Helper()
	if kind := detect(content); kind.format != formatImage {
		t.Errorf("detected %s, want an image", kind.name)
	}
	d := document{sequential: bytes.NewReader(content), size: int64(len(content))}
	images, _, err := newReading(e, ocrIfNeeded).decodeImage(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	return images[0]
}

// webpOfOneColor returns an image of 16×16 pixels of one color in the lossless format of WebP. Each
// of its prefix codes has only one symbol, so the pixels take no bits.
func webpOfOneColor() []byte {
	var bits, n uint64
	put := func(value, width uint64) { bits |= value << n; n += width }
	put(15, 14)
	put(15, 14)
	put(0, 1+3) // no alpha, version 0
	put(0, 1)   // no transform
	put(0, 1)   // no color cache
	put(0, 1)   // no meta prefix codes
	for range 5 {
		put(1, 1) // a simple code
		put(0, 1) // of one symbol
		put(0, 1) // in one bit
		put(0, 1) // which is 0
	}
	frame := binary.LittleEndian.AppendUint64([]byte{0x2f}, bits)
	b := binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(4+8+len(frame)+1))
	b = binary.LittleEndian.AppendUint32(append(b, "WEBPVP8L"...), uint32(len(frame)))
	return append(append(b, frame...), 0)
}

// pngHeader returns a PNG whose header declares this size, with one row of data.
func pngHeader(width, height uint32) []byte { return pngOfType(width, height, 8, 2, 0) }

// pngOfType returns the same PNG as pngHeader, but with the given bit depth, color type and
// interlace method. A gray image also declares a transparent color.
func pngOfType(width, height uint32, depth, colorType, interlace byte) []byte {
	var b bytes.Buffer
	chunk := func(name string, content []byte) {
		_ = binary.Write(&b, binary.BigEndian, uint32(len(content)))
		sum := crc32.ChecksumIEEE(append([]byte(name), content...))
		b.WriteString(name)
		b.Write(content)
		_ = binary.Write(&b, binary.BigEndian, sum)
	}
	b.WriteString("\x89PNG\r\n\x1a\n")
	header := binary.BigEndian.AppendUint32(nil, width)
	header = binary.BigEndian.AppendUint32(header, height)
	chunk("IHDR", append(header, depth, colorType, 0, 0, interlace))
	if colorType == 0 {
		chunk("tRNS", []byte{0, 1})
	}
	var row bytes.Buffer
	z := zlib.NewWriter(&row)
	_, _ = z.Write(make([]byte, 1+3*width))
	_ = z.Close()
	chunk("IDAT", row.Bytes())
	return b.Bytes()
}

// jpegHeader returns a JPEG whose frame header declares this size, with the data of 64×64 pixels.
func jpegHeader(width, height uint16) []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewRGBA(image.Rect(0, 0, 64, 64)), nil); err != nil {
		panic(err)
	}
	at := bytes.Index(b.Bytes(), []byte{0xff, 0xc0})
	binary.BigEndian.PutUint16(b.Bytes()[at+5:], height)
	binary.BigEndian.PutUint16(b.Bytes()[at+7:], width)
	return b.Bytes()
}

// progressiveJPEG returns a progressive JPEG with n scans, each of which covers all pixels.
func progressiveJPEG(n int) []byte {
	baseline := jpegHeader(3500, 3500)
	frame := bytes.Index(baseline, []byte{0xff, 0xc0})
	scan := bytes.Index(baseline, []byte{0xff, 0xda})
	b := bytes.Clone(baseline[:scan])
	b[frame+1] = 0xc2
	// A Huffman table with one code, a single bit 0. It means that the next 2^14 blocks are empty.
	b = append(b, 0xff, 0xc4, 0, 20, 0x10, 1)
	b = append(append(b, make([]byte, 15)...), 0xe0)
	// A scan of the coefficients 1 to 63 of the first component.
	pass := append([]byte{0xff, 0xda, 0, 8, 1, 1, 0, 1, 63, 0}, make([]byte, 24)...)
	return append(append(b, bytes.Repeat(pass, n)...), 0xff, 0xd9)
}

// The image takes minutes to decode and contains no text. An error that names the timeout therefore
// shows that decoding was stopped, even on a slow machine.
func TestEndlessJPEGIsStopped(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{Tesseract: fakeTesseract(t, ""), Timeout: 2 * time.Second})
	_, err := extractBytes(e, progressiveJPEG(100_000))
	if !wasStopped(err) {
		t.Errorf("got error %v, want that it took longer than the limit", err)
	}
}

// webpOfTwoSizes returns a WebP with a canvas of 16×16 pixels and a frame of 16384×16384.
func webpOfTwoSizes() []byte {
	// VP8L: 14 bits each for the width and the height, less one.
	frame := "\x2f\xff\xff\xff\x0f\x00\x00\x00\x00\x00"
	return []byte("RIFF\x28\x00\x00\x00WEBP" +
		"VP8X\x0a\x00\x00\x00\x00\x00\x00\x00\x0f\x00\x00\x0f\x00\x00" +
		"VP8L\x0a\x00\x00\x00" + frame)
}

// animatedWebP returns an animation whose only frame is that of a still WebP, with a canvas of
// 5,000×5,000 pixels.
func animatedWebP(still []byte) []byte {
	chunk := func(name string, content ...byte) []byte {
		content = append(binary.LittleEndian.AppendUint32([]byte(name), uint32(len(content))), content...)
		return append(content, make([]byte, len(content)%2)...)
	}
	file := []byte("WEBP")
	file = append(file, chunk("VP8X", 2, 0, 0, 0, 0x87, 0x13, 0, 0x87, 0x13, 0)...)
	file = append(file, chunk("ANIM", make([]byte, 6)...)...)
	frame := append(make([]byte, 16), chunk("ALPH", 0, 0)...)
	file = append(file, chunk("ANMF", append(frame, still[12:]...)...)...)
	return chunk("RIFF", file...)
}

// The first frame of an animation is read.
func TestAnimatedWebP(t *testing.T) {
	t.Parallel()
	still := stripOf(libtiffFile(t, "webp_rgb.tif"))
	want, _ := pagePixels(t, still)
	content := animatedWebP(still)
	got, whole := pagePixels(t, content)
	if rows := differingRows(got, want); got.Rect != want.Rect || len(rows) > 0 || !whole {
		t.Errorf("got %s, rows %d that differ, whole %v, want the frame", got.Rect, rows, whole)
	}
	got, whole = pagePixels(t, content[:len(content)*2/3])
	if rows := differingRows(got, want); got.Rect != want.Rect || rows[0] < 20 || whole {
		t.Errorf("got %s, rows %d that differ, whole %v, want a part of the frame", got.Rect, rows, whole)
	}
}

// webpHeader returns the header of a lossless WebP.
func webpHeader(width, height uint32) []byte {
	b := append([]byte("RIFF\x1e\x00\x00\x00WEBPVP8L\x0a\x00\x00\x00"), 0x2f)
	b = binary.LittleEndian.AppendUint32(b, width-1|(height-1)<<14)
	return append(b, make([]byte, 5)...)
}

// adobeJPEG returns the header of a JPEG with Adobe's marker, with which the pixels may be RGB.
func adobeJPEG(width, height uint16) []byte {
	const start = "\xff\xd8"
	const marker = "\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
	return bytes.Replace(jpegHeader(width, height), []byte(start), []byte(start+marker), 1)
}

func TestHostileImages(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{Tesseract: fakeTesseract(t, printWord+"90 word")})
	pngLetter := encodePNG(letterImage())
	var tiffLetter, jpegLetter bytes.Buffer
	if err := errors.Join(
		tiff.Encode(&tiffLetter, letterImage(), nil), jpeg.Encode(&jpegLetter, letterImage(), nil),
	); err != nil {
		t.Fatal(err)
	}
	const pngSignature = "\x89PNG\r\n\x1a\n"
	for name, c := range map[string]struct {
		content []byte
		want    error
	}{
		"png of 30000×30000 pixels":        {pngHeader(30000, 30000), ErrUnsupported},
		"png of 2^31-1 rows":               {pngHeader(100, 1<<31-1), ErrUnsupported},
		"gray png with transparency":       {pngOfType(8000, 8000, 8, 0, 0), ErrUnsupported},
		"16-bit gray png, transparency":    {pngOfType(6000, 6000, 16, 0, 0), ErrUnsupported},
		"interlaced png":                   {pngOfType(6000, 6000, 8, 6, 1), ErrUnsupported},
		"jpeg with Adobe's marker":         {adobeJPEG(6000, 6000), ErrUnsupported},
		"lossless webp of 42 megapixels":   {webpHeader(6500, 6500), ErrUnsupported},
		"jpeg of 30000×30000 pixels":       {jpegHeader(30000, 30000), ErrUnsupported},
		"png with one row of 1000":         {pngHeader(1000, 1000), nil},
		"png without a row":                {pngLetter[:60], ErrBroken},
		"jpeg of 3000×3000, data of 64×64": {jpegHeader(3000, 3000), ErrBroken},
		"truncated png":                    {pngLetter[:len(pngLetter)/2], nil},
		"truncated jpeg":                   {jpegLetter.Bytes()[:100], ErrBroken},
		"truncated tiff":                   {tiffLetter.Bytes()[:200], ErrBroken},
		"webp of two sizes":                {webpOfTwoSizes(), ErrBroken},
		"animation of 42 megapixels":       {animatedWebP(webpHeader(6500, 6500)), ErrUnsupported},
		"animation without a frame":        {animatedWebP(make([]byte, 12)), ErrBroken},
		"1×1 pixel":                        {encodePNG(image.NewGray(image.Rect(0, 0, 1, 1))), ErrNoText},
		"60000×12 pixels":                  {encodePNG(image.NewGray(image.Rect(0, 0, 60000, 12))), nil},
		"header of a gif":                  {[]byte("GIF89a\xff\xff\xff\xff\x00\x00\x00"), ErrUnsupported},
		"header of a bmp":                  {append([]byte("BM"), make([]byte, 60)...), ErrUnsupported},
		"jpeg with the signature of a png": {append([]byte(pngSignature), jpegLetter.Bytes()...), ErrBroken},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			got, err := extractBytes(e, c.content)
			took := time.Since(start).Round(time.Millisecond)
			if !errors.Is(err, c.want) {
				t.Errorf("got %+v, %v, want error %v", got, err, c.want)
			}
			t.Logf("%d bytes, %s, error %v", len(c.content), took, err)
		})
	}
	t.Run("larger than MaxBytes", func(t *testing.T) {
		program := fakeTesseract(t, printWord+"90 word")
		e := setup(t, Config{Tesseract: program, MaxBytes: 1000})
		if _, err := extractBytes(e, pngLetter); !errors.Is(err, ErrUnsupported) {
			t.Errorf("got error %v, want %v", err, ErrUnsupported)
		}
	})
	t.Run("storage fails", func(t *testing.T) {
		down := errors.New("storage is down")
		r := io.MultiReader(bytes.NewReader(pngLetter[:5000]), errReader{down})
		_, err := e.Text(t.Context(), r, int64(len(pngLetter)), "")
		checkExternalError(t, err, down)
	})
}

// Images are scaled down to the limits for tesseract, but no further.
func TestImagesAreReduced(t *testing.T) {
	for _, c := range []struct{ width, height, wantWidth, wantHeight int }{
		{2000, 2800, 2000, 2800},
		{6000, 6000, 2449, 2449},
		{1000, 7016, 500, 3508},
	} {
		got := toGray(image.NewGray(image.Rect(0, 0, c.width, c.height))).Rect
		if got.Dx() != c.wantWidth || got.Dy() != c.wantHeight {
			t.Errorf("%d×%d: got %s, want %d×%d",
				c.width, c.height, got.Size(), c.wantWidth, c.wantHeight)
		}
	}
}

// A large image waits while a sandbox uses more than smallMemory, and vice versa. Small images do
// not wait.
func TestLargeImagesWaitForLargeMemory(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{Tesseract: fakeTesseract(t, printWord+"90 word")})
	large := encodePNG(image.NewGray(image.Rect(0, 0, 8200, 8200)))
	check := func(t *testing.T, content []byte) {
		t.Helper()
		if got, err := extractBytes(e, content); err != nil || got.Text != "word" {
			t.Errorf("got %+v, %v, want text %q", got, err, "word")
		}
	}
	acquire := func(t *testing.T) func() {
		t.Helper()
		release, err := e.pdfs.acquireLargeMemory(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return release
	}
	t.Run("small image while the memory is used", func(t *testing.T) {
		defer acquire(t)()
		check(t, encodePNG(letterImage()))
	})
	t.Run("large image while the memory is used", func(t *testing.T) {
		defer acquire(t)()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := e.Text(ctx, bytes.NewReader(large), int64(len(large)), "")
		checkExternalError(t, err, context.DeadlineExceeded)
	})
	t.Run("large image while the memory is free", func(t *testing.T) { check(t, large) })
	t.Run("the image has released the memory", func(t *testing.T) { acquire(t)() })
}

func FuzzImage(f *testing.F) {
	var asTIFF, asGIF, asBMP bytes.Buffer
	small := textImage(40, 20, 12, "abc")
	if err := errors.Join(
		tiff.Encode(&asTIFF, small, nil), gif.Encode(&asGIF, small, nil), bmp.Encode(&asBMP, small),
	); err != nil {
		f.Fatal(err)
	}
	for _, b := range [][]byte{
		encodePNG(small), asTIFF.Bytes(), asGIF.Bytes(), asBMP.Bytes(), jpegHeader(64, 64),
		webpOfTwoSizes(), animatedWebP(webpOfOneColor()), progressiveJPEG(3), rleBMP(small),
		jpegTIFF(small, small), interlacedPNG(small),
		libtiffFile(f, "pages_big.tif"), libtiffFile(f, "g3_2d_strips.tif"),
		libtiffFile(f, "jpeg_cmyk.tif"), libtiffFile(f, "webp_rgb.tif"),
		libtiffFile(f, "zstd_rgba.tif"), libtiffFile(f, "g4_tiles.tif"),
	} {
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	e := setup(f, Config{})
	f.Fuzz(func(t *testing.T, content []byte) {
		d := document{sequential: bytes.NewReader(content), size: int64(len(content))}
		images, _, err := newReading(e, ocrIfNeeded).decodeImage(t.Context(), d)
		if err != nil {
			if !causedByDocument(err) {
				t.Errorf("got error %v, want one that the document causes", err)
			}
			return
		}
		for _, img := range images {
			size := img.Rect.Size()
			if size.X > maxScanSide || size.Y > maxScanSide || len(img.Pix) > maxScanPixels {
				t.Errorf("got an image of %s, want at most %d pixels a side and %d in total",
					size, maxScanSide, maxScanPixels)
			}
		}
	})
}
