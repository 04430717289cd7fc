package extract

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gogs/chardet"
	"golang.org/x/net/html/charset"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
)

// decode decodes raw. It uses the first of these encodings that it can determine: the one that a
// byte order mark or the pattern of the bytes identifies, the declared one, the most likely one
// according to letter frequencies, and Windows-1252, which is also the default of browsers. Bytes
// that cannot be decoded stay as they are or become U+FFFD.
//
// Valid UTF-8 takes precedence over a declaration: text in another encoding is almost never valid
// UTF-8 by chance, and declarations are often wrong.
func decode(raw []byte, contentType string, markup bool) string {
	if _, parameters := parseMediaType(contentType); isUTF7(parameters["charset"]) {
		return decodeUTF7(string(raw))
	}
	e := byBOM(raw)
	if e == nil {
		e = byCodeUnits(raw)
	}
	if e == nil {
		e = byContent(raw, contentType, markup)
	}
	if e == encoding.Nop {
		return decodeUTF8(raw)
	}
	decoded, err := e.NewDecoder().Bytes(raw)
	if err != nil {
		return string(raw)
	}
	return string(decoded)
}

// byContent returns the encoding of text in code units of one byte.
func byContent(raw []byte, contentType string, markup bool) encoding.Encoding {
	declared := declaredEncoding(raw, contentType, markup)
	invalid, multibyte := countUTF8(raw)
	if invalid == 0 && multibyte == 0 {
		// This is ASCII, unless it is an encoding that switches to other characters by escape
		// sequences.
		switch {
		case bytes.IndexByte(raw, 0x1b) < 0:
		case declared != nil:
			return declared
		case bytes.Contains(raw, []byte("\x1b$B")), bytes.Contains(raw, []byte("\x1b$@")):
			return japanese.ISO2022JP
		}
		return encoding.Nop
	}
	// In another encoding hardly any sequence is valid by chance. With as many of them as invalid
	// bytes, this is UTF-8 that is damaged, or that has passages in another encoding. If another
	// encoding is declared, more of them are required.
	switch {
	case invalid*5 < multibyte, invalid <= multibyte && declared == nil:
		return encoding.Nop
	case declared != nil:
		return declared
	}
	return byStatistics(raw, markup)
}

const (
	// statisticsBytes is how many bytes at the start of a text are used to guess its encoding.
	statisticsBytes = 64 << 10
	// minCharsetConfidence is the confidence, in percent, below which a guess by chardet is ignored.
	minCharsetConfidence = 15
)

// byStatistics guesses the encoding from the frequencies of letters. It uses chardet, the port to
// Go of ICU's detector, which consists of tables and arithmetic, depends on no other modules, and
// rarely needs changes, because the encodings do not change. x/net/html/charset uses only byte
// order marks and declarations, and decodes everything else as Windows-1252, which would garble
// undeclared Cyrillic, Greek, Chinese, Japanese and Korean texts.
//
// It returns Windows-1252 or Latin-9 if no other encoding is more likely.
func byStatistics(raw []byte, markup bool) encoding.Encoding {
	sample := raw[:min(len(raw), statisticsBytes)]
	if isCyrillicDOS(sample) {
		return charmap.CodePage866
	}
	if e := byEuropeanLetters(sample); e != nil {
		return e
	}
	detector := chardet.NewTextDetector()
	if markup {
		detector = chardet.NewHtmlDetector()
	}
	guesses, _ := detector.DetectAll(sample) // fails only if there are none
	// chardet returns guesses of the same confidence in random order.
	slices.SortFunc(guesses, func(a, b chardet.Result) int {
		return cmp.Or(cmp.Compare(b.Confidence, a.Confidence), cmp.Compare(a.Charset, b.Charset))
	})
	for _, guess := range guesses {
		e, name := charset.Lookup(guess.Charset)
		if e == nil || guess.Confidence < minCharsetConfidence ||
			name == "utf-8" || strings.HasPrefix(name, "utf-16") {
			continue
		}
		decoded, err := e.NewDecoder().Bytes(sample)
		if err == nil && bytes.Count(decoded, []byte("\ufffd"))*50 <= len(decoded) {
			switch name {
			case "windows-1252":
				return westernEuropean(raw)
			case "koi8-r":
				return charmap.KOI8U // which has the letters of Ukrainian in addition
			}
			return e
		}
	}
	return westernEuropean(raw)
}

