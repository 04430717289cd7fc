package extract

import "cmp"

// odfFamilies are the families of the styles of the elements that can be hidden, by their
// style or by themselves.
var odfFamilies = map[string]string{
	"p": "paragraph", "h": "paragraph", "span": "text", "table": "table", "page": "drawing-page",
	"section": "section", "hidden-text": "text",
	"frame": "graphic", "custom-shape": "graphic", "rect": "graphic", "g": "graphic",
}

// odfStyles are the styles of an OpenDocument file, and the state of reading them. Their names
// begin with their family.
type odfStyles struct {
	all     styles
	current *style
}

func newODFStyles() *odfStyles { return &odfStyles{styles{}, &style{}} }

// start handles the start tag of a style (OpenDocument 1.3, part 3, 16.2) or of its properties:
// text:display, table:display or presentation:visibility.
func (s *odfStyles) start(name string, attributes func() map[string]string) {
	switch name {
	case "style":
		attrs := attributes()
		family := attrs["family"] + " "
		s.current = s.all.add(family + attrs["name"])
		s.current.base = family + attrs["parent-style-name"]
	case "text-properties", "table-properties", "drawing-page-properties":
		attrs := attributes()
		switch cmp.Or(attrs["display"], attrs["visibility"]) {
		case "none", "false", "hidden":
			s.current.hide(true)
		case "true", "visible":
			s.current.hide(false)
		}
	}
}

func (s *odfStyles) end(name string) {
	if name == "style" {
		s.current = &style{}
	}
}

// hide reports whether an element with these attributes, and a style of the family, is hidden.
func (s *odfStyles) hide(family string, attrs map[string]string) bool {
	return attrs["display"] == "none" || attrs["is-hidden"] == "true" ||
		s.all.hide(family+" "+attrs["style-name"])
}
