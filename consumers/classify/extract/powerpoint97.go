package extract

import (
	"context"
	"fmt"
	"maps"
	"slices"
)

// Types of records ([MS-PPT], 2.13.24).
const (
	pptDocument, pptSlide, pptNotes   = 0x3e8, 0x3ee, 0x3f0
	pptSlidePersist, pptMaster        = 0x3f3, 0x3f8
	pptTextChars, pptTextBytes        = 0xfa0, 0xfa8
	pptSlideList, pptUserEdit         = 0xff0, 0xff5
	pptPersistDirectory, pptRecordTop = 0x1772, 8
	pptHandout, pptDocumentAtom       = 0xfc9, 0x3e9
	pptSlideShow                      = 0x3f9

	// pptEncrypted marks the stream of the current user of an encrypted presentation.
	pptEncrypted = 0xf3d1c4df
	// maxPersist is the number of objects of a presentation, with their earlier versions.
	maxPersist = 100_000
)

// readPowerPoint97 reads a presentation of PowerPoint 97 to 2003, whose main stream is main: the
// slides, then the notes. The stream may contain earlier versions of both.
func (c *compound) readPowerPoint97(main []byte, text *text) error {
	user, _ := c.stream("Current User")
	if u32(user, 12) == pptEncrypted {
		return fmt.Errorf("%w: password-protected presentation", ErrEncrypted)
	}
	p := &powerPoint97{ctx: c.ctx, main: main, text: text, masters: map[int]bool{}}
	p.current = p.objects(u32(user, 16))
	if len(p.current) > 0 {
		p.readDocument()
	}
	for _, wanted := range []int{pptSlide, pptNotes} {
		for _, at := range p.order() {
			r, _, ok := readPPTRecord(main[at:])
			if p.slideHidden = r.hidden(); ok && r.kind == wanted {
				text.breakLine()
				text.breakLine()
				p.walk(r.content, 0)
			}
		}
	}
	if !text.readable { // the list of the objects is damaged
		p.walk(main, 0)
	}
	return nil
}

// powerPoint97 is the state of readPowerPoint97. It holds a context because it exists only during
// one call.
type powerPoint97 struct {
	ctx      context.Context
	main     []byte
	text     *text
	document int          // the number of the object that lists the slides
	slides   []int        // the numbers of the objects of the slides and notes, in their order
	masters  map[int]bool // the numbers of the objects of the masters, some of which are slides
	current  map[int]int  // the offsets of the objects by their numbers
	// slideHidden is set if what is read belongs to a slide that is not displayed.
	slideHidden bool
}

// pptRecord is a record, which contains others if it is a container.
type pptRecord struct {
	kind, instance int
	container      bool
	content        []byte
}

// readPPTRecord reads the first record in b and returns what follows it.
func readPPTRecord(b []byte) (r pptRecord, rest []byte, ok bool) {
	if len(b) < pptRecordTop {
		return r, nil, false
	}
	version := u16(b, 0)
	r = pptRecord{kind: u16(b, 2), instance: version >> 4, container: version&0xf == 0xf}
	r.content = span(b, pptRecordTop, u32(b, 4))
	return r, b[pptRecordTop+len(r.content):], true
}

// hidden reports whether the record is a slide that is not displayed. The record that determines it
// is one of the first in the slide ([MS-PPT], 2.5.1 and 2.6.6).
func (r pptRecord) hidden() bool {
	const flags, hidden, first = 10, 4, 8
	rest := r.content
	for range first {
		child, next, ok := readPPTRecord(rest)
		if !ok || r.kind != pptSlide {
			break
		}
		if child.kind == pptSlideShow {
			return u16(child.content, flags)&hidden != 0
		}
		rest = next
	}
	return false
}

