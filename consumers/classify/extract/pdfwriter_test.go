package extract

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"crypto/md5"
	"crypto/rc4"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

// pdfWriter writes PDF 1.7 files (ISO 32000-1, 7.5), valid or deliberately invalid.
type pdfWriter struct {
	b       bytes.Buffer
	offsets []int
	trailer string // further entries of the trailer dictionary
	catalog string // further entries of the catalog
	page    string // further entries of each page
	key     []byte // encrypts streams unless it is nil
}

func newPDF() *pdfWriter {
	w := &pdfWriter{}
	w.b.WriteString("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
	return w
}

// next returns the number of the next object.
func (w *pdfWriter) next() int { return len(w.offsets) + 1 }

func (w *pdfWriter) object(body string) int {
	n := w.next()
	w.offsets = append(w.offsets, w.b.Len())
	fmt.Fprintf(&w.b, "%d 0 obj\n%s\nendobj\n", n, body)
	return n
}

func (w *pdfWriter) stream(entries string, content []byte) int {
	if w.key != nil {
		content = cipher(objectKey(w.key, w.next()), content)
	}
	return w.object(fmt.Sprintf("<< %s /Length %d >>\nstream\n%s\nendstream",
		entries, len(content), content))
}

// attach adds a file and returns the number of its specification, to which something has to refer.
func (w *pdfWriter) attach(content string) int {
	file := w.stream("/Type /EmbeddedFile", []byte(content))
	return w.object(fmt.Sprintf(
		"<< /Type /Filespec /F (a) /UF (a) /EF << /F %d 0 R /UF %d 0 R >> >>", file, file))
}

// end writes the cross-reference table and the trailer, and returns the file.
func (w *pdfWriter) end(root int) []byte {
	xref := w.b.Len()
	fmt.Fprintf(&w.b, "xref\n0 %d\n0000000000 65535 f \n", w.next())
	for _, offset := range w.offsets {
		fmt.Fprintf(&w.b, "%010d 00000 n \n", offset)
	}
	fmt.Fprintf(&w.b, "trailer\n<< /Size %d /Root %d 0 R %s >>\nstartxref\n%d\n%%%%EOF\n",
		w.next(), root, w.trailer, xref)
	return w.b.Bytes()
}

// pages adds a page for each content stream and ends the file. It adds entries to the dictionary of
// each stream, and resources to the resources of each page.
func (w *pdfWriter) pages(entries, resources string, contents ...[]byte) []byte {
	font := w.object("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica " +
		"/Encoding /WinAnsiEncoding >>")
	parent := w.next() + 2*len(contents)
	var kids strings.Builder
	for _, content := range contents {
		c := w.stream(entries, content)
		p := w.object(fmt.Sprintf("<< /Type /Page /Parent %d 0 R /MediaBox [0 0 612 792] "+
			"/Contents %d 0 R /Resources << /Font << /F1 %d 0 R >> %s >> %s >>",
			parent, c, font, resources, w.page))
		fmt.Fprintf(&kids, "%d 0 R ", p)
	}
	tree := w.object(fmt.Sprintf("<< /Type /Pages /Count %d /Kids [ %s ] >>",
		len(contents), kids.String()))
	return w.end(w.object(fmt.Sprintf("<< /Type /Catalog /Pages %d 0 R %s >>", tree, w.catalog)))
}

// lines returns a content stream that shows lines of text.
func lines(text ...string) []byte {
	var b bytes.Buffer
	b.WriteString("BT /F1 12 Tf 72 720 Td 14 TL\n")
	for _, line := range text {
		fmt.Fprintf(&b, "(%s) Tj T*\n", line)
	}
	b.WriteString("ET\n")
	return b.Bytes()
}

// textPDF returns a valid PDF with one page for each text.
func textPDF(pages ...string) []byte {
	contents := make([][]byte, len(pages))
	for i, page := range pages {
		contents[i] = lines(strings.Split(page, "\n")...)
	}
	return newPDF().pages("", "", contents...)
}

// longPDF returns a PDF of n pages of about 2,700 characters each.
func longPDF(n int) []byte {
	pages := make([]string, n)
	for i := range pages {
		page := []string{fmt.Sprintf("Page number %d of the report", i+1)}
		for j := range 40 {
			page = append(page, fmt.Sprintf(
				"Line %d speaks of invoices, contracts, insurance and the weather in May.", j))
		}
		pages[i] = strings.Join(page, "\n")
	}
	return textPDF(pages...)
}

func deflate(content []byte) []byte {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, _ = z.Write(content)
	_ = z.Close()
	return b.Bytes()
}

// deflateRepeated returns zlib data that decompresses to n copies of chunk. It compresses chunk
// only once and repeats the block. The checksum at the end is wrong, but readers check it only
// after they have read all data.
func deflateRepeated(chunk []byte, n int) []byte {
	var block bytes.Buffer
	f, _ := flate.NewWriter(&block, flate.BestCompression) // fails only for invalid levels
	_, _ = f.Write(chunk)
	_ = f.Flush()
	out := append([]byte{0x78, 0xda}, bytes.Repeat(block.Bytes(), n)...)
	return append(out, 0x03, 0x00, 0, 0, 0, 0) // an empty last block
}

// encryptedPDF returns a PDF with one page, encrypted by revision 2 of the standard security
// handler: 40-bit RC4 (ISO 32000-1, 7.6.3, algorithms 1 to 4).
func encryptedPDF(userPassword, ownerPassword, page string) []byte {
	const permissions = -4
	id := []byte("0123456789abcdef")
	ownerKey := md5.Sum(padded(ownerPassword))
	owner := cipher(ownerKey[:5], padded(userPassword))

	h := md5.New()
	h.Write(padded(userPassword))
	h.Write(owner)
	p := int32(permissions)
	_ = binary.Write(h, binary.LittleEndian, p)
	h.Write(id)
	key := h.Sum(nil)[:5]
	user := cipher(key, padded(""))

	w := newPDF()
	crypt := w.object(fmt.Sprintf("<< /Filter /Standard /V 1 /R 2 /P %d /O <%x> /U <%x> >>",
		permissions, owner, user))
	w.trailer = fmt.Sprintf("/Encrypt %d 0 R /ID [<%x> <%x>]", crypt, id, id)
	w.key = key
	return w.pages("", "", lines(page))
}

func padded(password string) []byte {
	const padding = "\x28\xBF\x4E\x5E\x4E\x75\x8A\x41\x64\x00\x4E\x56\xFF\xFA\x01\x08" +
		"\x2E\x2E\x00\xB6\xD0\x68\x3E\x80\x2F\x0C\xA9\xFE\x64\x53\x69\x7A"
	return []byte(password + padding)[:32]
}

func objectKey(key []byte, object int) []byte {
	salted := append(bytes.Clone(key), byte(object), byte(object>>8), byte(object>>16), 0, 0)
	sum := md5.Sum(salted)
	return sum[:min(len(key)+5, 16)]
}

func cipher(key, content []byte) []byte {
	c, err := rc4.NewCipher(key)
	if err != nil {
		panic(err)
	}
	out := make([]byte, len(content))
	c.XORKeyStream(out, content)
	return out
}

// endlessPDF returns a PDF that takes hours to read. It has a chain of form XObjects, each of which
// shows the next one many times, like the "billion laughs" of XML. The last one consists of many
// operators that use no memory, so that the time runs out before the memory does.
func endlessPDF() []byte {
	const depth, width = 9, 30
	w := newPDF()
	first := w.next()
	for i := range depth {
		resources := ""
		content := bytes.Repeat([]byte("q Q\n"), 1<<16)
		if i < depth-1 {
			resources = fmt.Sprintf("/Resources << /XObject << /X %d 0 R >> >>", first+i+1)
			content = bytes.Repeat([]byte("/X Do\n"), width)
		}
		w.stream("/Type /XObject /Subtype /Form /BBox [0 0 612 792] "+resources, content)
	}
	return w.pages("", fmt.Sprintf("/XObject << /X %d 0 R >>", first), []byte("/X Do\n"))
}

// readerOnly hides ReadAt.
type readerOnly struct{ io.Reader }
