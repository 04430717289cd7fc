package extract

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// packedPDF returns a PDF with one page and an associated file. All its objects are in an object
// stream, if they may be.
func packedPDF(page, attached string) []byte {
	packed := []string{
		"<< /Type /Catalog /Pages 2 0 R /AF [ 5 0 R ] >>",
		"<< /Type /Pages /Count 1 /Kids [ 3 0 R ] >>",
		"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 6 0 R " +
			"/Resources << /Font << /F1 4 0 R >> >> >>",
		"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
		"<< /Type /Filespec /F (a) /EF << /F 7 0 R >> >>",
	}
	w := newPDF()
	w.offsets = make([]int, len(packed))
	w.stream("", lines(page))
	w.stream("/Type /EmbeddedFile /Filter /FlateDecode", deflate([]byte(attached)))
	header, body := "", ""
	for i, object := range packed {
		header += fmt.Sprintf("%d %d ", i+1, len(body))
		body += object + "\n"
	}
	objects := w.stream(fmt.Sprintf("/Type /ObjStm /N %d /First %d /Filter /FlateDecode",
		len(packed), len(header)), deflate([]byte(header+body)))

	table, start := []byte{0, 0, 0, 0, 0, 0}, w.b.Len()
	for i, offset := range append(w.offsets, start) {
		kind, place, index := byte(1), uint32(offset), byte(0)
		if i < len(packed) {
			kind, place, index = 2, uint32(objects), byte(i)
		}
		table = append(binary.BigEndian.AppendUint32(append(table, kind), place), index)
	}
	w.stream(fmt.Sprintf("/Type /XRef /W [1 4 1] /Root 1 0 R /Size %d", len(table)/6), table)
	fmt.Fprintf(&w.b, "startxref\n%d\n%%%%EOF\n", start)
	return w.b.Bytes()
}

// A PDF whose end is missing has a list of the pages that it contains.
func TestRepair(t *testing.T) {
	t.Parallel()
	object := func(n int) string {
		return fmt.Sprintf("%d 0 obj\n<< /Type /Page /Parent 1 0 R >>\nendobj\n", n)
	}
	packed := func(body string) string {
		return "%PDF-1.7\n9 0 obj << /Type /ObjStm /First 4 >> stream\n3 0 " + body +
			"endstream endobj\n"
	}
	for name, c := range map[string]struct{ content, want string }{
		"pages":      {"%PDF-1.7\n" + object(3) + object(5), "/Count 2 /Kids [ 3 0 R 5 0 R ]"},
		"packed":     {packed("<< /Type /Page /A 1 >>"), "\n3 0 obj\n<< /Type /Page /A 1 >>\nendobj\n"},
		"not packed": {packed("(a)") + object(3) + object(4), "/Kids [ 3 0 R 4 0 R ]"},
		"a new page": {"%PDF-1.7\n" + object(3) + object(3), "/Count 1 /Kids [ 3 0 R ]"},
		"no pages":   {"%PDF-1.7\n1 0 obj\n<< /Type /Pages >>\nendobj\n", ""},
		"encrypted":  {"%PDF-1.7\n" + object(3) + "trailer << /Encrypt 4 0 R >>", ""},
		"many":       {"%PDF-1.7\n" + strings.Repeat(" 1 0 obj", 1<<20), ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := string(repair([]byte(c.content)))
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("got %.300q, want %q in it", got, c.want)
			}
		})
	}
}

// Of a PDF that is cut off after its object streams, what is in them is read.
func TestPackedPDFCutOff(t *testing.T) {
	t.Parallel()
	content := packedPDF("page", "file")
	cut := bytes.Index(content, []byte("/Type /XRef"))
	got, err := extractBytes(shared(t), content[:cut])
	if want := "page\n\nfile"; err != nil || got.Text != want || !got.Truncated {
		t.Errorf("got %+v, %v, want the text %q, truncated", got, err, want)
	}
}