// objects returns the offsets of the current objects by their numbers ([MS-PPT], 2.1.2 and 2.3.4).
// The newest edit is at the offset; each edit refers to one that was stored before it.
func (p *powerPoint97) objects(edit int) map[int]int {
	found := map[int]int{}
	for left := maxPersist; left > 0 && edit > 0 && edit < len(p.main); {
		r, _, _ := readPPTRecord(p.main[edit:])
		directory, _, _ := readPPTRecord(span(p.main, u32(r.content, 12), len(p.main)))
		if r.kind != pptUserEdit || directory.kind != pptPersistDirectory {
			break
		}
		if len(found) == 0 {
			p.document = u32(r.content, 16)
		}
		for list := directory.content; len(list) >= 4; {
			number, count := u32(list, 0)&0xfffff, u32(list, 0)>>20
			list = list[4:]
			for ; count > 0 && len(list) >= 4 && left > 0; count, left = count-1, left-1 {
				at := u32(list, 0)
				if _, newer := found[number]; !newer && at < len(p.main) {
					found[number] = at
				}
				number, list = number+1, list[4:]
			}
			left--
		}
		if previous := u32(r.content, 8); previous < edit {
			edit = previous
		} else {
			break
		}
		left--
	}
	return found
}

// readDocument reads the list of slides and notes, and the texts of the outline, which are not
// repeated in the slides.
func (p *powerPoint97) readDocument() {
	document, _, _ := readPPTRecord(p.main[p.current[p.document]:])
	if document.kind != pptDocument {
		return
	}
	const masters = 1
	for rest := document.content; ; {
		list, next, ok := readPPTRecord(rest)
		if !ok {
			return
		}
		switch {
		case list.kind == pptDocumentAtom: // it refers to the master of the notes
			p.masters[u32(list.content, 24)] = true
		case list.kind == pptSlideList && list.instance == masters:
			p.readMasters(list.content)
		case list.kind == pptSlideList:
			p.walk(list.content, 0)
		}
		rest = next
	}
}

// readMasters reads the list of masters.
func (p *powerPoint97) readMasters(records []byte) {
	for len(p.masters) < maxPersist {
		r, rest, ok := readPPTRecord(records)
		if !ok {
			return
		}
		if r.kind == pptSlidePersist {
			p.masters[u32(r.content, 0)] = true
		}
		records = rest
	}
}

// order returns the offsets of the objects: first the slides and notes, in their order.
func (p *powerPoint97) order() (offsets []int) {
	seen := map[int]bool{}
	for _, number := range append(p.slides, slices.Sorted(maps.Keys(p.current))...) {
		if at, ok := p.current[number]; ok && !seen[at] && !p.masters[number] {
			seen[at] = true
			offsets = append(offsets, at)
		}
	}
	return offsets
}

// walk writes the texts in a sequence of records.
func (p *powerPoint97) walk(records []byte, depth int) {
	for n := 0; len(records) > 0 && !p.text.full(); n++ {
		if n%4096 == 0 && p.ctx.Err() != nil {
			return
		}
		r, rest, ok := readPPTRecord(records)
		if !ok {
			return
		}
		records = rest
		switch {
		case r.kind == pptSlidePersist:
			if len(p.slides) < maxPersist {
				p.slides = append(p.slides, u32(r.content, 0))
			}
			at, found := p.current[u32(r.content, 0)]
			slide, _, _ := readPPTRecord(p.main[at:])
			p.slideHidden = found && slide.hidden()
			p.text.breakLine()
			p.text.breakLine()
		case r.kind == pptTextChars:
			p.paragraphs(utf16Text(r.content))
		case r.kind == pptTextBytes:
			p.paragraphs(latin1Text(r.content))
		case r.kind == pptMaster, r.kind == pptHandout:
		case r.container && depth < maxDepth:
			p.walk(r.content, depth+1)
		}
	}
}

// paragraphs writes a text, whose paragraphs end with carriage returns and lines with vertical
// tabs. An asterisk stands for a number or date that the program inserts.
func (p *powerPoint97) paragraphs(s string) {
	p.text.startLine()
	if s != "*" && !p.slideHidden {
		p.text.write(s)
	}
	p.text.startLine()
}
