package web

import (
	"strings"
	"testing"
	"testing/fstest"
)

func TestNegotiate(t *testing.T) {
	all := map[string][]byte{"": {}, "br": {}, "gzip": {}}
	for _, c := range []struct {
		lines []string
		want  string
	}{
		{nil, ""},
		{[]string{""}, ""},
		{[]string{"gzip", "br"}, "br"},
		{[]string{"GZIP ; Q=0.5"}, "gzip"},
		{[]string{"gzip;q=1.0,br;q=0.999"}, "gzip"},
		{[]string{"gzip;q=0.001"}, "gzip"},
		{[]string{"identity;q=0.5, gzip;q=0.5"}, "gzip"},
		{[]string{"*;q=0.5, br;q=0"}, "gzip"},
		{[]string{"*;q=0.5, identity"}, ""},
		{[]string{"identity;q=0"}, ""},
		{[]string{"br;q=2"}, ""},
		{[]string{"br;q=-1"}, ""},
		{[]string{"br;q=NaN"}, ""},
		{[]string{"br;q="}, ""},
		{[]string{"br;level=3"}, ""},
		{[]string{"brotli, xgzip"}, ""},
	} {
		if got := negotiate(c.lines, all); got != c.want {
			t.Errorf("%q: got %q, want %q", c.lines, got, c.want)
		}
	}
	if got := negotiate([]string{"br, gzip"}, map[string][]byte{"": {}, "gzip": {}}); got != "gzip" {
		t.Errorf("got %q, want gzip for a file without br", got)
	}
}

func FuzzNegotiate(f *testing.F) {
	for _, header := range []string{"", "br", "gzip;q=0.5, *;q=0", "identity;q=0", "*"} {
		f.Add(header)
	}
	contents := map[string][]byte{"": {}, "br": {}, "gzip": {}}
	f.Fuzz(func(t *testing.T, header string) {
		got := negotiate([]string{header}, contents)
		if _, ok := contents[got]; !ok {
			t.Fatalf("got the coding %q, want one of the file", got)
		}
		lower := strings.ToLower(header)
		if got != "" && !strings.Contains(lower, got) && !strings.Contains(lower, "*") {
			t.Fatalf("got the coding %q, which the client did not name", got)
		}
	})
}

func FuzzFind(f *testing.F) {
	p := &Page{files: map[string]*file{index: {}, "assets/a-1.js": {}, "icon.svg": {}}}
	for _, path := range []string{"", "/", "/a/b", "/assets/a-1.js", "//", "/..", "/icon.svg"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		got, view := p.find(path)
		last := path[strings.LastIndexByte(path, '/')+1:]
		if view && got == nil {
			t.Fatalf("got a view without a file")
		}
		if got == p.files[index] && strings.Contains(last, ".") && last != index {
			t.Fatalf("got index.html for a path with an extension")
		}
		if got == nil && !strings.Contains(last, ".") && !strings.Contains(path, assets) {
			t.Fatalf("got no file for a view of the page, want index.html")
		}
	})
}

func TestReadFiles(t *testing.T) {
	built := fstest.MapFS{
		"index.html": {Data: []byte("html")}, "index.html.br": {Data: []byte("b")},
		"assets/a.js": {Data: []byte("script")}, "assets/a.js.gz": {Data: []byte("g")},
	}
	files, err := readFiles(built)
	if err != nil || len(files) != 2 {
		t.Fatalf("got %v, error %v, want 2 files", files, err)
	}
	if got := string(files[index].contents["br"]); got != "b" {
		t.Errorf("index.html with br: got %q, want b", got)
	}
	if got := string(files["assets/a.js"].contents["gzip"]); got != "g" {
		t.Errorf("a.js with gzip: got %q, want g", got)
	}
	built["movie.mp4"] = &fstest.MapFile{}
	if _, err := readFiles(built); err == nil || !strings.Contains(err.Error(), "movie.mp4") {
		t.Errorf("got error %v, want one that names the file of an unknown type", err)
	}
	if _, err := readFiles(fstest.MapFS{}); err == nil {
		t.Error("got no error without index.html, want one")
	}
}
