package extract

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/encoding/unicode"
)

// rtfSkipped are the destinations whose content is not text of the document.
var rtfSkipped = set("fonttbl", "colortbl", "stylesheet", "info", "pict", "object", "listtable",
	"listoverridetable", "rsidtbl", "generator", "themedata", "colorschememapping", "datastore",
	"latentstyles", "xmlnstbl", "filetbl", "revtbl", "fldinst", "mmathPr", "pgdsctbl", "nonshppict",
	"bkmkstart", "bkmkend", "template", "operator", "panose", "falt", "fname",
	"shprslt", "upr") // which repeat the content of a shape and of a Unicode text for old programs

// rtfShown are the destinations within skipped ones whose content is text: that of a shape, what is
// displayed of an object, text in Unicode, and notes and comments, which some programs write as
// destinations that old programs ignore.
var rtfShown = set("shptxt", "result", "ud", "footnote", "annotation")

// rtfApart are the destinations whose content is not within the text around them.
var rtfApart = set("header", "headerl", "headerr", "headerf",
	"footer", "footerl", "footerr", "footerf", "shptxt")

// rtfCodePages are the encodings by the numbers of code pages in \ansicpg.
var rtfCodePages = map[int]encoding.Encoding{
	437: charmap.CodePage437, 850: charmap.CodePage850, 852: charmap.CodePage852,
	866: charmap.CodePage866, 874: charmap.Windows874, 932: japanese.ShiftJIS,
	936: simplifiedchinese.GBK, 949: korean.EUCKR, 950: traditionalchinese.Big5,
	1250: charmap.Windows1250, 1251: charmap.Windows1251, 1252: charmap.Windows1252,
	1253: charmap.Windows1253, 1254: charmap.Windows1254, 1255: charmap.Windows1255,
	1256: charmap.Windows1256, 1257: charmap.Windows1257, 1258: charmap.Windows1258,
	10000: charmap.Macintosh, 65001: unicode.UTF8,
}

// rtfPlatforms are the code pages of the control words that name a platform.
var rtfPlatforms = map[string]int{"mac": 10000, "pc": 437, "pca": 850}

// rtfCharsets are the code pages by the numbers of character sets in \fcharset. The others, such
// as 0, stand for the code page of the document.
var rtfCharsets = map[int]int{
	77: 10000, 128: 932, 129: 949, 134: 936, 136: 950, 161: 1253, 162: 1254, 163: 1258,
	177: 1255, 178: 1256, 186: 1257, 204: 1251, 222: 874, 238: 1250, 254: 437, 255: 850,
}

// rtfCharacters are the control words that stand for a character.
var rtfCharacters = map[string]string{
	"tab": " ", "cell": " ", "nestcell": " ", "emspace": " ", "enspace": " ", "qmspace": " ",
	"emdash": "—", "endash": "–", "bullet": "•", "lquote": "‘", "rquote": "’", "ldblquote": "“",
	"rdblquote": "”",
	"chftn":     " ", // the number of a note
}

// rtfReader is the state of readRTF.
type rtfReader struct {
	text     *text
	group    rtfGroup
	outer    []rtfGroup // the groups around it, up to maxDepth
	deeper   int        // open groups that are nested deeper than that
	fonts    map[int]int
	font     int // the font whose entry in the table is being read
	standard int // the font of text that does not have another one
	codePage int
	pending  []byte // bytes in the code page of the group
	units    []uint16
	fallback int // characters to skip, because they repeat a Unicode character
	files    rtfFiles
	notes    strings.Builder // notes and comments of the paragraph
}

// rtfGroup holds the properties that end with a group.
type rtfGroup struct {
	skipped  bool
	inFonts  bool
	hidden   bool
	isFile   bool // a picture or an object
	isApart  bool // in one of rtfApart
	isNote   bool // in one of rtfNotes
	codePage int  // 0 means the default
	unicode  int  // number of characters that repeat each Unicode character
}

