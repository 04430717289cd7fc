package extract

import "strings"

// rtfNotes are the destinations whose content is written after the paragraph around them.
var rtfNotes = set("footnote", "annotation")

// note adds a part of a note or comment.
func (r *rtfReader) note(s string) {
	if r.notes.Len() < maxToken {
		r.notes.WriteString(s)
	}
}

// writeNotes writes the notes and comments of a paragraph after it.
func (r *rtfReader) writeNotes() {
	if r.notes.Len() == 0 {
		return
	}
	r.text.startLine()
	r.text.write(strings.TrimLeft(r.notes.String(), "\n"))
	r.text.startLine()
	r.notes.Reset()
}
