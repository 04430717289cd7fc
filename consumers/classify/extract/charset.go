package extract

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	unicodes "unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/gogs/chardet"
	"golang.org/x/net/html/charset"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"
)

const (
	// maxTextBytes is how much of a text document is read: enough for
	// DefaultMaxRunes of any encoding, and for pages that are mostly markup.
	maxTextBytes = 8 << 20
	// maxJunk is the share, in percent, of unprintable characters from which on
	// what began as text is taken for something else.
	maxJunk = 10
)

// readText reads a document of one of the text formats into text.
func (e *Extractor) readText(ctx context.Context, r io.Reader, k kind, contentType string, text *text) error {
	raw, err := io.ReadAll(io.LimitReader(r, maxTextBytes+1))
	if err != nil {
		return fmt.Errorf("read document: %w", err)
	}
	cut := len(raw) > maxTextBytes
	if cut {
		raw = raw[:maxTextBytes]
	}
	decoded := decode(raw, contentType, k.format != formatText)

	ctx, cancel := e.timed(ctx)
	defer cancel()
	switch k.format {
	case formatHTML:
		err = readMarkup(ctx, decoded, dialectHTML, text)
	case formatXHTML:
		err = readMarkup(ctx, decoded, dialectXHTML, text)
	case formatXML:
		err = readMarkup(ctx, decoded, dialectXML, text)
	default:
		if strings.HasSuffix(k.name, "json") {
			decoded = unescapeJSON(decoded)
		}
		text.write(decoded)
	}
	if err := keep(err, text); err != nil {
		return err
	}
	if text.junk*100 > maxJunk*(text.runes+text.junk) {
		return fmt.Errorf("%w: began as %s, holds binary data", ErrUnsupported, k.name)
	}
	text.incomplete = text.incomplete || cut
	return nil
}

// reader stops reading when its context ends. (The context is the call's own;
// the value lives no longer than the call.)
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}

// decode turns raw into a string, from the encoding that it shows by itself,
// else the declared one, else the one that it looks most like, else
// Windows-1252, as browsers do. What cannot be decoded stays invalid or becomes U+FFFD.
//
// Valid UTF-8 goes before a declaration: text in another encoding is hardly
// ever valid UTF-8 by chance, and declarations are often wrong.
func decode(raw []byte, contentType string, markup bool) string {
	e := byBOM(raw)
	if e == nil {
		e = byUnits(raw)
	}
	if e == nil {
		e = byContent(raw, contentType, markup)
	}
	if e == encoding.Nop {
		return string(raw)
	}
	decoded, err := e.NewDecoder().Bytes(raw)
	if err != nil {
		return string(raw)
	}
	return string(decoded)
}

// byBOM returns the encoding that a byte order mark names, or nil.
func byBOM(raw []byte) encoding.Encoding {
	switch {
	case bytes.HasPrefix(raw, []byte{0xef, 0xbb, 0xbf}):
		return encoding.Nop // the mark itself is dropped as invisible
	case bytes.HasPrefix(raw, []byte{0xff, 0xfe, 0, 0}):
		return utf32.UTF32(utf32.LittleEndian, utf32.UseBOM)
	case bytes.HasPrefix(raw, []byte{0, 0, 0xfe, 0xff}):
		return utf32.UTF32(utf32.BigEndian, utf32.UseBOM)
	case bytes.HasPrefix(raw, []byte{0xff, 0xfe}):
		return unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
	case bytes.HasPrefix(raw, []byte{0xfe, 0xff}):
		return unicode.UTF16(unicode.BigEndian, unicode.UseBOM)
	}
	return byZeros(raw)
}

// byZeros recognizes UTF-16 without a mark by the zeros that are every other
// byte where most letters are Latin; nil for anything else.
func byZeros(raw []byte) encoding.Encoding {
	raw = raw[:min(len(raw), headBytes)]
	var zeros [2]int
	for i, b := range raw {
		if b == 0 {
			zeros[i%2]++
		}
	}
	switch half := len(raw) / 2; {
	case half < 4:
	case zeros[0] == 0 && zeros[1]*10 >= half*7:
		return unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)
	case zeros[1] == 0 && zeros[0]*10 >= half*7:
		return unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
	}
	return nil
}