// readRTF writes the text of a document in the Rich Text Format (version 1.9.1). It reads one token
// at a time and fails only if ctx is done. It embeds the objects, and the pictures of a document
// that has little text.
func (r *reading) readRTF(ctx context.Context, raw []byte) error {
	files, err := readRTF(ctx, raw, r.text)
	for _, f := range files {
		if f.isObject || needsPictures(r.text) {
			r.embed(file{content: f.content})
		}
	}
	return err
}

// readRTF writes the text and returns the objects and pictures.
func readRTF(ctx context.Context, raw []byte, text *text) ([]rtfFile, error) {
	r := &rtfReader{
		text: text, group: rtfGroup{unicode: 1}, fonts: map[int]int{}, codePage: 1252,
	}
	raw = bytes.TrimPrefix(raw, utf8BOM)
	for n := 0; len(raw) > 0 && !text.full(); n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return nil, fmt.Errorf("read RTF: %w", context.Cause(ctx))
		}
		switch c := raw[0]; c {
		case '{':
			raw = bytes.TrimLeft(raw[1:], "\r\n")
			r.open()
			// A destination that old programs ignore. Elsewhere, some programs write this symbol without
			// a meaning.
			r.group.skipped = r.group.skipped || bytes.HasPrefix(raw, []byte(`\*`))
		case '}':
			raw = raw[1:]
			r.close()
		case '\\':
			raw = r.control(raw[1:])
		case '\r', '\n', 0:
			raw = raw[1:]
		default:
			raw = raw[1:]
			r.character(c)
		}
	}
	r.flush()
	r.writeNotes()
	text.incomplete = text.incomplete || text.full()
	return r.files.all(), nil
}

func (r *rtfReader) open() {
	r.flush()
	if len(r.outer) >= maxDepth {
		r.deeper++
		return
	}
	r.outer = append(r.outer, r.group)
}

func (r *rtfReader) close() {
	r.flush()
	switch last := len(r.outer) - 1; {
	case r.deeper > 0:
		r.deeper--
	case last >= 0:
		if r.group.isFile && !r.outer[last].isFile {
			r.files.end()
		}
		if r.group.isApart && !r.outer[last].isApart {
			r.text.startLine()
		}
		r.group, r.outer = r.outer[last], r.outer[:last]
	}
	r.fallback = 0
}

// control reads what follows a backslash, and returns the rest.
func (r *rtfReader) control(raw []byte) []byte {
	if len(raw) == 0 {
		return nil
	}
	if !isASCIILetter(raw[0]) {
		return r.symbol(raw)
	}
	end := 0
	for end < len(raw) && end < 32 && isASCIILetter(raw[end]) {
		end++
	}
	word, rest := string(raw[:end]), raw[end:]
	end = 0
	if len(rest) > 0 && rest[0] == '-' {
		end++
	}
	for end < len(rest) && end < 11 && rest[end] >= '0' && rest[end] <= '9' {
		end++
	}
	number, err := strconv.Atoi(string(rest[:end]))
	hasNumber := err == nil
	if rest = rest[end:]; len(rest) > 0 && rest[0] == ' ' {
		rest = rest[1:]
	}
	if word == "bin" && hasNumber {
		return r.binary(rest, number)
	}
	r.word(word, number, hasNumber)
	return rest
}

// binary skips a number of bytes, which may belong to a file, and returns the rest.
func (r *rtfReader) binary(raw []byte, number int) []byte {
	number = max(0, min(number, len(raw)))
	if r.group.isFile {
		r.files.add(raw[:number])
	}
	return raw[number:]
}

// symbol reads a control symbol, such as an escaped character.
func (r *rtfReader) symbol(raw []byte) []byte {
	switch c := raw[0]; c {
	case '\'':
		if len(raw) >= 3 && isHex(raw[1]) && isHex(raw[2]) {
			b, _ := strconv.ParseUint(string(raw[1:3]), 16, 8) // two hexadecimal digits
			r.character(byte(b))
			return raw[3:]
		}
	case '\\', '{', '}':
		r.character(c)
	case '~':
		r.write(" ")
	case '_':
		r.write("-")
	case '\r', '\n':
		r.newLine()
	}
	return raw[1:]
}

