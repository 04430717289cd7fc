package extract

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// BenchmarkPDF reads documents of 1 and 50 pages. The metric ms/page for 1 page includes the new
// instance of PDFium that every document gets.
func BenchmarkPDF(b *testing.B) {
	for _, pages := range []int{1, 50} {
		b.Run(fmt.Sprintf("pages=%d", pages), func(b *testing.B) {
			e := setup(b, Config{})
			if err := e.Warm(b.Context()); err != nil {
				b.Fatal(err)
			}
			content := longPDF(pages)
			b.SetBytes(int64(len(content)))
			for b.Loop() {
				if got, err := extractBytes(e, content); err != nil || got.Pages != pages {
					b.Fatalf("got %d pages, %v, want %d", got.Pages, err, pages)
				}
			}
			ms := float64(b.Elapsed().Microseconds()) / 1000
			b.ReportMetric(ms/float64(b.N*pages), "ms/page")
		})
	}
}

// BenchmarkStart measures New, Warm and Close with an empty and with a filled cache folder.
func BenchmarkStart(b *testing.B) {
	filled := b.TempDir()
	startOnce(b, filled)
	for _, c := range []struct {
		name string
		dir  func() string
	}{
		{"cache=empty", func() string { return b.TempDir() }},
		{"cache=filled", func() string { return filled }},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				startOnce(b, c.dir())
			}
		})
	}
}

func startOnce(b *testing.B, dir string) {
	e, err := New(Config{CacheDir: dir})
	if err != nil {
		b.Fatal(err)
	}
	if err := e.Warm(b.Context()); err != nil {
		b.Fatal(err)
	}
	if err := e.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkPeakMemory reports the peak memory of the process while it reads one document. The
// result is meaningful only if each case runs in its own process, with -benchtime 1x and with
// -cachedir set to a folder that an earlier run has filled.
func BenchmarkPeakMemory(b *testing.B) {
	padding := make([]byte, 30<<20)
	for i := range padding {
		padding[i] = byte(i * 7 >> 3)
	}
	for _, c := range []struct {
		name    string
		content func() []byte
	}{
		{"1 page", func() []byte { return textPDF("one page") }},
		{"500 pages", func() []byte { return longPDF(500) }},
		{"30 MiB", func() []byte {
			w := newPDF()
			w.stream("", padding)
			return w.pages("", "", lines("small text"))
		}},
		{"bomb", func() []byte {
			chunk := bytes.Repeat([]byte("q Q "), 1<<18)
			content := deflate(deflateRepeated(chunk, 300))
			return newPDF().pages("/Filter [/FlateDecode /FlateDecode]", "", content)
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			content := c.content()
			e := setup(b, Config{})
			if err := e.Warm(b.Context()); err != nil {
				b.Fatal(err)
			}
			if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
				b.Logf("the peak includes what came before this benchmark: %v", err)
			}
			before := memoryStatus(b, "VmRSS")
			for b.Loop() {
				_, _ = extractBytes(e, content) // the bomb fails, which is not measured here
			}
			b.ReportMetric(before, "MiB-before")
			b.ReportMetric(memoryStatus(b, "VmHWM"), "MiB-peak")
			b.ReportMetric(memoryStatus(b, "VmRSS"), "MiB-after")
		})
	}
}

// memoryStatus returns a field of Linux's /proc/self/status, in MiB.
func memoryStatus(b *testing.B, field string) float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, found := strings.CutPrefix(line, field+":"); found {
			kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				b.Fatal(err)
			}
			return kib / 1024
		}
	}
	b.Fatalf("no %s in /proc/self/status", field)
	return 0
}

func BenchmarkHTML(b *testing.B) {
	e := setup(b, Config{})
	const paragraph = `<div class="a"><p>Some words of <b>a</b> paragraph, and ` +
		`<a href="/x">a link</a>.</p></div>` + "\n"
	page := []byte("<html><title>x</title><body>" + strings.Repeat(paragraph, 1500))
	b.SetBytes(int64(len(page)))
	for b.Loop() {
		if _, err := extractBytes(e, page); err != nil {
			b.Fatal(err)
		}
	}
}
