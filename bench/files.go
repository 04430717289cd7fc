package bench

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"strings"
)

var sentences = []string{
	"Invoice number 2024-%d: the amount due is 1,250.00 and payable within 30 days.",
	"This agreement is made between the landlord and the tenant of flat %d.",
	"The minutes of meeting %d were approved and the action items assigned.",
	"Press the button on unit %d for five seconds to start the installation.",
	"Your policy %d covers the vehicle named overleaf; the premium is due in May.",
}

// pageText returns a page of text that differs for each n.
func pageText(n int) string {
	var b strings.Builder
	for i := range 40 {
		fmt.Fprintf(&b, sentences[(n+i/8)%len(sentences)]+"\n", n*100+i)
	}
	return b.String()
}

// mixedFile returns a valid file whose type depends on n.
func mixedFile(n int) file {
	text := pageText(n)
	switch n % 6 {
	case 0:
		return file{fmt.Sprintf("page-%d.pdf", n), "application/pdf", onePagePDF(text)}
	case 1:
		return file{fmt.Sprintf("note-%d.txt", n), "text/plain", []byte(text)}
	case 2:
		page := "<!doctype html><title>Page</title><p>" + strings.ReplaceAll(text, "\n", "<p>")
		return file{fmt.Sprintf("page-%d.html", n), "text/html", []byte(page)}
	case 3:
		table := "line,text\n1,\"" + strings.ReplaceAll(text, "\n", "\"\n1,\"") + "\"\n"
		return file{fmt.Sprintf("table-%d.csv", n), "text/csv", []byte(table)}
	case 4:
		mail := "From: a@example.org\r\nTo: b@example.org\r\nSubject: Mail\r\nMIME-Version: 1.0\r\n" +
			"Content-Type: text/plain\r\n\r\n" + text
		return file{fmt.Sprintf("mail-%d.eml", n), "message/rfc822", []byte(mail)}
	default:
		letter := docxOf(strings.NewReader("<w:t>" + text + "</w:t>"))
		return file{fmt.Sprintf("letter-%d.docx", n), docxType, letter}
	}
}

const docxType = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"

// hostileFile returns a file that is damaged or malicious. What is wrong with it depends on n.
func hostileFile(n int) file {
	random := rand.New(rand.NewPCG(1, uint64(n)))
	noise := make([]byte, 4096)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	pdf := onePagePDF(pageText(n))
	name := fmt.Sprintf("hostile-%d", n)
	switch n % 10 {
	case 0: // a PDF truncated at a random position
		return file{name + ".pdf", "application/pdf", pdf[:1+random.IntN(len(pdf)-1)]}
	case 1: // a PDF with random bytes changed
		for range 1 + random.IntN(200) {
			pdf[random.IntN(len(pdf))] = byte(random.Uint32())
		}
		return file{name + ".pdf", "application/pdf", pdf}
	case 2: // a PDF whose page tree contains itself
		loop := "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n" +
			"2 0 obj<</Type/Pages/Kids[2 0 R 2 0 R]/Count 99999999>>endobj\n" +
			"trailer<</Root 1 0 R>>\n%%EOF"
		return file{name + ".pdf", "application/pdf", []byte(loop)}
	case 3: // a document that is 80 MiB when decompressed
		return file{name + ".docx", docxType, docxOf(io.LimitReader(spaces{}, 80<<20))}
	case 4: // deeply nested elements
		return file{name + ".html", "text/html", []byte(strings.Repeat("<div><table><a>", 60_000))}
	case 5: // an image whose header declares huge dimensions
		return file{name + ".png", "image/png", hugePNG()}
	case 6: // deeply nested MIME parts
		const part = "Content-Type: multipart/mixed; boundary=a\r\n\r\n"
		mail := "MIME-Version: 1.0\r\n" + part + strings.Repeat("--a\r\n"+part, 5_000)
		return file{name + ".eml", "message/rfc822", []byte(mail)}
	case 7: // random bytes declared as a PDF
		return file{name + ".pdf", "application/pdf", append([]byte("%PDF-1.7\n"), noise...)}
	case 8: // a truncated ZIP archive
		docx := docxOf(strings.NewReader("<w:t>" + pageText(n) + "</w:t>"))
		return file{name + ".docx", docxType, docx[:1+random.IntN(len(docx)-1)]}
	default: // random bytes declared as text
		return file{name + ".txt", "text/plain", noise}
	}
}

// spaces is a reader of infinitely many spaces.
type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// docxOf returns a Word document with one text run, whose XML is body.
func docxOf(body io.Reader) []byte {
	var b bytes.Buffer
	archive := zip.NewWriter(&b)
	archive.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(w, flate.BestSpeed)
	})
	const office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
	for _, part := range []struct {
		name string
		text io.Reader
	}{
		{"[Content_Types].xml", strings.NewReader(`<Types><Override PartName="/word/document.xml" ` +
			`ContentType="` + docxType + `.main+xml"/></Types>`)},
		{"_rels/.rels", strings.NewReader(`<Relationships><Relationship Id="r1" ` +
			`Type="` + office + `" Target="word/document.xml"/></Relationships>`)},
		{"word/document.xml", io.MultiReader(
			strings.NewReader("<w:document><w:body><w:p><w:r>"), body,
			strings.NewReader("</w:r></w:p></w:body></w:document>"))},
	} {
		if w, err := archive.Create(part.name); err == nil {
			_, _ = io.Copy(w, part.text) // writing to a buffer does not fail
		}
	}
	_ = archive.Close()
	return b.Bytes()
}

// onePagePDF returns a PDF with the lines of text on one page.
func onePagePDF(text string) []byte {
	var page strings.Builder
	page.WriteString("BT /F1 9 Tf 40 800 Td 12 TL\n")
	for line := range strings.Lines(text) {
		line = strings.NewReplacer(`\`, `\\`, "(", `\(`, ")", `\)`).Replace(strings.TrimSpace(line))
		fmt.Fprintf(&page, "(%s) Tj T*\n", line)
	}
	page.WriteString("ET")
	var b bytes.Buffer
	b.WriteString("%PDF-1.4\n")
	var offsets []int
	for i, object := range []string{
		"<</Type/Catalog/Pages 2 0 R>>",
		"<</Type/Pages/Kids[3 0 R]/Count 1>>",
		"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R" +
			"/Resources<</Font<</F1 5 0 R>>>>>>",
		fmt.Sprintf("<</Length %d>>stream\n%s\nendstream", page.Len(), page.String()),
		"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
	} {
		offsets = append(offsets, b.Len())
		fmt.Fprintf(&b, "%d 0 obj%s endobj\n", i+1, object)
	}
	table := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(offsets)+1)
	for _, offset := range offsets {
		fmt.Fprintf(&b, "%010d 00000 n \n", offset)
	}
	fmt.Fprintf(&b, "trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n", len(offsets)+1, table)
	return b.Bytes()
}

// hugePNG returns the header of a PNG image of 30,000 × 30,000 pixels, without the image data.
func hugePNG() []byte {
	header := binary.BigEndian.AppendUint32([]byte("IHDR"), 30_000)
	header = append(binary.BigEndian.AppendUint32(header, 30_000), 8, 2, 0, 0, 0)
	b := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), header...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(header))
}
