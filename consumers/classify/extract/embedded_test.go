package extract

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// occurrence is a document, and how often a text occurs in what is read of it.
type occurrence struct {
	content   []byte
	want      string
	count     int
	truncated bool
}

func (o occurrence) check(t *testing.T, e *Extractor) {
	t.Helper()
	got, err := extractBytes(e, o.content)
	if n := strings.Count(got.Text, o.want); err != nil || n != o.count {
		t.Errorf("got %.300q, %v, want %q %d times", got.Text, err, o.want, o.count)
	}
	if got.Truncated != o.truncated {
		t.Errorf("got truncated %v, want %v", got.Truncated, o.truncated)
	}
}

// attachedMail returns an email with the body "body" and attached files, without declared types.
func attachedMail(files ...[]byte) []byte {
	parts := []string{"Content-Type: text/plain\n\nbody"}
	for i, f := range files {
		parts = append(parts, fmt.Sprintf("Content-Type: application/octet-stream; name=%d\n"+
			"Content-Transfer-Encoding: base64\n\n%s", i, base64.StdEncoding.EncodeToString(f)))
	}
	return []byte(mixedMail(parts...))
}

func TestAttachments(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{
		Tesseract: fakeTesseract(t, printWord+"96 recognized"), Timeout: time.Minute,
		OCRTimeout: 5 * time.Minute,
	})
	nested := []byte("innermost")
	for range 4 {
		nested = attachedMail(nested)
	}
	many := make([][]byte, 25)
	for i := range many {
		many[i] = []byte("attachment")
	}
	scan := scannedPDF(textImage(850, 1100, 24, "scan"), 1)
	large := bytes.Repeat([]byte("words "), maxEmbeddedBytes/12+1000)
	portfolio := func(files int) []byte {
		w, names := newPDF(), ""
		for i := range files {
			names += fmt.Sprintf("(a) %d 0 R ", w.attach(fmt.Sprint("text of the attached file ", i)))
		}
		w.catalog = fmt.Sprintf("/Names << /EmbeddedFiles << /Names [%s] >> >>", names)
		return w.pages("", "", lines("cover"))
	}
	picture, logo := encodePNG(textImage(800, 600, 30, "x")), encodePNG(textImage(200, 100, 30, "x"))
	logos := slices.Repeat([][]byte{logo}, maxEmbeddedFiles+1)
	others := slices.Repeat([][]byte{{0, 1, 2, 3}}, maxEmbeddedFiles+1)
	equation := string(compoundFile(stream{"Equation Native", []byte("x = 1")}))
	relations := []string{"image", "media/scan.png"}
	equations := []part{{"word/media/scan.png", string(picture)}}
	objects := []part(nil)
	pictures := []part{{"Pictures/scan.png", string(picture)}}
	for i := range maxEmbeddedFiles + 1 {
		name := fmt.Sprintf("embeddings/%d.bin", i)
		relations = append(relations, "oleObject", name)
		equations = append(equations, part{"word/" + name, equation})
		objects = append(objects,
			part{fmt.Sprintf("Object %d/content.xml", i), "<text:p>object</text:p>"})
		pictures = append(pictures, part{fmt.Sprintf("Pictures/%d.png", i), string(logo)})
	}
	equations = append(equations, related("word/_rels/document.xml.rels", relations...))
	flat := `<office:document office:mimetype="` + odfPrefix + `text"><office:body><draw:image>` +
		"<office:binary-data>\n " + base64.StdEncoding.EncodeToString(picture) +
		`</office:binary-data></draw:image></office:body></office:document>`
	for name, c := range map[string]occurrence{
		"text":                    {attachedMail([]byte("attached words")), "body\n0\n\nattached words", 1, false},
		"PDF":                     {attachedMail(textPDF("page")), "0\n\npage", 1, false},
		"docx":                    {attachedMail(docx("<w:t>office</w:t>")), "0\n\noffice", 1, false},
		"scan":                    {attachedMail(scan), "0\n\nrecognized", 1, false},
		"picture":                 {attachedMail(picture), "recognized", 1, false},
		"logo":                    {attachedMail(logo), "recognized", 0, false},
		"unsupported":             {attachedMail([]byte{0, 1, 2, 3}, []byte("next")), "next", 1, false},
		"damaged":                 {attachedMail([]byte("%PDF-1.7\n"), []byte("next")), "next", 1, true},
		"three deep":              {nested, "innermost", 0, true},
		"25 files":                {attachedMail(many...), "attachment", 20, true},
		"more bytes than allowed": {attachedMail(large, large, []byte("end")), "end", 0, true},
		"logos, then a text":      {attachedMail(append(logos, []byte("next"))...), "next", 1, false},
		"other kinds, then text":  {attachedMail(append(others, []byte("next"))...), "next", 1, false},
		"equations and a scan":    {docx("<w:t>words</w:t>", equations...), "recognized", 1, false},
		"objects":                 {odt("", objects...), "object", maxEmbeddedFiles, true},
		"odt, logos and a scan":   {odt("", pictures...), "recognized", 1, false},
		"flat odt, scan":          {[]byte(flat), "recognized", 1, false},
		"in a PDF":                {portfolio(1), "cover\n\ntext of the attached file", 1, false},
		"in a PDF in a mail":      {attachedMail(portfolio(1)), "text of the attached file", 1, false},
		"25 in a PDF":             {portfolio(25), "text of the attached file", 20, true},
	} {
		t.Run(name, func(t *testing.T) { c.check(t, e) })
	}
	t.Run("two deep", func(t *testing.T) {
		got, err := extractBytes(e, attachedMail(attachedMail([]byte("inner"))))
		if err != nil || !strings.HasSuffix(got.Text, "body\n0\n\ninner") || got.Truncated {
			t.Errorf("got %+v, %v, want it to end with %q", got, err, "inner")
		}
	})
	t.Run("a scan is left to the lane for OCR", func(t *testing.T) {
		content := attachedMail(scan)
		_, err := e.TextWithoutOCR(t.Context(), bytes.NewReader(content), -1, "")
		if !errors.Is(err, ErrNeedsOCR) {
			t.Errorf("got error %v, want %v", err, ErrNeedsOCR)
		}
	})
}

