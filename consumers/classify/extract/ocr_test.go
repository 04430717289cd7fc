package extract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"

	"intray/infra/local/localtest"
)

// textImage returns an image of black text on white. size is that of the letters, in pixels.
func textImage(width, height int, size float64, lines ...string) *image.Gray {
	img := image.NewGray(image.Rect(0, 0, width, height))
	for i := range img.Pix {
		img.Pix[i] = 0xff
	}
	face, err := opentype.Parse(goregular.TTF)
	if err != nil {
		panic(err)
	}
	letters, err := opentype.NewFace(face, &opentype.FaceOptions{Size: size, DPI: 72})
	if err != nil {
		panic(err)
	}
	d := font.Drawer{Dst: img, Src: image.Black, Face: letters}
	for i, line := range lines {
		d.Dot = fixed.P(int(size), int(size*1.8*float64(i+1)))
		d.DrawString(line)
	}
	return img
}

var letterLines = []string{
	"Insurance policy number 4711",
	"Dear Mrs Example, please find",
	"the terms of your contract below.",
}

// letterImage returns an image of letterLines, with letters of the size of a screenshot.
func letterImage() *image.Gray { return textImage(700, 160, 20, letterLines...) }

// upsideDown returns the image rotated by 180 degrees.
func upsideDown(img *image.Gray) *image.Gray {
	rotated := image.NewGray(img.Rect)
	for i, p := range img.Pix {
		rotated.Pix[len(rotated.Pix)-1-i] = p
	}
	return rotated
}

func encodePNG(img image.Image) []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// scannedPDF returns a PDF of which each page is this image.
func scannedPDF(img *image.Gray, pages int) []byte {
	w := newPDF()
	n := w.stream(fmt.Sprintf("/Type /XObject /Subtype /Image /Width %d /Height %d "+
		"/ColorSpace /DeviceGray /BitsPerComponent 8 /Filter /FlateDecode",
		img.Rect.Dx(), img.Rect.Dy()), deflate(img.Pix))
	contents := make([][]byte, pages)
	for i := range contents {
		contents[i] = []byte("q 612 0 0 792 0 0 cm /I Do Q")
	}
	return w.pages("", fmt.Sprintf("/XObject << /I %d 0 R >>", n), contents...)
}

// TestOCR runs the real tesseract.
func TestOCR(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{
		Tesseract: localtest.Tesseract(t), Timeout: time.Minute, OCRTimeout: 5 * time.Minute,
	})
	noise := image.NewGray(image.Rect(0, 0, 300, 200))
	for i := range noise.Pix {
		noise.Pix[i] = byte(i*i>>7) ^ byte(i>>3)
	}
	twice := append(letterLines, letterLines...)
	for name, c := range map[string]struct {
		content []byte
		kind    string
		pages   int
		want    error
	}{
		"screenshot":      {encodePNG(letterImage()), "image/png", 0, nil},
		"upside down":     {encodePNG(upsideDown(textImage(800, 700, 32, twice...))), "image/png", 0, nil},
		"scanned page":    {scannedPDF(textImage(850, 1100, 24, letterLines...), 1), "application/pdf", 1, nil},
		"without letters": {encodePNG(noise), "image/png", 0, ErrNoText},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			r := bytes.NewReader(c.content)
			got, err := e.Text(t.Context(), r, int64(len(c.content)), c.kind)
			if !errors.Is(err, c.want) || got.Kind != c.kind || got.Pages != c.pages || got.Truncated {
				t.Errorf("got %+v, %v, want kind %s, %d pages, error %v",
					got, err, c.kind, c.pages, c.want)
			}
			for _, words := range []string{letterLines[0], "terms of your contract"} {
				if found := strings.Contains(got.Text, words); found != (c.want == nil) {
					t.Errorf("text with %q: got %v, want %v", words, found, c.want == nil)
				}
			}
			t.Logf("took %s", time.Since(start).Round(time.Millisecond))
		})
	}
}

// Only the first pages of a scan are recognized, each once.
func TestScansAreLimited(t *testing.T) {
	t.Parallel()
	program := fakeTesseract(t, printWord+"96 page")
	e := setup(t, Config{Tesseract: program, Timeout: time.Minute, OCRTimeout: 5 * time.Minute})
	got, err := extractBytes(e, scannedPDF(textImage(85, 110, 12, "x"), 30))
	const want = "page\n\npage\n\npage\n\npage\n\npage"
	if err != nil || got.Pages != 30 || !got.Truncated || got.Text != want {
		t.Errorf("got %+v, %v, want 30 pages and text %q, truncated", got, err, want)
	}
	checkWorking(t, e)
}

func TestPDFWithTextIsNotRecognized(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{Tesseract: fakeTesseract(t, printWord+"96 page")})
	got, err := extractBytes(e, textPDF("it has text"))
	if err != nil || got.Text != "it has text" {
		t.Errorf("got %+v, %v, want text %q", got, err, "it has text")
	}
}

func TestWithoutTesseract(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{Tesseract: filepath.Join(t.TempDir(), "tesseract")})
	for name, content := range map[string][]byte{
		"image": encodePNG(letterImage()),
		"scan":  scannedPDF(letterImage(), 1),
	} {
		t.Run(name, func(t *testing.T) {
			const message = "tesseract is not installed"
			_, err := extractBytes(e, content)
			if !errors.Is(err, ErrNoOCR) || !strings.Contains(err.Error(), message) {
				t.Errorf("got error %v, want %v that says %q", err, ErrNoOCR, message)
			}
		})
	}
}

