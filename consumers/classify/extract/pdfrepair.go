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

// pdfPage matches the type of a page.
var pdfPage = regexp.MustCompile(`/Type\s*/Page\b`)

// repair returns the content of a damaged PDF with a list of the pages that it contains, or nil if
// there are none. The list of pages and what refers to it are often at the end of a file, which is
// missing in a PDF that was cut off. PDFium finds the other objects itself.
func repair(content []byte) []byte {
	if bytes.Contains(content, []byte("/Encrypt")) { // its key is missing
		return nil
	}
	var order []string
	listed, last := map[string]bool{}, 0
	for o := range pdfObjects(content) {
		number, _ := strconv.Atoi(strings.Split(o.name, " ")[0])
		last = max(last, number)
		if o.stream == nil && !o.isPacked && pdfPage.Match(o.body) && !listed[o.name] &&
			len(order) < maxRepairedPages {
			listed[o.name] = true
			order = append(order, o.name)
		}
	}
	if len(order) == 0 {
		return nil
	}
	const room = 1 << 20 // for the list
	b := bytes.NewBuffer(make([]byte, 0, len(content)+room))
	b.Write(content)
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
