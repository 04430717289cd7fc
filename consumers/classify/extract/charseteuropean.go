package extract

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
)

// The letters that are not ASCII of languages, including those in their foreign words.
var (
	westernAlphabets = []string{
		"äöüßé",           // German
		"àâçéèêëîïôùûüœæ", // French
		"áéíóúñü",         // Spanish
		"àèéìòù",          // Italian
		"áàâãçéêíóôõúü",   // Portuguese
		"àçèéíïòóúü",      // Catalan
		"ëéèïöüóê",        // Dutch
		"åäöé",            // Swedish and Finnish
		"æøåéòóô",         // Danish and Norwegian
		"áðéíóúýþæö",      // Icelandic
		"éèêïçñ",          // English
	}
	centralAlphabets = []string{
		"ąćęłńóśźż",         // Polish
		"áčďéěíňóřšťúůýž",   // Czech
		"áäčďéíĺľňóôŕšťúýž", // Slovak
		"áéíóöőúüű",         // Hungarian
		"ăâîşţ",             // Romanian
		"čćđšž",             // Croatian and Slovenian
		"äöüßé",             // German
	}
)

// europeanCharsets are encodings that chardet does not support, and those of central Europe, which
// it recognizes in long texts only, with the alphabets of their languages. Of those that fit
// equally well, the first is used.
var europeanCharsets = []struct {
	encoding  *charmap.Charmap
	alphabets []string
}{
	{charmap.CodePage858, westernAlphabets}, {charmap.CodePage437, westernAlphabets},
	{charmap.Macintosh, westernAlphabets},
	{charmap.Windows1250, centralAlphabets}, {charmap.ISO8859_2, centralAlphabets},
	{charmap.CodePage852, centralAlphabets},
}

// europeanBytes is how many bytes are used to recognize these encodings, beginning a little before
// the first byte that is not ASCII.
const europeanBytes = 8 << 10

// byEuropeanLetters returns the encoding that turns almost all bytes that are not ASCII into what
// texts in European languages contain, if Windows-1252 does not. It returns nil if there is none.
func byEuropeanLetters(raw []byte) encoding.Encoding {
	first := max(0, bytes.IndexFunc(raw, func(r rune) bool { return r >= utf8.RuneSelf })-100)
	raw = raw[first:min(len(raw), first+europeanBytes)]
	nonASCII, ok := countEuropean(raw)
	windows, foreign := plausible(raw, charmap.Windows1252, westernAlphabets)
	if !ok || windows*10 > nonASCII*6 {
		return nil
	}
	// With foreign names, such as Šimek or Žižka, a text in Windows-1252 has these letters, too.
	foreignNames := slices.Concat(westernAlphabets, []string{"šž"})
	if n, _ := plausible(raw, charmap.Windows1252, foreignNames); n*100 >= nonASCII*85 {
		return nil
	}
	var found encoding.Encoding
	most := 2*windows - foreign
	for _, c := range europeanCharsets {
		n, foreign := plausible(raw, c.encoding, c.alphabets)
		if rank := 2*n - foreign; rank > most && n*100 >= nonASCII*85 {
			found, most = c.encoding, rank
		}
	}
	return found
}

// countEuropean counts the bytes that are not ASCII. ok is false if they are too few to recognize
// an encoding, if all of them are punctuation in Windows-1252, and if they are those of another
// alphabet.
func countEuropean(raw []byte) (nonASCII int, ok bool) {
	const (
		undefinedBytes   = "\x81\x8d\x8f\x90\x9d" // in Windows-1252
		punctuationBytes = "\x85\x91\x92\x93\x94\x95\x96\x97"
	)
	undefined, punctuation := 0, 0
	for _, b := range raw {
		switch {
		case b < utf8.RuneSelf:
			continue
		case strings.IndexByte(undefinedBytes, b) >= 0:
			undefined++
		case strings.IndexByte(punctuationBytes, b) >= 0:
			punctuation++
		}
		nonASCII++
	}
	const few = 3 // which may be anything
	isEnough := nonASCII >= few || undefined > 0
	return nonASCII, isEnough && nonASCII != punctuation && !hasOtherAlphabet(raw, nonASCII)
}

