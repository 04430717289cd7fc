package extract

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gogs/chardet"
	"golang.org/x/net/html/charset"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
)

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
	// chardet returns guesses of the same confidence in random order.
	slices.SortFunc(guesses, func(a, b chardet.Result) int {
		return cmp.Or(cmp.Compare(b.Confidence, a.Confidence), cmp.Compare(a.Charset, b.Charset))
	})
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