// westernEuropean distinguishes Latin-9 from Windows-1252 by the euro sign. Windows-1252 encodes it
// as 0x80, which is a control character in Latin-9. Latin-9 encodes it as 0xA4, which is the
// currency sign ¤ in Windows-1252 and rare in texts.
func westernEuropean(raw []byte) encoding.Encoding {
	control := slices.ContainsFunc(raw, func(b byte) bool { return b >= 0x80 && b < 0xa0 })
	if !control && bytes.IndexByte(raw, 0xa4) >= 0 {
		return charmap.ISO8859_15
	}
	return charmap.Windows1252
}

// isCyrillicDOS reports whether raw is Russian in code page 866, which chardet does not support. Of
// the bytes that are not ASCII, without the lines of tables, at least 95% must be Cyrillic letters
// in it, at least half letters beside other letters, and at least 40% one of the seven most
// frequent letters, which make up more than half of the letters of Russian text.
func isCyrillicDOS(raw []byte) bool {
	nonASCII, letters, inWords, frequent := 0, 0, 0, 0
	isBesideLetter := false
	for _, b := range raw {
		r := charmap.CodePage866.DecodeByte(b)
		isLetter := unicode.Is(unicode.Cyrillic, r)
		switch {
		case isLetter:
			letters++
			if isBesideLetter {
				inWords++
			}
			if strings.ContainsRune("оеаинтс", unicode.ToLower(r)) {
				frequent++
			}
			nonASCII++
		case b >= utf8.RuneSelf && !strings.ContainsRune("─│═║", r):
			nonASCII++
		}
		isBesideLetter = isLetter
	}
	return nonASCII >= 8 && letters*20 >= nonASCII*19 && inWords*2 >= nonASCII &&
		frequent*5 >= nonASCII*2
}

// declaredEncoding returns the encoding that the content type or, in markup, the document itself
// declares. It returns nil if there is no declaration. It also returns nil for UTF-8 and UTF-16,
// because the declaration is used only if the content has ruled them out.
func declaredEncoding(raw []byte, contentType string, markup bool) encoding.Encoding {
	var prefix []byte
	if markup {
		prefix = raw[:min(len(raw), 1024)]
	}
	_, parameters := parseMediaType(contentType)
	if _, known := charset.Lookup(parameters["charset"]); known == "" {
		if e := lookupEncoding(parameters["charset"]); e != nil {
			return e
		}
	}
	e, name, certain := charset.DetermineEncoding(prefix, contentType)
	if !certain && name == "windows-1252" { // the default for documents without a declaration
		return nil
	}
	switch name {
	case "utf-8", "utf-16le", "utf-16be", "replacement", "x-user-defined":
		return nil
	}
	return e
}

// decodeUTF8 decodes UTF-8. Invalid bytes are decoded as Windows-1252, in which most passages are
// that programs have added. An incomplete sequence at the end is left out.
func decodeUTF8(raw []byte) string {
	if utf8.Valid(raw) {
		return string(raw)
	}
	var b strings.Builder
	for len(raw) > 0 && (len(raw) >= utf8.UTFMax || utf8.FullRune(raw)) {
		r, n := utf8.DecodeRune(raw)
		if r == utf8.RuneError && n == 1 {
			r = charmap.Windows1252.DecodeByte(raw[0])
		}
		b.WriteRune(r)
		raw = raw[n:]
	}
	return b.String()
}

// countUTF8 counts the bytes of raw that are not valid UTF-8, and the valid sequences of two or
// more bytes. An incomplete sequence at the end is not counted, unless there is no valid one: then
// it is more likely a letter in another encoding.
func countUTF8(raw []byte) (invalid, multibyte int) {
	for i := 0; i < len(raw); {
		if raw[i] < utf8.RuneSelf {
			i++
			continue
		}
		r, n := utf8.DecodeRune(raw[i:])
		switch {
		case r != utf8.RuneError || n > 1:
			multibyte++
		case multibyte > 0 && len(raw)-i < utf8.UTFMax && !utf8.FullRune(raw[i:]):
			return invalid, multibyte
		default:
			invalid++
		}
		i += n
	}
	return invalid, multibyte
}