// hasOtherAlphabet reports whether words consist of bytes that are not ASCII, as in other
// alphabets, or of such a byte and another one in turn, as Katakana in Shift JIS.
func hasOtherAlphabet(raw []byte, nonASCII int) bool {
	inRow, katakana := 0, 0
	for i, b := range raw {
		switch {
		case i > 0 && min(b, raw[i-1]) >= utf8.RuneSelf && raw[i-1] != b:
			inRow++
		case b == 0x83 && i+2 < len(raw) && raw[i+1] >= '@' && raw[i+2] == 0x83:
			katakana++
		}
	}
	return inRow*2 > nonASCII || katakana > 1 && katakana*5 > nonASCII
}

// plausible counts the bytes that are not ASCII and are what European texts contain, in the
// encoding e: letters within words, letters and common signs beside words, soft hyphens, frames of
// tables, and the signs that typography matches. There are at most as many signs beside words as
// letters within words. Letters are foreign if they are not in the alphabet that has most of them.
func plausible(raw []byte, e *charmap.Charmap, alphabets []string) (all, foreign int) {
	expected := strings.Join(alphabets, "")
	counts := map[rune]int{}
	letters, signs, others := 0, 0, 0
	for i, b := range raw {
		if b < utf8.RuneSelf {
			continue
		}
		r := e.DecodeByte(b)
		before, after := neighbor(raw, i-1), neighbor(raw, i+1)
		isLetter := strings.ContainsRune(expected, unicode.ToLower(r))
		switch {
		case isLetter && isInWord(r, before, after):
			letters++
			counts[unicode.ToLower(r)]++
		case isLetter && before == 0 && after == 0,
			strings.ContainsRune("«»¿¡½¼", r) && min(before, after) == 0:
			signs++
		case r == '\u00ad' && min(before, after) > 0, // a soft hyphen
			r >= '─' && r <= '▟' && max(before, after) == 0: // the frame of a table
			others++
		}
	}
	foreign = letters
	for _, alphabet := range alphabets {
		rest := letters
		for _, r := range alphabet {
			rest -= counts[r]
		}
		foreign = min(foreign, rest)
	}
	return letters + min(signs, letters) + others + countTypography(raw, e), foreign
}

// isInWord reports whether a letter is within a word, or one by itself. There is no capital after a
// small letter.
func isInWord(r rune, before, after byte) bool {
	lower := unicode.ToLower(r)
	if before == 0 && after == 0 {
		return strings.ContainsRune("àèéåöøóő", lower)
	}
	return r == lower && (after == 0 || after >= 'a') || r != lower && before < 'a'
}

// typographicSigns are the signs that typography matches.
const typographicSigns = "’‘“”„«»–—•·£€¤¥§°ºª²³µ™®©Ø\u00a0"

// typography matches signs where texts have them: apostrophes in English contractions and genitives
// and in French and Italian elisions, pairs of quotation marks, dashes, bullets, and signs beside
// numbers, units and names.
var typography = regexp.MustCompile(`(?i)[a-z]’(?:s|t|d|m|re|ve|ll)\b|` +
	`(?:\b[cdjlmnst]|qu|ll|un)’[aehiouyàâéèêîôœ]|` +
	`\B(?:“[^“”]{1,200}”|„[^„“”]{1,200}[“”"]|‘[^‘’]{1,200}’|«[^«»]{1,200}»)\B|` +
	`\B[–•·]\B|[0-9]–[0-9]|\B–[$£€]?[0-9]|\B—|—\B|` +
	`[£€¤¥][ \x{a0}]{0,5}-?[0-9]|[0-9][ \x{a0}]?[€¤]|§[ \x{a0}]?[0-9]|` +
	`[0-9][ .]?[°ºª]|\b[nm]\.?[°ºª]|\bm[²³]|\bµ[gmls]|\b[™®]\B|\B©[ \x{a0}0-9]|` +
	`Ø ?[0-9]|[0-9«]\x{a0}|\x{a0}[0-9:;!?%€»]`)

// countTypography counts the signs that typography matches in a text in the encoding e.
func countTypography(raw []byte, e *charmap.Charmap) (n int) {
	text, _ := e.NewDecoder().String(string(raw)) // never fails
	for _, found := range typography.FindAllString(text, -1) {
		for _, r := range found {
			if strings.ContainsRune(typographicSigns, r) {
				n++
			}
		}
	}
	return n
}

// neighbor returns the ASCII letter at index i, or 0 if there is none.
func neighbor(raw []byte, i int) byte {
	if i < 0 || i >= len(raw) || !isASCIILetter(raw[i]) {
		return 0
	}
	return raw[i]
}
