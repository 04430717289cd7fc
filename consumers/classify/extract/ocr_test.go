package extract

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/image/bmp"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
	"golang.org/x/image/tiff"

	"intray/infra/local/localtest"
)

// drawn is a picture of black text on white, in letters of the given height in pixels.
func drawn(width, height int, size float64, lines ...string) *image.Gray {
	picture := image.NewGray(image.Rect(0, 0, width, height))
	for i := range picture.Pix {
		picture.Pix[i] = 0xff
	}
	face, err := opentype.Parse(goregular.TTF)
	if err != nil {
		panic(err)
	}
	letters, err := opentype.NewFace(face, &opentype.FaceOptions{Size: size, DPI: 72})
	if err != nil {
		panic(err)
	}
	d := font.Drawer{Dst: picture, Src: image.Black, Face: letters}
	for i, line := range lines {
		d.Dot = fixed.P(int(size), int(size*1.8*float64(i+1)))
		d.DrawString(line)
	}
	return picture
}

var letterLines = []string{"Insurance policy number 4711", "Dear Mrs Example, please find", "the terms of your contract below."}

// drawnLetter has letters of a size that a screenshot has.
func drawnLetter() *image.Gray { return drawn(700, 160, 20, letterLines...) }

func pngOf(picture image.Image) []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, picture); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// scannedPDF has a page that is one picture, and as many again as copies says.
func scannedPDF(picture *image.Gray, copies int) []byte {
	w := newPDF()
	n := w.stream(fmt.Sprintf("/Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceGray /BitsPerComponent 8 /Filter /FlateDecode",
		picture.Rect.Dx(), picture.Rect.Dy()), deflate(picture.Pix))
	pages := make([][]byte, copies+1)
	for i := range pages {
		pages[i] = []byte("q 612 0 0 792 0 0 cm /I Do Q")
	}
	return w.pages("", fmt.Sprintf("/XObject << /I %d 0 R >>", n), pages...)
}

// TestOCR is on the real tesseract.
func TestOCR(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{Tesseract: localtest.Tesseract(t), Timeout: time.Minute, OCRTimeout: 5 * time.Minute})
	noise := image.NewGray(image.Rect(0, 0, 300, 200))
	for i := range noise.Pix {
		noise.Pix[i] = byte(i*i>>7) ^ byte(i>>3)
	}
	for name, c := range map[string]struct {
		content []byte
		kind    string
		pages   int
		want    error
	}{
		"a screenshot":    {pngOf(drawnLetter()), "image/png", 0, nil},
		"upside down":     {pngOf(turned(drawn(800, 700, 32, append(letterLines, letterLines...)...))), "image/png", 0, nil},
		"a scanned page":  {scannedPDF(drawn(850, 1100, 24, letterLines...), 0), "application/pdf", 1, nil},
		"without letters": {pngOf(noise), "image/png", 0, ErrNoText},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			got, err := e.Text(t.Context(), bytes.NewReader(c.content), int64(len(c.content)), c.kind)
			read := strings.Contains(got.Text, letterLines[0]) && strings.Contains(got.Text, "terms of your contract")
			if !errors.Is(err, c.want) || got.Kind != c.kind || got.Pages != c.pages || got.Truncated || read != (c.want == nil) {
				t.Errorf("got %+v, %v", got, err)
			}
			t.Logf("%s", time.Since(began).Round(time.Millisecond))
		})
	}
}

// Of a scan the first pages are drawn and recognized, each once.
func TestScansAreBounded(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{Tesseract: standIn(t, wordLine+"96 page"), Timeout: time.Minute})
	got, err := extractBytes(e, scannedPDF(drawn(85, 110, 12, "x"), 29))
	if err != nil || got.Pages != 30 || !got.Truncated || got.Text != "page\n\npage\n\npage\n\npage\n\npage" {
		t.Errorf("got %+v, %v", got, err)
	}
	got, err = extractBytes(e, textPDF("it has text"))
	if err != nil || got.Text != "it has text" {
		t.Errorf("got %+v, %v", got, err)
	}
	wellAndAlive(t, e)
}