// Whether a page is recognized depends on its own text and pictures.
func TestPagesAreRecognizedOneByOne(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{
		Tesseract: fakeTesseract(t, printWord+"96 recognized"), Timeout: time.Minute,
		OCRTimeout: 5 * time.Minute,
	})
	without := setup(t, Config{Tesseract: "/nowhere/tesseract", Timeout: time.Minute})
	const full, logo = "q 612 0 0 792 0 0 cm /I Do Q\n", "q 60 0 0 60 30 700 cm /I Do Q\n"
	long := strings.Repeat("The landlord and the tenant agree. ", 10)
	layer := slices.Repeat([]string{"The landlord and the tenant agree."}, 10)
	strips := ""
	for y := 0; y < 792; y += 22 {
		strips += fmt.Sprintf("q 612 0 0 22 0 %d cm /I Do Q\n", y)
	}
	const header = "Received by fax on 30 November 2026 from 030 5550 1234, page one of two"
	page := func(content string, text ...string) []byte {
		return append([]byte(content), lines(text...)...)
	}
	pdf := func(pages ...[]byte) []byte {
		w := newPDF()
		n := w.stream("/Type /XObject /Subtype /Image /Width 2 /Height 2 "+
			"/ColorSpace /DeviceGray /BitsPerComponent 8", []byte{0, 255, 255, 0})
		return w.pages("", fmt.Sprintf("/XObject << /I %d 0 R >>", n), pages...)
	}
	faxed, deck := [][]byte{page("", "Dear Ann, "+header[:50])}, [][]byte(nil)
	titles := []string{"winter", "spring", "summer", "autumn", "wind", "rain", "snow"}
	for i, title := range titles {
		faxed = append(faxed, page(full, fmt.Sprint(header, i), fmt.Sprint(i)))
		titles[i] = strings.TrimSpace(strings.Repeat("A season of "+title+" ", 4))
		deck = append(deck, page(full, titles[i]))
	}
	for name, c := range map[string]struct {
		content []byte
		ocr     int    // pages that are recognized
		text    string // without tesseract; if it is empty, the reason is no_ocr
	}{
		"scan":                   {pdf(page(full)), 1, ""},
		"scan with a number":     {pdf(page(full, "1")), 1, ""},
		"cover and scan":         {pdf(page("", "Sent by fax"), page(full)), 1, ""},
		"scan in strips":         {pdf(page(strips, "Page 1 of 3")), 1, ""},
		"numbered scans":         {pdf(page(full, header), page(full, header)), 2, ""},
		"many numbered scans":    {pdf(faxed...), maxScans, ""},
		"texts on pictures":      {pdf(deck...), maxScans, strings.Join(titles, "\n\n")},
		"letter and scan":        {pdf(page("", long), page(full)), 1, strings.TrimSpace(long)},
		"scan with its own text": {pdf(page(full, layer...)), 0, strings.Join(layer, "\n")},
		"letter with a logo":     {pdf(page(logo, "Dear Ann")), 0, "Dear Ann"},
		"page without anything":  {pdf(page("", "words"), page("")), 0, "words"},
		"garbage":                {pdf(page("", "+,*'-!$%/#&.;:")), 1, ""},
		"garbage on one page":    {pdf(page("", "words"), page("", "+,*'-!$%/#&.;:")), 1, ""},
		"eight scans": {
			pdf(page(full), page(full), page(full), page(full), page(full), page(full), page("", long),
				page(full)), maxScans, strings.TrimSpace(long),
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := extractBytes(e, c.content)
			recognized := strings.Count(got.Text, "recognized")
			if err != nil || got.OCRPages != c.ocr || recognized != c.ocr ||
				got.Truncated != (c.ocr == maxScans) {
				t.Errorf("got %+v, %v, want %d pages by OCR", got, err, c.ocr)
			}
			got, err = extractBytes(without, c.content)
			switch {
			case c.text == "" && Reason(err) != "no_ocr":
				t.Errorf("without tesseract: got %v, want the reason no_ocr", err)
			case c.text != "" && (err != nil || got.Text != c.text || got.Truncated != (c.ocr > 0)):
				t.Errorf("without tesseract: got %+v, %v, want %q", got, err, c.text)
			}
		})
	}
}

