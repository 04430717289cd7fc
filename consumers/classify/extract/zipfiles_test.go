package extract

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// The files in an archive that is attached are read like other attachments.
func TestAttachedArchives(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{Timeout: time.Minute})
	mail := func(parts ...part) []byte { return attachedMail(zipped(parts...)) }
	var many, binaries, large []part
	for i := range 25 {
		many = append(many, part{fmt.Sprint(i, ".txt"), "content"})
		binaries = append(binaries, part{fmt.Sprint(i, ".bin"), "\x00\x01\x02\x03"})
		large = append(large, part{fmt.Sprint(i, ".txt"), bomb("words ")})
	}
	text := part{"next.txt", "the content"}
	nested := zipped(text)
	for range maxEmbeddedDepth {
		nested = zipped(part{"inner.zip", string(nested)})
	}
	for name, c := range map[string]occurrence{
		"texts": {
			mail(part{"letters/", ""}, part{"letters/one.txt", "first words"}, text),
			"body\n0\n\nletters/one.txt\nnext.txt\n\nfirst words\n\nthe content", 1, false,
		},
		"PDF":               {mail(part{"a.pdf", string(textPDF("page"))}), "a.pdf\n\npage", 1, false},
		"docx":              {mail(part{"a.docx", string(docx("<w:t>office</w:t>"))}), "\n\noffice", 1, false},
		"archive within it": {mail(part{"a.zip", string(zipped(text))}), "the content", 1, false},
		"too deep":          {attachedMail(nested), "the content", 0, true},
		"other kinds first": {mail(append(binaries, text)...), "next.txt\n\nthe content", 1, false},
		"25 files":          {mail(many...), "\n\ncontent", maxEmbeddedFiles - 1, true},
		"encrypted":         {attachedMail(encryptedEntries(zipped(text))), "next.txt", 1, true},
		"1,001 files":       {mail(append(slices.Repeat(binaries, 40), text)...), "the content", 0, true},
		"no content":        {attachedMail(encryptedEntries(zipped(text))), "the content", 0, true},
		"bomb":              {mail(text, part{"a.txt", bomb("words ")}), "next.txt\n\nthe content", 1, true},
		"25 bombs":          {mail(large...), "words", 0, true},
		"hidden files":      {mail(part{"__MACOSX/a", "no"}, part{".a", "no"}, text), "0\n\nnext.txt", 1, false},
		"letters of DOS":    {mail(part{"Z\x81rich und K\x94ln.txt", "x"}), "Zürich und Köln.txt", 1, false},
		"unknown package":   {mail(part{contentTypes, "<Types/>"}, part{"a.xml", "<a>no</a>"}), "a.xml", 0, false},
		"in a docx": {
			docx("<w:t>cover</w:t>",
				related("word/_rels/document.xml.rels", "package", "embeddings/a.zip"),
				part{"word/embeddings/a.zip", string(zipped(text))}),
			"cover\n\nnext.txt\n\nthe content", 1, false,
		},
	} {
		t.Run(name, func(t *testing.T) { c.check(t, e) })
	}
}