func TestPictureFormats(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{})
	letter := drawnLetter()
	palette := image.NewPaletted(letter.Rect, color.Palette{color.Black, color.White})
	clear := image.NewNRGBA(letter.Rect) // black letters on nothing
	for i, p := range letter.Pix {
		palette.Pix[i] = p >> 7
		clear.Pix[4*i+3] = 255 - p
	}
	want := toGray(letter)
	for name, encode := range map[string]func(io.Writer) error{
		"png":         func(w io.Writer) error { return png.Encode(w, letter) },
		"transparent": func(w io.Writer) error { return png.Encode(w, clear) },
		"jpeg":        func(w io.Writer) error { return jpeg.Encode(w, letter, nil) },
		"tiff":        func(w io.Writer) error { return tiff.Encode(w, letter, &tiff.Options{Compression: tiff.Deflate}) },
		"gif":         func(w io.Writer) error { return gif.Encode(w, palette, nil) },
		"bmp":         func(w io.Writer) error { return bmp.Encode(w, letter) },
		"webp":        func(w io.Writer) error { _, err := w.Write(webpLine()); return err },
	} {
		var b bytes.Buffer
		if err := encode(&b); err != nil {
			t.Fatal(err)
		}
		if detect(b.Bytes()).format != formatPicture {
			t.Errorf("%s: found %s", name, detect(b.Bytes()).name)
		}
		got, err := e.decodePicture(t.Context(), document{sequential: bytes.NewReader(b.Bytes()), size: int64(b.Len())})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if name == "webp" {
			continue // there is no encoder; it is another picture
		}
		differ := 0
		for i := range got.Pix {
			if d := int(got.Pix[i]) - int(want.Pix[i]); d < -100 || d > 100 {
				differ++
			}
		}
		if got.Rect != want.Rect || differ > len(got.Pix)/100 {
			t.Errorf("%s: of %s, %d pixels of %d differ", name, got.Rect, differ, len(got.Pix))
		}
	}
}

// webpLine is 16×16 pixels of one color in WebP's lossless format: prefix codes of
// one symbol each, so that the pixels take no bits.
func webpLine() []byte {
	var bits, n uint64
	put := func(value uint64, width uint64) { bits |= value << n; n += width }
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

// turned is the picture upside down.
func turned(picture *image.Gray) *image.Gray {
	other := image.NewGray(picture.Rect)
	for i, p := range picture.Pix {
		other.Pix[len(other.Pix)-1-i] = p
	}
	return other
}

func TestWithoutTesseract(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{Tesseract: filepath.Join(t.TempDir(), "tesseract")})
	for name, content := range map[string][]byte{"picture": pngOf(drawnLetter()), "scan": scannedPDF(drawnLetter(), 0)} {
		if _, err := extractBytes(e, content); !errors.Is(err, ErrNoText) || !strings.Contains(err.Error(), "tesseract is not installed") {
			t.Errorf("%s: got %v, want %v as tesseract is not installed", name, err, ErrNoText)
		}
	}
}

// standIn is a program that is called as tesseract is.
func standIn(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tesseract")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

const wordLine = `printf '5\t1\t1\t1\t1\t1\t0\t0\t9\t9\t%s\t%s\n' `

func TestTesseractAsAProgram(t *testing.T) {
	t.Parallel()
	picture := pngOf(drawnLetter())
	for name, c := range map[string]struct {
		script string
		text   string
		want   error
		detail string
	}{
		"its command line":      {`[ "$*" = "stdin stdout -l deu+eng --psm 1 --dpi 200 tsv" ] && [ "$OMP_THREAD_LIMIT" = 1 ] && [ "$(head -c 2)" = P5 ] && ` + wordLine + "96.5 right", "right", nil, ""},
		"its limits":            {`[ "$(ulimit -f)" = 0 ] && [ "$(ulimit -v)" = 786432 ] && [ "$(ulimit -t)" = 4 ] && ` + wordLine + "96 limited", "limited", nil, ""},
		"doubtful words":        {wordLine + "12 no;" + wordLine + "-1 no;" + wordLine + "nan no;" + wordLine + "80 yes", "yes", nil, ""},
		"odd lines":             {"printf 'x\\n\\n5\\t\\t\\n1\\t1\\t1\\t1\\t1\\t1\\t0\\t0\\t9\\t9\\t99\\tno\\n'", "", ErrNoText, ""},
		"failing":               {"echo no language data >&2; exit 1", "", ErrNoText, "no language data"},
		"crashing":              {"kill -SEGV $$", "", ErrBroken, "tesseract ended"},
		"busy for ever":         {"while :; do :; done", "", ErrBroken, ""},
		"hanging, with a child": {`/bin/sleep 1000 & wait`, "", ErrBroken, "took longer"},
		"output for ever":       {"while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done", "", ErrBroken, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := setup(t, Config{Tesseract: standIn(t, c.script), OCRLanguages: "deu+eng", OCRTimeout: 3 * time.Second})
			got, err := extractBytes(e, picture)
			if !errors.Is(err, c.want) || got.Text != c.text {
				t.Errorf("got %q, %v, want %q, %v", got.Text, err, c.text, c.want)
			}
			if c.detail != "" && !strings.Contains(err.Error(), c.detail) {
				t.Errorf("%v does not say %q", err, c.detail)
			}
		})
	}
}