// maxUnits is how many units of two bytes are looked at.
const maxUnits = headBytes / 2

// byUnits recognizes UTF-16 without a mark in any script, and UTF-32; nil for
// anything else. What has no control characters, or many ASCII letters side by side,
// is taken for bytes: two of them together are a Chinese character. Else nearly all units have to be
// characters that texts are made of, and some to be blanks and marks that every
// text has, in one order of the bytes more than in the other.
func byUnits(raw []byte) encoding.Encoding {
	raw = raw[:min(len(raw), headBytes)]
	controls, pairs := 0, 0
	for i, b := range raw {
		if class(rune(b)) == control && b < ' ' && b != 0x1b {
			controls++
		}
		if i > 0 && isASCIILetter(b) && isASCIILetter(raw[i-1]) {
			pairs++
		}
	}
	if len(raw) < 16 || controls == 0 || pairs*5 > len(raw) {
		return nil
	}
	for _, order := range []struct {
		binary.ByteOrder
		utf16 unicode.Endianness
		utf32 utf32.Endianness
	}{{binary.LittleEndian, unicode.LittleEndian, utf32.LittleEndian}, {binary.BigEndian, unicode.BigEndian, utf32.BigEndian}} {
		if isUTF32(raw, order) {
			return utf32.UTF32(order.utf32, utf32.IgnoreBOM)
		}
		other := binary.ByteOrder(binary.LittleEndian)
		if order.utf16 == unicode.LittleEndian {
			other = binary.BigEndian
		}
		common, ok := unitsOfText(raw, order)
		if mistaken, _ := unitsOfText(raw, other); ok && common > mistaken {
			return unicode.UTF16(order.utf16, unicode.IgnoreBOM)
		}
	}
	return nil
}

