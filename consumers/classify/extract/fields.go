package extract

import (
	"cmp"
	"regexp"
	"strconv"
	"strings"
)

// field is an open field of a word processing document (ECMA-376-1, 17.16.18). Its instruction,
// which may contain other fields, is before a separator, and what is displayed, the result, after
// it.
type field struct {
	instruction []byte
	inResult    bool
}

// startField handles the start tag of an element of a field.
func (p *paragraphReader) startField(name string, attributes func() map[string]string) {
	switch name {
	case "fldchar":
		p.fieldCharacterKind = attributes()["fldchartype"]
	case "instrtext":
		p.inInstruction = true
	case "ddlist":
		p.list = dropDown{open: true}
	case "result", "default", "listentry":
		p.choose(name, attributes()["val"])
	}
}

// fieldCharacter handles the beginning, the separator or the end of a field.
func (p *paragraphReader) fieldCharacter(kind string) {
	last := len(p.fields) - 1
	switch {
	case kind == "begin" && last < maxDepth:
		p.fields = append(p.fields, field{})
	case last < 0: // the beginning is missing
	case kind == "separate":
		p.fields[last].inResult = true
	case kind == "end":
		instruction := string(p.fields[last].instruction)
		p.fields = p.fields[:last]
		if formula, ok := strings.CutPrefix(strings.TrimSpace(instruction), "EQ "); ok {
			p.write(formulaCode.ReplaceAllString(formula, " "))
		}
	}
}

// formulaCode matches what is not text in a formula that is a field: the switches, with the code of
// a character or a length after some of them, and the signs around their arguments.
var formulaCode = regexp.MustCompile(`\\[A-Za-z]+[0-9]*|[(),;]`)

// endInstructions makes what follows visible. An instruction that does not end in its paragraph is
// rare, and more often damaged than meant.
func (p *paragraphReader) endInstructions() {
	for i := range p.fields {
		p.fields[i].inResult = true
	}
}

// instruction returns the field whose instruction is being read, or nil. The result of a field
// within an instruction belongs to the instruction.
func (p *paragraphReader) instruction() *field {
	for i := len(p.fields) - 1; i >= 0; i-- {
		if !p.fields[i].inResult {
			return &p.fields[i]
		}
	}
	return nil
}

// write writes characters to the text or, within an instruction, to the instruction.
func (p *paragraphReader) write(s string) {
	switch f := p.instruction(); {
	case f == nil:
		p.text.flow(s)
	case len(f.instruction) < maxTextBytes:
		f.instruction = append(f.instruction, s...)
	}
}

// dropDown is a list of a form from which one entry is chosen (ECMA-376-1, 17.16.9).
type dropDown struct {
	open    bool
	chosen  string // the number of the entry
	entries int    // that were read
}

// choose handles an element of a list: the number of the chosen entry, then the number of the one
// that is chosen at first, then the entries. The first entry has the number 0.
func (p *paragraphReader) choose(element, value string) {
	switch {
	case !p.list.open, p.hidden():
	case element != "listentry":
		p.list.chosen = cmp.Or(p.list.chosen, value)
	default:
		if strconv.Itoa(p.list.entries) == cmp.Or(p.list.chosen, "0") {
			p.write(value)
		}
		p.list.entries++
	}
}