func TestTesseractEndsWithItsGroup(t *testing.T) {
	t.Parallel()
	// The stand-in may write no file, so it tells its child's number through a pipe.
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	e := setup(t, Config{Tesseract: standIn(t, "/bin/sleep 1000 & echo $! >"+fifo+"; wait"), OCRTimeout: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	picture := pngOf(drawnLetter())
	go func() {
		_, err := e.Text(ctx, bytes.NewReader(picture), int64(len(picture)), "")
		ended <- err
	}()
	told, err := os.ReadFile(fifo)
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(told)))
	if err != nil {
		t.Fatal(err)
	}
	// Another picture waits for its turn, and leaves when its own context ends; other documents do not wait.
	short, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer stop()
	if _, err := e.Text(short, bytes.NewReader(picture), -1, ""); !errors.Is(err, context.DeadlineExceeded) || isReason(err) {
		t.Errorf("waiting: %v", err)
	}
	if got, err := extractBytes(e, docx("<w:t>beside it</w:t>")); err != nil || got.Text != "beside it" {
		t.Errorf("beside it: %+v, %v", got, err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) || isReason(err) {
		t.Errorf("canceled: %v", err)
	}
	for deadline := time.Now().Add(10 * time.Second); !gone(child); {
		if time.Now().After(deadline) {
			t.Fatal("its child is still there")
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := extractBytes(e, picture); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// gone reports whether a process has ended, and be it that nobody has asked for its status.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

// pngHeader is a PNG that says it is that large, with one row of data.
func pngHeader(width, height uint32) []byte { return pngStart(width, height, 8, 2, 0) }

// pngStart is that of a depth, a kind of color and a way of interlacing; gray ones
// have a transparent color.
func pngStart(width, height uint32, depth, color, interlace byte) []byte {
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
	chunk("IHDR", append(header, depth, color, 0, 0, interlace))
	if color == 0 {
		chunk("tRNS", []byte{0, 1})
	}
	var row bytes.Buffer
	z := zlib.NewWriter(&row)
	_, _ = z.Write(make([]byte, 1+3*width))
	_ = z.Close()
	chunk("IDAT", row.Bytes())
	return b.Bytes()
}

// resizedJPEG is a sound JPEG whose frame header says another size.
func resizedJPEG(width, height uint16) []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewRGBA(image.Rect(0, 0, 64, 64)), nil); err != nil {
		panic(err)
	}
	at := bytes.Index(b.Bytes(), []byte{0xff, 0xc0})
	binary.BigEndian.PutUint16(b.Bytes()[at+5:], height)
	binary.BigEndian.PutUint16(b.Bytes()[at+7:], width)
	return b.Bytes()
}

// manyScans is a progressive JPEG that goes over its pixels n times.
func manyScans(n int) []byte {
	sound := resizedJPEG(3500, 3500)
	frame := bytes.Index(sound, []byte{0xff, 0xc0})
	scan := bytes.Index(sound, []byte{0xff, 0xda})
	b := bytes.Clone(sound[:scan])
	b[frame+1] = 0xc2
	// A Huffman table whose one code, a zero, says that the next 2^14 blocks are empty.
	b = append(b, 0xff, 0xc4, 0, 20, 0x10, 1)
	b = append(append(b, make([]byte, 15)...), 0xe0)
	pass := append([]byte{0xff, 0xda, 0, 8, 1, 1, 0, 1, 63, 0}, make([]byte, 24)...) // the first component's coefficients 1 to 63
	return append(append(b, bytes.Repeat(pass, n)...), 0xff, 0xd9)
}

// Left alone, it is decoded for minutes and then gives no text: that the timeout is
// named says that it was stopped, however long a busy machine took over it.
func TestEndlessJPEGIsStopped(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{Tesseract: standIn(t, ""), Timeout: 2 * time.Second})
	_, err := extractBytes(e, manyScans(100_000))
	if !errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), "took longer") {
		t.Errorf("%v", err)
	}
}

