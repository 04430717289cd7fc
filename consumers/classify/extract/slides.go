package extract

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strconv"
)

// slideName matches the names of slides in a presentation.
var slideName = regexp.MustCompile(`^ppt/slides/slide([0-9]{1,9})\.xml$`)

// maxSlides is the number of slides that are read.
const maxSlides = 10_000

// slides returns the names of the slides in the order of the presentation, whose main part lists
// them. If that is damaged it returns all slides in the order of their numbers.
func (a *archive) slides(main string) ([]string, error) {
	related, err := a.relationships(main)
	if err != nil {
		return nil, err
	}
	var names []string
	err = a.parse(main, xmlHandler{
		start: func(name string, attributes func() map[string]string) {
			if name != "sldid" {
				return
			}
			// A number, in an attribute of the same local name, is before the ID.
			if r := related[attributes()["id"]]; r.kind == "slide" && a.has(r.target) {
				names = append(names, r.target)
			}
		},
		end: func(string) {}, text: func(string) {},
		done: func() bool { return len(names) >= maxSlides },
	})
	if err != nil || len(names) > 0 {
		return names, err
	}
	for name := range a.folded {
		if slideName.MatchString(name) {
			names = append(names, name)
		}
	}
	number := func(name string) int {
		n, _ := strconv.Atoi(slideName.FindStringSubmatch(name)[1]) // at most nine digits
		return n
	}
	slices.SortFunc(names, func(x, y string) int { return cmp.Compare(number(x), number(y)) })
	return names, nil
}

// readSlides reads a presentation: all slides, then all speaker notes. It returns the number of
// slides.
func (a *archive) readSlides(main string, text *text) (int, error) {
	all, err := a.slides(main)
	if err != nil {
		return 0, err
	}
	for _, slide := range all {
		if err := a.readParagraphs(slide, text); err != nil {
			return len(all), err
		}
	}
	for _, slide := range all {
		if err := a.readRelated(slide, "notesSlide", text); err != nil {
			return len(all), err
		}
	}
	for _, slide := range all {
		if err := a.readDrawings(slide, text, maxDrawingDepth); err != nil {
			return len(all), err
		}
		if err := a.readRelated(slide, "comments", text); err != nil {
			return len(all), err
		}
	}
	return len(all), nil
}

// readRelated reads the paragraphs of what has a relationship of this kind to a slide or sheet,
// such as notes or comments.
func (a *archive) readRelated(part, kind string, text *text) error {
	related, err := a.relationships(part)
	if err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(related)) {
		if r := related[id]; r.kind == kind && a.has(r.target) {
			if err := a.readParagraphs(r.target, text); err != nil {
				return err
			}
		}
	}
	return nil
}
