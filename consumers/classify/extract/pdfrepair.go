package extract

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// maxRepairedPages is the number of pages of a damaged PDF that are found.
const maxRepairedPages = 10_000

// maxPageDictionary is the number of bytes of a page's dictionary that are read.
const maxPageDictionary = 8 << 10

// pdfPage matches the type of a page.
var pdfPage = regexp.MustCompile(`/Type\s*/Page\b`)

// repair returns a damaged PDF with a list of the pages that it contains, or nil if there are none.
// The list of pages and what refers to it are often at the end of a file, which is missing in a PDF
// that was cut off. PDFium finds the other objects itself.
func repair(src *source) []byte {
	const room = 1 << 20 // for the list
	reader, inMemory := src.readSeekerAt.(*bytes.Reader)
	if !inMemory {
		return nil
	}
	content := make([]byte, reader.Size(), reader.Size()+room)
	if n, _ := reader.ReadAt(content, 0); n < len(content) {
		return nil
	}
	if bytes.Contains(content, []byte("/Encrypt")) { // its key is missing
		return nil
	}
	var order []string
	start, end := []byte(" obj"), []byte("endobj")
	listed, last := map[string]bool{}, 0
	for at := bytes.Index(content, start); at >= 0 && len(order) < maxRepairedPages; {
		name := objectName(content[:at])
		at += len(start)
		object, next := content[at:], bytes.Index(content[at:], start)
		if next >= 0 {
			object = object[:next]
			next += at
		}
		at = next
		number, _ := strconv.Atoi(strings.Split(name, " ")[0]) // 0 if there is no name
		last = max(last, number)
		dictionary, _, whole := bytes.Cut(object[:min(len(object), maxPageDictionary)], end)
		if name == "" || listed[name] || !whole || bytes.Contains(dictionary, []byte("stream")) ||
			!pdfPage.Match(dictionary) {
			continue
		}
		listed[name] = true
		order = append(order, name)
	}
	if len(order) == 0 {
		return nil
	}
	b := bytes.NewBuffer(content)
	fmt.Fprintf(b, "\nendstream\nendobj\n%d 0 obj\n<< /Type /Catalog /Pages %d 0 R >>\nendobj\n",
		last+1, last+2)
	fmt.Fprintf(b, "%d 0 obj\n<< /Type /Pages /Count %d /Kids [", last+2, len(order))
	for _, name := range order {
		fmt.Fprintf(b, " %s R", name)
	}
	fmt.Fprintf(b, " ] >>\nendobj\ntrailer\n<< /Root %d 0 R /Size %d >>\nstartxref\n0\n%%%%EOF\n",
		last+1, last+3)
	return b.Bytes()
}

// objectName returns the number and generation of an object at the end of content, or "".
func objectName(content []byte) string {
	const longest = 14
	found := pdfName.FindSubmatch(content[max(0, len(content)-longest):])
	if found == nil {
		return ""
	}
	return string(found[1])
}

// pdfName matches the number, which is not 0, and the generation of an object.
var pdfName = regexp.MustCompile(`(?:^|[^0-9])([1-9][0-9]{0,6} [0-9]{1,5})$`)
