package extract

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// maxRepairedPages is the number of pages of a damaged PDF that are found.
const maxRepairedPages = 10_000

// pdfPage matches the type of a page.
var pdfPage = regexp.MustCompile(`/Type\s*/Page\b`)

// repair returns the content of a damaged PDF with a list of the pages that it contains, or nil if
// there are none. The list of pages and what refers to it are often at the end of a file, which is
// missing in a PDF that was cut off. PDFium finds the other objects itself, except those within
// object streams, which are added as well.
func repair(content []byte) []byte {
	if bytes.Contains(content, []byte("/Encrypt")) { // its key is missing
		return nil
	}
	var order []string
	listed, packed, last := map[string]bool{}, map[string][]byte{}, 0
	for o := range pdfObjects(content) {
		number, _ := strconv.Atoi(strings.Split(o.name, " ")[0])
		last = max(last, number)
		delete(packed, o.name) // of an object that was changed the last version counts
		if o.isPacked {
			packed[o.name] = o.body
		}
		if o.stream == nil && pdfPage.Match(o.body) && !listed[o.name] &&
			len(order) < maxRepairedPages {
			listed[o.name] = true
			order = append(order, o.name)
		}
	}
	if len(order) == 0 {
		return nil
	}
	// The last object, which is not whole if the file was cut off, keeps its number.
	end := max(0, bytes.LastIndex(content, []byte(" obj")))
	number, _ := strconv.Atoi(strings.Split(pdfObjectName(content[:end]), " ")[0])
	last = max(last, number)
	const room = 1 << 20 // for the list
	b := bytes.NewBuffer(make([]byte, 0, len(content)+room))
	b.Write(content)
	b.WriteString("\nendstream\nendobj\n")
	for _, name := range slices.Sorted(maps.Keys(packed)) {
		fmt.Fprintf(b, "%s obj\n%s\nendobj\n", name, bytes.TrimSpace(packed[name]))
	}
	fmt.Fprintf(b, "%d 0 obj\n<< /Type /Catalog /Pages %d 0 R >>\nendobj\n", last+1, last+2)
	fmt.Fprintf(b, "%d 0 obj\n<< /Type /Pages /Count %d /Kids [", last+2, len(order))
	for _, name := range order {
		fmt.Fprintf(b, " %s R", name)
	}
	fmt.Fprintf(b, " ] >>\nendobj\ntrailer\n<< /Root %d 0 R /Size %d >>\nstartxref\n0\n%%%%EOF\n",
		last+1, last+3)
	return b.Bytes()
}