// word handles a control word with a number, if it has one.
func (r *rtfReader) word(word string, number int, hasNumber bool) {
	if s := rtfCharacters[word]; s != "" {
		r.write(s)
		return
	}
	switch word {
	case "par", "line", "sect", "page", "row", "nestrow":
		r.newLine()
	case "v", "deleted", "plain":
		r.flush()
		r.group.hidden = word != "plain" && (!hasNumber || number != 0)
		if word == "plain" {
			r.group.codePage = 0
		}
	case "deff":
		r.standard = number
	case "ansicpg":
		r.codePage = number
	case "uc":
		r.group.unicode = max(0, min(number, 8))
	case "u":
		r.unicode(number)
	case "f":
		r.setFont(number)
	case "fcharset":
		if r.group.inFonts && len(r.fonts) < maxDepth {
			r.fonts[r.font] = rtfCharsets[number]
		}
	default:
		if codePage := rtfPlatforms[word]; codePage != 0 {
			r.codePage = codePage
		}
		r.destination(word)
	}
}

// destination handles a control word that determines whether the group is text.
func (r *rtfReader) destination(word string) {
	if rtfFileWords[word] {
		r.group.isFile = true
		r.files.begin(word)
	}
	if rtfSkipped[word] || rtfShown[word] {
		r.flush()
		r.group.skipped = rtfSkipped[word]
		r.group.inFonts = r.group.inFonts || word == "fonttbl"
	}
	if rtfApart[word] {
		r.flush()
		r.text.startLine()
		r.group.isApart = true
	}
	if rtfNotes[word] {
		r.flush()
		r.group.isNote = true
		r.newLine()
	}
}

// setFont makes the font with the number, and its code page, that of what follows. In the table of
// fonts, it begins a font's entry.
func (r *rtfReader) setFont(number int) {
	r.flush()
	if r.font = number; !r.group.inFonts {
		r.group.codePage = r.fonts[number]
	}
}

// unicode adds a UTF-16 code unit, which is written as a signed number.
func (r *rtfReader) unicode(number int) {
	r.flushBytes()
	r.units = append(r.units, uint16(number))
	r.fallback = r.group.unicode
	if len(r.units) > maxDepth {
		r.flush()
	}
}

// character adds a character in the code page.
func (r *rtfReader) character(c byte) {
	if r.fallback > 0 {
		r.fallback--
		return
	}
	if r.group.isFile {
		r.files.addHex(c)
		return
	}
	r.flushUnits()
	if r.pending = append(r.pending, c); len(r.pending) > headBytes {
		r.flush()
	}
}

func (r *rtfReader) flush() {
	r.flushUnits()
	r.flushBytes()
}

func (r *rtfReader) flushUnits() {
	if len(r.units) > 0 {
		r.put(string(utf16.Decode(r.units)))
		r.units = r.units[:0]
	}
}

func (r *rtfReader) flushBytes() {
	if len(r.pending) == 0 {
		return
	}
	codePage := r.group.codePage
	if codePage == 0 {
		codePage = cmp.Or(r.fonts[r.standard], r.codePage)
	}
	e := rtfCodePages[codePage]
	if e == nil {
		e = charmap.Windows1252
	}
	if decoded, err := e.NewDecoder().Bytes(r.pending); err == nil {
		r.put(string(decoded))
	}
	r.pending = r.pending[:0]
}

func (r *rtfReader) write(s string) {
	r.flush()
	r.put(s)
}

func (r *rtfReader) newLine() {
	r.flush()
	switch {
	case r.group.skipped:
	case r.group.isNote:
		r.note("\n")
	default:
		r.text.breakLine()
		r.writeNotes()
	}
}

func (r *rtfReader) put(s string) {
	switch {
	case r.group.skipped, r.group.hidden:
	case r.group.isNote:
		r.note(s)
	default:
		r.text.flow(s)
	}
}
