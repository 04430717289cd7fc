package extract

import "strings"

// readParagraphs reads a part in WordprocessingML, or in the DrawingML of a slide. In both, "p" is
// a paragraph, "r" a run, and "t" the characters of a run.
func (a *archive) readParagraphs(part string, text *text) error {
	return a.readStyledParagraphs(part, nil, text)
}

// readStyledParagraphs reads the paragraphs of a part that are not hidden by one of the styles.
func (a *archive) readStyledParagraphs(part string, styles styles, text *text) error {
	text.breakLine()
	text.breakLine()
	p := &paragraphReader{text: text, styles: styles}
	return a.parse(part, xmlHandler{
		start: p.start, end: p.end, text: p.characters, done: text.full,
	})
}

// paragraphReader writes the text of the paragraphs of a part.
type paragraphReader struct {
	text          *text
	styles        styles
	inCharacters  bool // in a "t" or "text"; other characters between tags are not text
	commentStarts bool // the next characters are the first of a comment
	// fallbacks is the number of open elements that repeat the content before them for old
	// programs.
	fallbacks int
	// movedAway is the number of open elements whose content was deleted or moved to another place.
	movedAway int
	// former is the number of open elements with the properties before a tracked change.
	former int
	// The style of a paragraph hides its runs, unless their own properties show them.
	paragraphHidden, runHidden bool
	slideHidden                bool
	shapes                     hiding
	fields                     []field // the open fields, from the outermost
	fieldCharacterKind         string  // of the last one
	inInstruction              bool
	list                       dropDown
}

func (p *paragraphReader) start(name string, attributes func() map[string]string) {
	switch name {
	case "t", "text":
		p.inCharacters = true
	case "tab", "ptab":
		p.write(" ")
	case "nobreakhyphen":
		p.write("-")
	case "br", "cr":
		p.text.breakLine()
	case "p", "cm", "comment":
		p.commentStarts = p.commentStarts || name == "comment"
		p.paragraphHidden = false
		p.text.startLine()
	case "textpath":
		p.text.flow(attributes()["string"] + " ")
	default:
		p.startHidden(name, attributes)
		p.startField(name, attributes)
	}
}

// startHidden handles the start tag of an element that hides what is in it, or what follows.
func (p *paragraphReader) startHidden(name string, attributes func() map[string]string) {
	switch name {
	case "r":
		// The properties of the paragraph, which were read before, are those of its mark. The mark of a
		// heading that continues in the next paragraph is hidden (ECMA-376-1, 17.3.1.29 and 17.3.2.36).
		p.runHidden = p.paragraphHidden
	case "pstyle", "rstyle", "vanish":
		if p.former == 0 {
			p.property(name, attributes()["val"])
		}
	case "rprchange", "pprchange":
		p.former++
	case "fallback":
		p.fallbacks++
	case "movefrom", "del":
		p.movedAway++
	case "sld":
		p.slideHidden = isOff(attributes()["show"])
	case "cnvpr", "docpr":
		if value := attributes()["hidden"]; value != "" && !isOff(value) {
			p.shapes.hide()
		}
	}
	if isShape(name) {
		p.shapes.begin(false)
	}
}

// isShape reports whether this is an element with a shape or with a group of them. One of the
// elements in it, which has the name of the shape, determines whether it is hidden (ECMA-376-1,
// 19.3.1.12 and 20.4.2.5).
func isShape(name string) bool {
	switch name {
	case "sp", "grpsp", "cxnsp", "pic", "graphicframe", // in slides and sheets
		"anchor", "inline", "wsp", "wgp": // in documents of Word
		return true
	}
	return false
}

// property handles a property of a paragraph or a run that determines whether it is hidden.
func (p *paragraphReader) property(name, value string) {
	switch name {
	case "pstyle":
		p.paragraphHidden = p.styles.hide(value)
	case "rstyle":
		p.runHidden = p.runHidden || p.styles.hide(value)
	case "vanish":
		p.runHidden = !isOff(value)
	}
}

// isOff reports whether a property with two states is off (ECMA-376-1, 22.9.2.7; older programs
// write "off"). It is on if it has no value.
func isOff(value string) bool {
	return value == "0" || value == "false" || value == "off"
}

func (p *paragraphReader) end(name string) {
	switch name {
	case "t", "text":
		p.inCharacters = false
	case "r":
		p.runHidden = false
	case "rprchange", "pprchange":
		p.former = max(0, p.former-1)
	case "p":
		p.endInstructions()
		p.paragraphHidden = false
		p.text.startLine()
	case "fallback":
		p.fallbacks = max(0, p.fallbacks-1)
	case "instrtext":
		p.inInstruction = false
	case "ddlist":
		p.list.open = false
	case "fldchar":
		if p.fallbacks == 0 && p.movedAway == 0 {
			p.fieldCharacter(p.fieldCharacterKind)
		}
	case "movefrom", "del":
		p.movedAway = max(0, p.movedAway-1)
	}
	if isShape(name) {
		p.shapes.end()
	}
}

// hidden reports whether the characters that follow are not displayed.
func (p *paragraphReader) hidden() bool {
	return p.fallbacks > 0 || p.movedAway > 0 || p.runHidden || p.slideHidden ||
		p.shapes.hidden()
}

func (p *paragraphReader) characters(s string) {
	switch {
	case p.hidden():
	case p.inCharacters:
		if p.commentStarts {
			s, p.commentStarts = withoutNotice(s), false
		}
		p.write(s)
	case p.inInstruction && p.instruction() != nil:
		p.write(s)
	}
}

// noticeLink is in the notice that Excel writes, in its own language, before a threaded comment,
// for its versions that do not have them. The notice ends with the word for "comment" and a colon.
const noticeLink = "linkid=870924"

// withoutNotice returns the text of a comment without that notice.
func withoutNotice(comment string) string {
	if _, after, ok := strings.Cut(comment, noticeLink); ok {
		if _, text, ok := strings.Cut(strings.ReplaceAll(after, "：", ":"), ":"); ok {
			return text
		}
	}
	if strings.HasPrefix(comment, "[Threaded comment]") {
		if _, after, ok := strings.Cut(comment, "Comment:"); ok {
			return after
		}
	}
	return comment
}