// webpOfTwoSizes has a canvas of 16×16 pixels and a frame of 16384×16384.
func webpOfTwoSizes() []byte {
	frame := []byte{0x2f, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 0, 0} // VP8L: 14 bits each of width and height, less one
	b := append([]byte("RIFF\x28\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00\x0f\x00\x00\x0f\x00\x00VP8L\x0a\x00\x00\x00"), frame...)
	return b
}

// losslessWebP is the header of one.
func losslessWebP(width, height uint32) []byte {
	b := append([]byte("RIFF\x1e\x00\x00\x00WEBPVP8L\x0a\x00\x00\x00"), 0x2f)
	b = binary.LittleEndian.AppendUint32(b, width-1|(height-1)<<14)
	return append(b, make([]byte, 5)...)
}

func TestHostilePictures(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{Tesseract: standIn(t, wordLine+"90 word")})
	sound := pngOf(drawnLetter())
	var asTIFF, asJPEG bytes.Buffer
	if err := errors.Join(tiff.Encode(&asTIFF, drawnLetter(), nil), jpeg.Encode(&asJPEG, drawnLetter(), nil)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		content []byte
		want    error
	}{
		"png of 30000x30000":                    {pngHeader(30000, 30000), ErrUnsupported},
		"png of 2^31 rows":                      {pngHeader(100, 1<<31-1), ErrUnsupported},
		"gray png, one transparent":             {pngStart(8000, 8000, 8, 0, 0), ErrUnsupported},
		"png of 16 bits, gray, one transparent": {pngStart(6000, 6000, 16, 0, 0), ErrUnsupported},
		"interlaced png":                        {pngStart(6000, 6000, 8, 6, 1), ErrUnsupported},
		"jpeg of Adobe's":                       {bytes.Replace(resizedJPEG(6000, 6000), []byte("\xff\xd8"), []byte("\xff\xd8\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"), 1), ErrUnsupported},
		"lossless webp of 40 million pixels":    {losslessWebP(6500, 6500), ErrUnsupported},
		"png that ends early":                   {pngHeader(1000, 1000), ErrBroken},
		"jpeg of 30000x30000":                   {resizedJPEG(30000, 30000), ErrUnsupported},
		"jpeg that ends early":                  {resizedJPEG(3000, 3000), ErrBroken},
		"png, truncated":                        {sound[:len(sound)/2], ErrBroken},
		"jpeg, truncated":                       {asJPEG.Bytes()[:100], ErrBroken},
		"tiff, truncated":                       {asTIFF.Bytes()[:200], ErrBroken},
		"webp of two sizes":                     {webpOfTwoSizes(), ErrBroken},
		"a dot":                                 {pngOf(image.NewGray(image.Rect(0, 0, 1, 1))), ErrNoText},
		"a line of 1x60000":                     {pngOf(image.NewGray(image.Rect(0, 0, 60000, 12))), nil},
		"gif header alone":                      {[]byte("GIF89a\xff\xff\xff\xff\x00\x00\x00"), ErrUnsupported},
		"bmp header alone":                      {append([]byte("BM"), make([]byte, 60)...), ErrUnsupported},
		"another kind than named":               {append([]byte("\x89PNG\r\n\x1a\n"), asJPEG.Bytes()...), ErrBroken},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			got, err := extractBytes(e, c.content)
			if !errors.Is(err, c.want) {
				t.Errorf("after %s: got %+v, %v, want %v", time.Since(began), got, err, c.want)
			}
			t.Logf("%d bytes, %s, %v", len(c.content), time.Since(began).Round(time.Millisecond), err)
		})
	}
	big := setup(t, Config{Tesseract: standIn(t, wordLine+"90 word"), MaxBytes: 1000})
	if _, err := extractBytes(big, sound); !errors.Is(err, ErrUnsupported) {
		t.Errorf("over MaxBytes: %v", err)
	}
	down := errors.New("storage is down")
	if _, err := e.Text(t.Context(), io.MultiReader(bytes.NewReader(sound[:5000]), errReader{down}), int64(len(sound)), ""); !errors.Is(err, down) || isReason(err) {
		t.Errorf("storage fails: %v", err)
	}
}

