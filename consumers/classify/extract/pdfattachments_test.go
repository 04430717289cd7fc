package extract

import (
	"fmt"
	"strings"
	"testing"
)

// Files are attached to a document, to an annotation, or to any object. Each is read once.
func TestPDFAttachments(t *testing.T) {
	t.Parallel()
	e := shared(t)
	annotation := func(specification int) string {
		return fmt.Sprintf("<< /Type /Annot /Subtype /FileAttachment /Rect [0 0 20 20] "+
			"/FS %d 0 R >> ", specification)
	}
	tree := func(specification int) string {
		return fmt.Sprintf("/Names << /EmbeddedFiles << /Names [(a) %d 0 R] >> >> ", specification)
	}
	const file = "attached file"
	for name, c := range map[string]struct {
		add       func(w *pdfWriter)
		count     int
		truncated bool
	}{
		"annotation": {
			func(w *pdfWriter) { w.page = "/Annots [" + annotation(w.attach(file)) + "]" }, 1, false,
		},
		"annotation of a file elsewhere": {
			func(w *pdfWriter) {
				w.page = "/Annots [" + annotation(w.object("<< /Type /Filespec /F (a) >>")) + "]"
			}, 0, false,
		},
		"25 annotations": {
			func(w *pdfWriter) {
				for i := range 25 {
					w.page += annotation(w.attach(fmt.Sprint(file, i)))
				}
				w.page = "/Annots [" + w.page + "]"
			}, maxEmbeddedFiles, true,
		},
		"annotation and document": {
			func(w *pdfWriter) {
				n := w.attach(file)
				w.page, w.catalog = "/Annots ["+annotation(n)+"]", tree(n)
			}, 1, false,
		},
		"catalog": {
			func(w *pdfWriter) { w.catalog = fmt.Sprintf("/AF [%d 0 R]", w.attach(file)) }, 1, false,
		},
		"catalog, not in the last version": {
			func(w *pdfWriter) {
				n := w.attach(file)
				fmt.Fprintf(&w.b, "9 0 obj << /AF %d 0 R >> endobj 9 0 obj << >> endobj\n", n)
			}, 0, false,
		},
		"array of the catalog": {
			func(w *pdfWriter) {
				array := w.object(fmt.Sprintf("[ %d 0 R %d 0 R ]", w.attach(file), w.attach(file+"2")))
				w.catalog = fmt.Sprintf("/AF %d 0 R", array)
			}, 2, false,
		},
		"catalog and document": {
			func(w *pdfWriter) {
				n := w.attach(file)
				w.catalog = fmt.Sprintf("/AF [%d 0 R] %s", n, tree(n))
			}, 1, false,
		},
		"page": {
			func(w *pdfWriter) { w.page = fmt.Sprintf("/AF [%d 0 R]", w.attach(file)) }, 1, false,
		},
		"nothing": {
			func(w *pdfWriter) { w.attach(file) }, 0, false,
		},
		"another filter": {
			func(w *pdfWriter) {
				n := w.stream("/Type /EmbeddedFile /Filter /LZWDecode", []byte(file))
				w.catalog = fmt.Sprintf("/AF %d 0 R",
					w.object(fmt.Sprintf("<< /EF << /F %d 0 R >> >>", n)))
			}, 0, true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newPDF()
			c.add(w)
			got, err := extractBytes(e, w.pages("", "", lines("page")))
			if n := strings.Count(got.Text, file); err != nil || n != c.count ||
				got.Truncated != c.truncated {
				t.Errorf("got %+v, %v, want %d files, truncated %v", got, err, c.count, c.truncated)
			}
		})
	}
	t.Run("in object streams", func(t *testing.T) {
		got, err := extractBytes(e, packedPDF("page", file))
		if want := "page\n\n" + file; err != nil || got.Text != want || got.Truncated {
			t.Errorf("got %+v, %v, want the text %q", got, err, want)
		}
	})
}