func isASCIILetter(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' }

func isUTF32(raw []byte, order binary.ByteOrder) bool {
	for ; len(raw) >= 4; raw = raw[4:] {
		if r := order.Uint32(raw); r == 0 || r > utf8.MaxRune || !utf8.ValidRune(rune(r)) {
			return false
		}
	}
	return true
}

// unitsOfText counts the units that are common in all texts. ok says whether the
// others are such as a text in UTF-16 has.
func unitsOfText(raw []byte, order binary.ByteOrder) (common int, ok bool) {
	units := make([]uint16, 0, maxUnits)
	for ; len(raw) >= 2; raw = raw[2:] {
		units = append(units, order.Uint16(raw))
	}
	odd, all := 0, utf16.Decode(units)
	for i, r := range all {
		switch {
		case r == ' ', r == '\n', r == '\r', r == '.', r == ',', r >= '0' && r <= '9',
			r == '\u3000', r == '\u3001', r == '\u3002', r == '\uff0c':
			common++
		case r == utf8.RuneError && i == len(all)-1: // a pair that is cut off
		case r == '\t', unicodes.IsGraphic(r) && r != utf8.RuneError, class(r) == invisible:
		default:
			odd++
		}
	}
	return common, odd*50 <= len(all) && common*50 >= len(all)
}

func byContent(raw []byte, contentType string, markup bool) encoding.Encoding {
	declared := declaredEncoding(raw, contentType, markup)
	invalid, multibyte := utf8Shape(raw)
	if invalid == 0 && multibyte == 0 {
		// ASCII, unless it is one of the encodings that live within ASCII.
		switch {
		case bytes.IndexByte(raw, 0x1b) < 0:
		case declared != nil:
			return declared
		case bytes.Contains(raw, []byte("\x1b$B")), bytes.Contains(raw, []byte("\x1b$@")):
			return japanese.ISO2022JP
		}
		return encoding.Nop
	}
	// A few bad bytes among many good sequences are damage, not an encoding.
	if invalid*50 < multibyte {
		return encoding.Nop
	}
	if declared != nil {
		return declared
	}
	return byLikeness(raw, markup)
}

const (
	// likenessBytes is how much of a text its encoding is guessed from.
	likenessBytes = 64 << 10
	// minLikeness, in percent, is chardet's confidence that is believed.
	minLikeness = 15
)

// byLikeness guesses the encoding from the frequencies of letters, as ICU does, by
// its port to Go: tables and arithmetic without further modules, which change as little as these
// encodings do. x/net/html/charset knows marks and declarations only and calls
// everything else Windows-1252: Cyrillic, Greek, Chinese, Japanese and Korean texts that declare nothing
// would be lost.
//
// It returns Windows-1252 or Latin-9 where nothing fits better.
func byLikeness(raw []byte, markup bool) encoding.Encoding {
	sample := raw[:min(len(raw), likenessBytes)]
	if isCyrillicDOS(sample) {
		return charmap.CodePage866
	}
	detector := chardet.NewTextDetector()
	if markup {
		detector = chardet.NewHtmlDetector()
	}
	guesses, _ := detector.DetectAll(sample) // its only error is that it found none
	for _, guess := range guesses {
		e, name := charset.Lookup(guess.Charset)
		if e == nil || guess.Confidence < minLikeness || name == "utf-8" || strings.HasPrefix(name, "utf-16") {
			continue
		}
		if decoded, err := e.NewDecoder().Bytes(sample); err == nil && bytes.Count(decoded, []byte("\ufffd"))*50 <= len(decoded) {
			if name == "windows-1252" {
				break
			}
			return e
		}
	}
	return westernEuropean(raw)
}

// westernEuropean tells Latin-9 from Windows-1252, which differ where texts have a euro sign: Windows-1252 has
// it among the control characters of Latin-9, and Latin-9 at a sign that hardly any text has.
func westernEuropean(raw []byte) encoding.Encoding {
	control := slices.ContainsFunc(raw, func(b byte) bool { return b >= 0x80 && b < 0xa0 })
	if !control && bytes.IndexByte(raw, 0xa4) >= 0 {
		return charmap.ISO8859_15
	}
	return charmap.Windows1252
}

// isCyrillicDOS recognizes Russian in code page 866, which chardet does not know: nearly all bytes beyond ASCII
// are Cyrillic letters in it, and as many of them the most frequent ones as in Russian, in which
// these are more than half.
func isCyrillicDOS(raw []byte) bool {
	beyond, letters, frequent := 0, 0, 0
	for _, b := range raw {
		if b < utf8.RuneSelf {
			continue
		}
		beyond++
		if b <= 0xaf || b >= 0xe0 && b <= 0xf1 {
			letters++
		}
		switch charmap.CodePage866.DecodeByte(b) {
		case 'о', 'е', 'а', 'и', 'н', 'т', 'с':
			frequent++
		}
	}
	return beyond >= 8 && letters*20 >= beyond*19 && frequent*5 >= beyond*2
}

// declaredEncoding returns what the content type or, in markup, the document
// itself declares; nil for nothing, and for UTF-8 and UTF-16, which the
// content has already ruled out when this matters.
func declaredEncoding(raw []byte, contentType string, markup bool) encoding.Encoding {
	var prefix []byte
	if markup {
		prefix = raw[:min(len(raw), 1024)]
	}
	e, name, certain := charset.DetermineEncoding(prefix, contentType)
	if !certain && name == "windows-1252" { // what it says of documents that declare nothing
		return nil
	}
	switch name {
	case "utf-8", "utf-16le", "utf-16be", "replacement", "x-user-defined":
		return nil
	}
	return e
}

// utf8Shape counts the bytes of raw that are not valid UTF-8, and the
// sequences of two and more bytes that are. A sequence that the end cuts off
// counts as neither.
func utf8Shape(raw []byte) (invalid, multibyte int) {
	for i := 0; i < len(raw); {
		if raw[i] < utf8.RuneSelf {
			i++
			continue
		}
		r, n := utf8.DecodeRune(raw[i:])
		switch {
		case r != utf8.RuneError || n > 1:
			multibyte++
		case len(raw)-i < utf8.UTFMax && !utf8.FullRune(raw[i:]):
			return invalid, multibyte
		default:
			invalid++
		}
		i += n
	}
	return invalid, multibyte
}