// An object is found if it is whole, and so are the objects of an object stream.
func TestPDFObjects(t *testing.T) {
	t.Parallel()
	stream := func(dictionary, content string) string {
		return "7 0 obj\n<<" + dictionary + ">>stream\r\n" + content + "\nendstream\nendobj\n"
	}
	const inner = "1 0 obj x endobj stream endstream 2 0 obj y endobj"
	objects := stream("/Type/ObjStm/N 3/First 16", "3 0 4 2 5 9999  a b")
	for name, c := range map[string]struct {
		content string
		want    []string // names and content
	}{
		"dictionary":        {"\n12 3 obj<</A 1>>endobj", []string{"12 3 <</A 1>>"}},
		"not whole":         {"1 0 obj <<\n2 0 obj b endobj 3 0 obj c", []string{"2 0 b"}},
		"number 0":          {"0 0 obj a endobj", nil},
		"stream":            {stream("", "x"), []string{"7 0 <<>> x"}},
		"objects within it": {stream("/Length 50 ", inner), []string{"7 0 <</Length 50 >> " + inner}},
		"wrong length":      {stream("/Length 7", "x") + "8 0 obj y endobj", []string{"7 0 <</Length 7>> x", "8 0 y"}},
		"length elsewhere":  {stream("/Length 7 0 R", "x"), []string{"7 0 <</Length 7 0 R>> x"}},
		"stream not whole":  {"7 0 obj<<>>stream\nx endobj 8 0 obj y endobj", []string{"8 0 y"}},
		"object stream":     {objects, []string{"7 0 <</Type/ObjStm/N 3/First 16>> 3 0 4 2 5 9999  a b", "3 0 a"}},
		"long dictionary":   {"1 0 obj" + strings.Repeat(" ", maxPDFDictionary) + "endobj", nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for o := range pdfObjects([]byte(c.content)) {
				fields := [][]byte{[]byte(o.name), bytes.TrimSpace(o.body), bytes.TrimSpace(o.stream)}
				got = append(got, string(bytes.TrimSpace(bytes.Join(fields, []byte(" ")))))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// Without processing in linear time, these PDFs would take hours.
func TestHostilePDFObjects(t *testing.T) {
	t.Parallel()
	bomb := deflateRepeated(bytes.Repeat([]byte("1 0 "), 1<<14), 1<<12)
	objectStream := fmt.Sprintf("1 0 obj<</Type/ObjStm/First 9/Filter/FlateDecode>>stream\n%s"+
		"\nendstream endobj\n", bomb)
	for name, content := range map[string]string{
		"streams without an end": strings.Repeat("1 0 obj<</Type/EmbeddedFile>>stream\n", 1<<16),
		"one end for all":        strings.Repeat("1 0 obj<<>>stream\n", 1<<18) + "endstream",
		"object streams":         strings.Repeat(objectStream, 25),
		"arrays":                 strings.Repeat("1 0 obj[1 0 R]endobj ", 1<<17),
		"files of one object": "1 0 obj<</AF[" + strings.Repeat("1 0 R ", 1000) + "]>>endobj " +
			"1 0 obj<</Type/EmbeddedFile>>stream endstream",
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			repair([]byte(content))
			associatedFiles([]byte("/EmbeddedFile " + content))
			if took := time.Since(start); took > time.Minute {
				t.Errorf("got %d bytes read in %s, want at most a minute", len(content), took)
			}
		})
	}
}

func FuzzPDFObjects(f *testing.F) {
	f.Add(packedPDF("page", "file"))
	f.Add([]byte("/EmbeddedFile 1 0 obj<</AF 2 0 R>>endobj 2 0 obj[3 0 R]endobj " +
		"3 0 obj<</EF<</F 4 0 R>>>>endobj 4 0 obj<</Type/EmbeddedFile/Length 1>>stream\nxendstream"))
	f.Add([]byte("1 0 obj<</Type/ObjStm/First 8>>stream\n1 0 2 1 a b endstream endobj"))
	f.Fuzz(func(t *testing.T, content []byte) {
		for o := range pdfObjects(content) {
			if decoded, err := o.decode(1 << 10); err == nil && len(decoded) > 1<<10 {
				t.Errorf("got %d bytes, want at most %d", len(decoded), 1<<10)
			}
		}
		associatedFiles(content)
		if repaired := repair(content); repaired != nil && !bytes.HasPrefix(repaired, content) {
			t.Error("got a repaired PDF that does not begin with the PDF")
		}
	})
}

// The object in which a file was cut off, such as the content of a page, keeps its number.
func TestRepairKeepsLastObject(t *testing.T) {
	t.Parallel()
	cut := "%PDF-1.4\n3 0 obj<</Type/Page/Contents 4 0 R>>endobj\n4 0 obj<</Length 99>>stream\nBT"
	if repaired := repair([]byte(cut)); bytes.Count(repaired, []byte("\n4 0 obj")) != 1 {
		t.Errorf("got %q, want a single object 4", repaired)
	}
}