// Without tesseract, a document of pictures has no text, even if a few words are beside them. An
// email is read.
func TestPicturesWithoutTesseract(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{Tesseract: "/nowhere/tesseract"})
	long := strings.Repeat("The landlord and the tenant agree. ", 10)
	picture := encodePNG(textImage(800, 600, 30, "x"))
	scan := scannedPDF(textImage(850, 1100, 24, "scan"), 1)
	word := func(words string) []byte {
		return docx("<w:t>"+words+"</w:t>",
			related("word/_rels/document.xml.rels", "image", "media/scan.png"),
			part{"word/media/scan.png", string(picture)})
	}
	open := func(words string) []byte {
		return odt("<text:p>"+words+"</text:p>", part{"Pictures/scan.png", string(picture)})
	}
	for name, c := range map[string]struct {
		content []byte
		want    string // a part of the text; if it is empty, the reason is no_ocr
	}{
		"docx":            {word(""), ""},
		"docx, few words": {word("Page 1"), ""},
		"docx, a letter":  {word(long), "landlord"},
		"odt, few words":  {open("Page 1"), ""},
		"odt, a letter":   {open(long), "landlord"},
		"mail":            {attachedMail(scan), "body"},
		"Outlook's mail": {outlookFile(
			stream{"__attach_version1.0_#00000001/" + msgProperties, make([]byte, 8)},
			property("__attach_version1.0_#00000001/", "3701", msgBinary, scan)), "reminder"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := extractBytes(e, c.content)
			switch {
			case c.want == "" && Reason(err) != "no_ocr":
				t.Errorf("got %+v, %v, want the reason no_ocr", got, err)
			case c.want != "" && (err != nil || !strings.Contains(got.Text, c.want) || !got.Truncated):
				t.Errorf("got %+v, %v, want %q, truncated", got, err, c.want)
			}
		})
	}
}