// fakeTesseract returns the path of a shell script to be called instead of tesseract.
func fakeTesseract(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tesseract")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// printWord is a shell command that prints a word as tesseract does. Its arguments are the
// confidence and the word.
const printWord = `printf '5\t1\t1\t1\t1\t1\t0\t0\t9\t9\t%s\t%s\n' `

func TestTesseractProcess(t *testing.T) {
	t.Parallel()
	img := encodePNG(letterImage())
	for name, c := range map[string]struct {
		script  string
		text    string
		want    error
		message string // part of the error
		timeout bool   // want is that of a timeout
	}{
		"command line": {
			script: `[ "$*" = "stdin stdout -l deu+eng --psm 1 --dpi 200 tsv" ] && ` +
				`[ "$OMP_THREAD_LIMIT" = 1 ] && [ "$(head -c 2)" = P5 ] && ` + printWord + "96.5 right",
			text: "right",
		},
		"limits": {
			script: `[ "$(ulimit -f)" = 0 ] && [ "$(ulimit -v)" = 786432 ] && ` +
				`[ "$(ulimit -t)" = 4 ] && ` + printWord + "96 limited",
			text: "limited",
		},
		"words with low confidence": {
			script: printWord + "12 no;" + printWord + "-1 no;" + printWord + "nan no;" +
				printWord + "80 yes",
			text: "yes",
		},
		"invalid lines": {
			script: `printf 'x\n\n5\t\t\n1\t1\t1\t1\t1\t1\t0\t0\t9\t9\t99\tno\n'`,
			want:   ErrNoText,
		},
		"fails": {
			script:  "echo no language data >&2; exit 1",
			want:    ErrNoText,
			message: "no language data",
		},
		"crashes":           {script: "kill -SEGV $$", want: ErrBroken, message: "was terminated"},
		"never ends":        {script: "while :; do :; done", want: ErrBroken, timeout: true},
		"waits for a child": {script: "/bin/sleep 1000 & wait", want: ErrBusy, message: "took longer"},
		"endless output": {
			script: "while :; do echo xxxxxxxxxxxxxxxxxxxx; done", want: ErrBroken, timeout: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := setup(t, Config{
				Tesseract:    fakeTesseract(t, c.script),
				OCRLanguages: "deu+eng",
				OCRTimeout:   3 * time.Second,
			})
			got, err := extractBytes(e, img)
			// If the machine was too busy for tesseract, the error names the time for recognition.
			isWanted := errors.Is(err, c.want) ||
				c.timeout && errors.Is(err, ErrBusy) && strings.Contains(err.Error(), "longer than 3s")
			if !isWanted || got.Text != c.text {
				t.Errorf("got %q, %v, want %q, %v", got.Text, err, c.text, c.want)
			}
			if c.message != "" && !strings.Contains(err.Error(), c.message) {
				t.Errorf("got error %q, want one with %q", err, c.message)
			}
		})
	}
}

func TestCancelingRecognition(t *testing.T) {
	t.Parallel()
	// The script cannot write files, so it passes the process ID of its child through a pipe.
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	program := fakeTesseract(t, "/bin/sleep 1000 & echo $! >"+fifo+"; wait")
	e := setup(t, Config{Tesseract: program, OCRTimeout: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	img := encodePNG(letterImage())
	go func() {
		_, err := e.Text(ctx, bytes.NewReader(img), int64(len(img)), "")
		ended <- err
	}()
	output, err := os.ReadFile(fifo)
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(output)))
	if err != nil {
		t.Fatal(err)
	}

	t.Run("another image waits until its context ends", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err := e.Text(ctx, bytes.NewReader(img), -1, "")
		checkExternalError(t, err, context.DeadlineExceeded)
	})
	t.Run("other documents do not wait", func(t *testing.T) {
		got, err := extractBytes(e, docx("<w:t>meanwhile</w:t>"))
		if err != nil || got.Text != "meanwhile" {
			t.Errorf("got %+v, %v, want text %q", got, err, "meanwhile")
		}
	})
	t.Run("canceling ends tesseract and its children", func(t *testing.T) {
		cancel()
		checkExternalError(t, <-ended, context.Canceled)
		for !hasEnded(child) { // if it never ends, the timeout of go test ends the test
			runtime.Gosched()
		}
	})
	t.Run("after Close", func(t *testing.T) {
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := extractBytes(e, img); !errors.Is(err, ErrClosed) {
			t.Errorf("got error %v, want %v", err, ErrClosed)
		}
	})
}

// hasEnded reports whether a process has ended. It may still be a zombie.
func hasEnded(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

// The languages are an argument of tesseract, so only names of languages are accepted.
func TestOCRLanguages(t *testing.T) {
	for languages, valid := range map[string]bool{
		"": true, "deu": true, "deu+eng": true, "chi_sim+eng": true,
		"-c x": false, "../x": false, "deu+": false, "deu eng": false,
	} {
		e, err := New(Config{OCRLanguages: languages})
		if (err == nil) != valid || err != nil && !errors.Is(err, ErrLanguages) {
			t.Errorf("OCRLanguages %q: got error %v, want valid: %v", languages, err, valid)
		}
		if e != nil {
			_ = e.Close()
		}
	}
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
