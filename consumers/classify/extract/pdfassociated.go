package extract

import (
	"bytes"
	"regexp"
)

// maxAssociations is the number of objects that lead to associated files and are kept in memory.
const maxAssociations = 10_000

var (
	embeddedFile = regexp.MustCompile(`/Type\s*/EmbeddedFile\b`)
	// associations matches the associated files of an object: a reference or an array.
	associations = regexp.MustCompile(`(?s)/AF\s*(\[.*?\]|[0-9]+\s+[0-9]+\s+R\b)`)
	// embeddedContent matches the dictionary with the content of a file.
	embeddedContent = regexp.MustCompile(`/EF\s*<<[^>]*>>`)
	pdfReference    = regexp.MustCompile(`\b([0-9]{1,7})\s+([0-9]{1,5})\s+R\b`)
)

// associatedFiles returns the contents of the files that belong to objects of the PDF (ISO 32000-2,
// 14.13), in the order of those objects. It returns none if the PDF is encrypted.
func associatedFiles(content []byte) (files []pdfObject) {
	if !bytes.Contains(content, []byte("/EmbeddedFile")) ||
		bytes.Contains(content, []byte("/Encrypt")) {
		return nil
	}
	// References from the objects that have files, from file specifications and from arrays, and
	// the contents. Of an object that was changed the last version counts.
	owners, links := map[string][]string{}, map[string][]string{}
	contents := map[string]pdfObject{}
	var order []string
	for o := range pdfObjects(content) {
		delete(owners, o.name)
		delete(links, o.name)
		delete(contents, o.name)
		if max(len(order), len(links), len(contents)) >= maxAssociations {
			break
		}
		if o.stream != nil {
			if embeddedFile.Match(o.body) {
				contents[o.name] = o
			}
			continue
		}
		if specification := embeddedContent.Find(o.body); specification != nil {
			links[o.name] = pdfReferences(specification)
		} else if body := bytes.TrimSpace(o.body); bytes.HasPrefix(body, []byte("[")) {
			links[o.name] = pdfReferences(body)
		}
		if found := associations.FindSubmatch(o.body); found != nil {
			owners[o.name] = pdfReferences(found[1])
			order = append(order, o.name)
		}
	}
	for _, owner := range order {
		for level, left := owners[owner], 3; len(level) > 0 && left > 0; left-- {
			var next []string
			for _, name := range level {
				if file, ok := contents[name]; ok {
					files = append(files, file)
					delete(contents, name) // other references to it add nothing
				}
				next = append(next, links[name]...)
				delete(links, name)
			}
			level = next
		}
	}
	return files
}

// pdfReferences returns the names of the first objects to which body refers.
func pdfReferences(body []byte) (names []string) {
	for _, found := range pdfReference.FindAllSubmatch(body, maxAttachments) {
		names = append(names, string(found[1])+" "+string(found[2]))
	}
	return names
}
