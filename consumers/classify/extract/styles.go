package extract

import "io"

const (
	// maxStyles is the number of styles of a document that are read.
	maxStyles = 10_000
	// maxBaseStyles is the number of styles that are followed, each of which is based on the next.
	maxBaseStyles = 20
)

// styles are the styles of a document by their names.
type styles map[string]*style

// style is a style as far as it determines whether its text is hidden. If neither hides nor shows
// is set, this is inherited from the style that it is based on.
type style struct {
	base         string // "" if there is none
	hides, shows bool
}

// add adds a style without properties, or only returns one if there are maxStyles.
func (s styles) add(name string) *style {
	added := &style{}
	if len(s) < maxStyles {
		s[name] = added
	}
	return added
}

func (s *style) hide(hides bool) { s.hides, s.shows = hides, !hides }

// hide reports whether the text of a style is hidden.
func (s styles) hide(name string) bool {
	for range maxBaseStyles {
		style := s[name]
		switch {
		case style == nil:
			return false
		case style.hides || style.shows:
			return style.hides
		}
		name = style.base
	}
	return false
}

// wordStyles returns the styles of a word processing document (ECMA-376-1, 17.7). A damaged part
// has the styles before the damage.
func (a *archive) wordStyles(main string) styles {
	related, _ := a.relationships(main) // which are read again, with their error, after the text
	found := styles{}
	for _, r := range related {
		if r.kind == "styles" {
			a.readStyles(r.target, wordStyleReader(found))
		}
	}
	return found
}

// readStyles reads a part with styles. It is read before the text, which has to be read even if the
// part is damaged or missing.
func (a *archive) readStyles(part string, h xmlHandler) {
	_ = a.read(part, func(r io.Reader) error {
		return parseXML(io.LimitReader(r, maxTextBytes), h)
	})
}

// wordStyleReader adds the styles of a part to found.
func wordStyleReader(found styles) xmlHandler {
	current := &style{}
	return xmlHandler{
		start: func(name string, attributes func() map[string]string) {
			switch name {
			case "style":
				current = found.add(attributes()["styleid"])
			case "basedon":
				current.base = attributes()["val"]
			case "vanish":
				current.hide(!isOff(attributes()["val"]))
			}
		},
		end: func(string) {}, text: func(string) {},
	}
}
