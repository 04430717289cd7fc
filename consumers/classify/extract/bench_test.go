package extract

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// BenchmarkPDF reads documents of 1 and 50 pages. The ms/page of the first
// includes the fresh sandbox that every document gets.
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
					b.Fatal(got.Pages, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N*pages), "ms/page")
		})
	}
}

// BenchmarkStart measures New, Warm and Close with an empty folder and a filled one.
func BenchmarkStart(b *testing.B) {
	filled := b.TempDir()
	warmOnce(b, filled)
	for _, c := range []struct {
		name string
		dir  func() string
	}{
		{"cache=empty", func() string { return b.TempDir() }},
		{"cache=filled", func() string { return filled }},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				warmOnce(b, c.dir())
			}
		})
	}
}

func warmOnce(b *testing.B, dir string) {
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

// BenchmarkPeakMemory reports the most memory that the process held while it
// read one document. Meaningful is one case in a process of its own, with
// -benchtime 1x and -cachedir of a folder that an earlier run has filled.
func BenchmarkPeakMemory(b *testing.B) {
	padding := make([]byte, 30<<20)
	for i := range padding {
		padding[i] = byte(i * 7 >> 3)
	}
	for _, c := range []struct {
		name    string
		content func() []byte
	}{
		{"started", func() []byte { return textPDF("one page") }},
		{"500 pages", func() []byte { return longPDF(500) }},
		{"30 MiB", func() []byte {
			w := newPDF()
			w.stream("", padding)
			return w.pages("", "", lines("small text"))
		}},
		{"bomb", func() []byte {
			chunk := bytes.Repeat([]byte("q Q "), 1<<18)
			return newPDF().pages("/Filter [/FlateDecode /FlateDecode]", "", deflate(deflateRepeated(chunk, 300)))
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			content := c.content()
			e := setup(b, Config{})
			if err := e.Warm(b.Context()); err != nil {
				b.Fatal(err)
			}
			if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
				b.Logf("the peak includes what came before: %v", err)
			}
			before := memoryStatus(b, "VmRSS")
			for b.Loop() {
				_, _ = extractBytes(e, content) // the bomb's error is not what is measured
			}
			b.ReportMetric(before, "MiB-before")
			b.ReportMetric(memoryStatus(b, "VmHWM"), "MiB-peak")
			b.ReportMetric(memoryStatus(b, "VmRSS"), "MiB-after")
		})
	}
}

// memoryStatus reads a field of Linux's /proc/self/status, in MiB.
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
	page := []byte("<html><title>x</title><body>" + strings.Repeat("<div class=\"a\"><p>Some words of <b>a</b> paragraph, and <a href=\"/x\">a link</a>.</p></div>\n", 1500))
	b.SetBytes(int64(len(page)))
	for b.Loop() {
		if _, err := extractBytes(e, page); err != nil {
			b.Fatal(err)
		}
	}
}