// The text of a page that was recognized is between those of the pages around it.
func TestPagesAreInOrder(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{
		Tesseract: fakeTesseract(t, printWord+"96 recognized"), Timeout: time.Minute,
		OCRTimeout: 5 * time.Minute,
	})
	w := newPDF()
	n := w.stream("/Type /XObject /Subtype /Image /Width 2 /Height 2 "+
		"/ColorSpace /DeviceGray /BitsPerComponent 8", []byte{0, 255, 255, 0})
	picture := []byte("q 612 0 0 792 0 0 cm /I Do Q\n")
	got, err := extractBytes(e, w.pages("", fmt.Sprintf("/XObject << /I %d 0 R >>", n),
		picture, lines("first"), append(picture, lines("stamp")...), lines("last"), picture))
	const want = "recognized\n\nfirst\n\nstamp\n\nrecognized\n\nlast\n\nrecognized"
	if err != nil || got.Text != want {
		t.Errorf("got %q, %v, want %q", got.Text, err, want)
	}
}

// A page with a large picture is recognized if it has few letters, or more in its margins only. The
// lines that it has as text are not repeated.
func TestTypedTextOfScans(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{
		Tesseract: fakeTesseract(t, printWord+"96 recognized"), Timeout: time.Minute,
		OCRTimeout: 5 * time.Minute,
	})
	typed := func(n int) string {
		line := "Received by the mail room, document 4711, batch 12"
		return strings.Repeat(line+"\n", n-1) + line
	}
	for name, c := range map[string]struct{ text, want string }{
		"in the margin":            {typed(4), typed(4) + "\n\nrecognized"},
		"also in the middle":       {typed(8), typed(8)},
		"the same as in the image": {"Stamp\nRecognized.", "Stamp\nRecognized."},
	} {
		w := newPDF()
		n := w.stream("/Type /XObject /Subtype /Image /Width 2 /Height 2 "+
			"/ColorSpace /DeviceGray /BitsPerComponent 8", []byte{0, 255, 255, 0})
		content := append([]byte("q 612 0 0 792 0 0 cm /I Do Q\n"),
			lines(strings.Split(c.text, "\n")...)...)
		got, err := extractBytes(e, w.pages("", fmt.Sprintf("/XObject << /I %d 0 R >>", n), content))
		if err != nil || got.Text != c.want {
			t.Errorf("%s: got %q, %v, want %q", name, got.Text, err, c.want)
		}
	}
}

// A form field may have its type and value from its parent, and nothing that displays it.
func TestInheritedFieldValues(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ widget, field, want string }{
		"type and value": {"", "/FT /Tx /V (Inherited value)", "Name:\nInherited value"},
		"only the type":  {"/V (Its value)", "/FT /Tx", "Name:\nIts value"},
		"a choice":       {"", "/FT /Ch /Opt [ (red) (blue) ] /V (blue)", "Name:\nblue"},
		"a signature":    {"", "/FT /Sig /V (no text)", "Name:"},
		"a password":     {"", "/FT /Tx /Ff 8192 /V (secret)", "Name:"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newPDF()
			w.object("<< /Type /Annot /Subtype /Widget /Parent 2 0 R /Rect [9 9 300 30] /F 4 " +
				c.widget + " >>")
			w.object("<< /T (name) /Kids [ 1 0 R ] " + c.field + " >>")
			w.catalog = "/AcroForm << /Fields [ 2 0 R ] >>"
			annotated := ">> /Annots [ 1 0 R ] /PieceInfo <<"
			got, err := extractBytes(shared(t), w.pages("", annotated, lines("Name:")))
			if err != nil || got.Text != c.want {
				t.Errorf("got %q, %v, want %q", got.Text, err, c.want)
			}
			checkWorking(t, shared(t))
		})
	}
}