// Languages are an argument of tesseract: nothing else passes.
func TestLanguages(t *testing.T) {
	for said, want := range map[string]bool{"": true, "deu": true, "deu+eng": true, "chi_sim+eng": true, "-c x": false, "../x": false, "deu+": false, "deu eng": false} {
		e, err := New(Config{OCRLanguages: said})
		if (err == nil) != want || err != nil && !errors.Is(err, ErrLanguages) {
			t.Errorf("%q: %v", said, err)
		}
		if e != nil {
			_ = e.Close()
		}
	}
}

// What tesseract gets is bounded, and loses no more than the bounds want.
func TestPicturesAreReduced(t *testing.T) {
	for _, c := range []struct{ width, height, wantWidth, wantHeight int }{
		{2000, 2800, 2000, 2800},
		{6000, 6000, 2449, 2449},
		{1000, 7016, 500, 3508},
	} {
		got := toGray(image.NewGray(image.Rect(0, 0, c.width, c.height))).Rect
		if got.Dx() != c.wantWidth || got.Dy() != c.wantHeight {
			t.Errorf("%d×%d becomes %s, want %d×%d", c.width, c.height, got.Size(), c.wantWidth, c.wantHeight)
		}
	}
}

// A large picture and a sandbox with a lot of memory take turns; small ones do not wait.
func TestLargePicturesTakeTurnsWithSandboxes(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{Tesseract: standIn(t, wordLine+"90 word")})
	giveBack, err := e.pdfs.takeLarge(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := extractBytes(e, pngOf(drawnLetter())); err != nil || got.Text != "word" {
		t.Errorf("a small picture: %+v, %v", got, err)
	}
	large := pngOf(image.NewGray(image.Rect(0, 0, 8200, 8200)))
	wait, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := e.Text(wait, bytes.NewReader(large), int64(len(large)), ""); !errors.Is(err, context.DeadlineExceeded) || isReason(err) {
		t.Errorf("a large picture beside a large sandbox: %v", err)
	}
	giveBack()
	if got, err := extractBytes(e, large); err != nil || got.Text != "word" {
		t.Errorf("a large picture by itself: %+v, %v", got, err)
	}
	if giveBack, err = e.pdfs.takeLarge(t.Context()); err != nil {
		t.Fatal(err)
	}
	giveBack()
}

func FuzzPicture(f *testing.F) {
	var asTIFF, asGIF, asBMP bytes.Buffer
	small := drawn(40, 20, 12, "abc")
	if err := errors.Join(tiff.Encode(&asTIFF, small, nil), gif.Encode(&asGIF, small, nil), bmp.Encode(&asBMP, small)); err != nil {
		f.Fatal(err)
	}
	for _, b := range [][]byte{pngOf(small), asTIFF.Bytes(), asGIF.Bytes(), asBMP.Bytes(), resizedJPEG(64, 64), webpOfTwoSizes(), manyScans(3)} {
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	e := setup(f, Config{})
	f.Fuzz(func(t *testing.T, content []byte) {
		picture, err := e.decodePicture(t.Context(), document{sequential: bytes.NewReader(content), size: int64(len(content))})
		if err != nil && !isReason(err) {
			t.Errorf("%v", err)
		}
		if err == nil && (picture.Rect.Dx() > maxScanSide || picture.Rect.Dy() > maxScanSide || len(picture.Pix) > maxScanPixels) {
			t.Errorf("a picture of %s", picture.Rect)
		}
	})
}

func FuzzTSV(f *testing.F) {
	f.Add("5\t1\t1\t1\t1\t1\t0\t0\t9\t9\t96.1\tword\n5\t1\t1\t2\t1\t1\t0\t0\t9\t9\t96.1\tword\n")
	f.Add(strings.Repeat("\t", 100_000))
	f.Fuzz(func(t *testing.T, s string) {
		text := newText(50)
		readTSV(strings.NewReader(s), text)
		checkClean(t, text.String(), 50)
	})
}