func TestGarbage(t *testing.T) {
	t.Parallel()
	shifted := func(s string, by rune) string {
		return strings.Map(func(r rune) rune {
			if r == ' ' {
				return r
			}
			return r + by
		}, s)
	}
	const letter = "Dear Mrs Example, please find the terms of your insurance contract below. " +
		"The amount is due at the end of the month."
	const polish = "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw."
	const czech = "Strč prst skrz krk. Účet za služby prosíme uhradit do konce měsíce na účet."
	const welsh = "Genir pawb yn rhydd ac yn gydradd â'i gilydd mewn urddas a hawliau. " +
		"Fe'u cynysgaeddir â rheswm a chydwybod, a dylai pawb ymddwyn yn gymodlon."
	accounts := strings.Repeat("GB01 NWBK 6016 1331 9268 01\n", 24)
	for text, want := range map[string]bool{
		polish:                  false,
		czech:                   false,
		letter:                  false,
		strings.ToUpper(letter): false,
		shifted(letter, -29):    true, // an encoding by the numbers of glyphs
		shifted(letter, -31):    true, // and that of a font in the Compact Font Format
		shifted(letter, 1):      true,
		accounts:                false,
		welsh:                   false,
		`(),*(&'`:               true,
		"":                      false,
		"- 1 -":                 false,
		"Contents ........ 1":   false,
		"12.06.2024 1,234.56 €": false,
		"请在月底之前付款。谢谢您的合作。": false,
	} {
		if got := isGarbage(text); got != want {
			t.Errorf("isGarbage(%q): got %v, want %v", text, got, want)
		}
	}
}

// A font may assign characters of a symbol font to some of its letters.
func TestSymbolLetters(t *testing.T) {
	t.Parallel()
	const bullet = "\uF06C Item"
	for text, want := range map[string]string{
		"Acm\uF065 r\uF065pairs": "Acme repairs", "NOT\uF049\uF043E": "NOTICE", bullet: bullet,
	} {
		if got := replaceSymbolLetters(text); got != want {
			t.Errorf("replaceSymbolLetters(%q): got %q, want %q", text, got, want)
		}
	}
}

// Programs that fetch a PDF sometimes store the header of the response before it.
func TestBytesBeforePDF(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{MaxBytes: 1 << 20})
	before := "HTTP/1.1 200 OK\r\n" + strings.Repeat("X-Header: some words\r\n", 100) + "\r\n"
	w := newPDF()
	w.stream("", bytes.Repeat([]byte("padding "), 1<<18))
	for name, content := range map[string][]byte{
		"in memory":       []byte(before + string(textPDF("page"))),
		"larger":          []byte(before + string(w.pages("", "", lines("page")))),
		"after zeros":     append(make([]byte, 1500), textPDF("page")...),
		"after blanks":    append(bytes.Repeat([]byte(" \n"), 2500), textPDF("page")...),
		"within the line": append(bytes.Repeat([]byte("x"), 2000), textPDF("page")...),
	} {
		got, err := extractBytes(e, content)
		if err != nil || got.Kind != kindPDF.name || got.Text != "page" {
			t.Errorf("%s: got %+v, %v, want a PDF with the text %q", name, got, err, "page")
		}
	}
}

// Other kinds of documents may mention the header of a PDF or contain a PDF.
func TestKindsThatContainPDFHeaders(t *testing.T) {
	const words = "a PDF begins with %PDF-1.7 and has objects"
	signed := signedFile(signedDataOID, false, ber(berOctets, false, textPDF("page")))
	for want, content := range map[string][]byte{
		"text/plain":              []byte(words),
		"text/html":               []byte("<!DOCTYPE html><html><p>" + words),
		"text/xml":                []byte(`<?xml version="1.0"?><a>` + words + "</a>"),
		"application/json":        []byte(`{"a":"` + words + `"}`),
		"image/jpeg":              []byte("\xff\xd8\xff\xfe\x00\x40" + words),
		"application/vnd.ms-tnef": tnefFile(nil, textPDF("page")),
		"application/pkcs7-mime":  signed,
	} {
		if got := detect(content); got.name != want {
			t.Errorf("got %s, want %s", got.name, want)
		}
	}
	prose := strings.Repeat("words ", 200) + words + ":\n1 0 obj"
	if got := detect([]byte(prose)); got.format != formatText {
		t.Errorf("got %s for a text about PDFs, want text", got.name)
	}
}
