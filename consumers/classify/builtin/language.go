package builtin

import (
	"math/bits"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/blevesearch/snowballstem"
	stemdanish "github.com/blevesearch/snowballstem/danish"
	stemdutch "github.com/blevesearch/snowballstem/dutch"
	stemenglish "github.com/blevesearch/snowballstem/english"
	stemfinnish "github.com/blevesearch/snowballstem/finnish"
	stemfrench "github.com/blevesearch/snowballstem/french"
	stemgerman "github.com/blevesearch/snowballstem/german"
	stemhungarian "github.com/blevesearch/snowballstem/hungarian"
	stemitalian "github.com/blevesearch/snowballstem/italian"
	stemnorwegian "github.com/blevesearch/snowballstem/norwegian"
	stemportuguese "github.com/blevesearch/snowballstem/portuguese"
	stemromanian "github.com/blevesearch/snowballstem/romanian"
	stemrussian "github.com/blevesearch/snowballstem/russian"
	stemspanish "github.com/blevesearch/snowballstem/spanish"
	stemswedish "github.com/blevesearch/snowballstem/swedish"
	stemturkish "github.com/blevesearch/snowballstem/turkish"
)

// language is a language that has stop words. English is the language of texts whose language is
// not recognized.
type language uint8

const (
	english language = iota
	german
	french
	spanish
	italian
	dutch
	portuguese
	polish
	russian
	swedish
	danish
	norwegian
	finnish
	czech
	turkish
	romanian
	hungarian
	numLanguages
)

// languageSet is a set of languages, one bit for each.
type languageSet uint32

func setOf(l language) languageSet { return 1 << l }

// stemmers reduce a word to its stem: the Snowball stemmers, and one for Polish, which Snowball
// lacks. Czech has none.
var stemmers = [numLanguages]func(string) string{
	english:    snowball(stemenglish.Stem),
	german:     snowball(stemgerman.Stem),
	french:     snowball(stemfrench.Stem),
	spanish:    snowball(stemspanish.Stem),
	italian:    snowball(stemitalian.Stem),
	dutch:      snowball(stemdutch.Stem),
	portuguese: snowball(stemportuguese.Stem),
	polish:     stemPolish,
	russian:    snowball(stemrussian.Stem),
	swedish:    snowball(stemswedish.Stem),
	danish:     snowball(stemdanish.Stem),
	norwegian:  snowball(stemnorwegian.Stem),
	finnish:    snowball(stemfinnish.Stem),
	czech:      func(word string) string { return word },
	turkish:    snowball(stemturkish.Stem),
	romanian:   snowball(stemromanian.Stem),
	hungarian:  snowball(stemhungarian.Stem),
}

// codes are the codes of the languages by ISO 639-1.
var codes = [numLanguages]string{
	english: "en", german: "de", french: "fr", spanish: "es", italian: "it", dutch: "nl",
	portuguese: "pt", polish: "pl", russian: "ru", swedish: "sv", danish: "da", norwegian: "nb",
	finnish: "fi", czech: "cs", turkish: "tr", romanian: "ro", hungarian: "hu",
}

// Stem returns the stem of a word in lower case of the language with this code by ISO 639-1. ok is
// false if the language is unknown or the word is one of its stop words.
func Stem(code, word string) (stem string, ok bool) {
	l := slices.Index(codes[:], code)
	if l < 0 || wordKinds[word].stop&setOf(language(l)) != 0 {
		return "", false
	}
	return stemmers[l](word), true
}

func snowball(stem func(*snowballstem.Env) bool) func(string) string {
	return func(word string) string {
		env := snowballstem.NewEnv(word)
		stem(env)
		return env.Current()
	}
}

// polishEndings are inflectional endings of Polish nouns and adjectives, longest first.
var polishEndings = strings.Fields(`
owaniem owania owanie owaniu ościami ościach ością ości ność ości ieniem ienia ienie ieniu
iami iach ymi imi ego emu ych ich ami ach owi owie owej owego owych owy owa owe iem
ów om em ej ie ia ii ię ią iu ek ym im ą ę a e i o u y`)

// stemPolish removes an inflectional ending and keeps at least three letters. It is much simpler
// than the Snowball stemmers.
func stemPolish(word string) string {
	const minimum = 3
	runes := utf8.RuneCountInString(word)
	for _, ending := range polishEndings {
		if rest, ok := strings.CutSuffix(word, ending); ok &&
			runes-utf8.RuneCountInString(ending) >= minimum {
			if ending == "ek" { // rachunek, rachunku
				return rest + "k"
			}
			return rest
		}
	}
	return word
}

// letters maps letters that few languages use to these languages.
var letters = func() map[rune]languageSet {
	sets := map[rune]languageSet{}
	for l, runes := range map[language]string{
		german: "äöüß", french: "éèêàçûîôœ", spanish: "ñáéíóú", italian: "èàùòì", dutch: "ëï",
		portuguese: "ãõçáéíóúâê", polish: "łąęśżźćńó", swedish: "åäö", danish: "åæø",
		norwegian: "åæø", finnish: "äö", czech: "ěščřžýáíéúůťď", turkish: "ışğçöü",
		romanian: "ăâîșțşţ", hungarian: "őűáéíóöúü",
	} {
		for _, r := range runes {
			sets[r] |= setOf(l)
		}
	}
	return sets
}()

// Parameters of the detector.
const (
	// wordEvidence is the evidence of a stop word or mark, which the languages that have it share. It
	// is divisible by 1 to 16, so that sums are exact in any order.
	wordEvidence = 720720
	// letterEvidence is that of another word with a letter that few languages use, or in Cyrillic.
	letterEvidence = wordEvidence / 2
	// minLanguage is the least evidence for a language other than English.
	minLanguage = wordEvidence * 3 / 2
	// minShare is the least evidence for a language other than English, for each word of the text.
	minShare = wordEvidence / 15
	// minSecond is the evidence for each word of the text that makes a language one of several in it.
	// Words that the main language has too do not count.
	minSecond = wordEvidence / 20
)

// languageCounter gathers the evidence for the languages of a text.
type languageCounter struct {
	words int // without numbers, which tables have in any language
	// known counts the stop words and marks by the set of languages that have them, and hint the other
	// words by the set of languages that their letters suggest.
	known, hint map[languageSet]int
}

func newLanguageCounter() *languageCounter {
	return &languageCounter{known: map[languageSet]int{}, hint: map[languageSet]int{}}
}

// add counts a word, unless it is a number, and returns its kind.
func (c *languageCounter) add(word []byte) wordKind {
	if isNumber(word) {
		return wordKind{}
	}
	c.words++
	kind := wordKinds[string(word)]
	switch all := kind.stop | kind.mark; {
	case all != 0:
		c.known[all]++
	default:
		if hint := letterHint(word); hint != 0 {
			c.hint[hint]++
		}
	}
	return kind
}

// letterHint returns the languages that the letters of the word suggest.
func letterHint(word []byte) (hint languageSet) {
	for i := 0; i < len(word); {
		if word[i] < utf8.RuneSelf {
			i++
			continue
		}
		r, size := utf8.DecodeRune(word[i:])
		if unicode.Is(unicode.Cyrillic, r) {
			return setOf(russian)
		}
		if set := letters[r]; hint == 0 {
			hint = set
		} else if hint&set != 0 {
			hint &= set
		}
		i += size
	}
	return hint
}

// evidence returns the evidence for each language from the words that no language in without has.
func (c *languageCounter) evidence(without languageSet) (evidence [numLanguages]int) {
	add := func(words map[languageSet]int, weight int) {
		for set, n := range words {
			if set&without != 0 {
				continue
			}
			share := n * weight / bits.OnesCount32(uint32(set))
			for l := range numLanguages {
				if set&setOf(l) != 0 {
					evidence[l] += share
				}
			}
		}
	}
	add(c.known, wordEvidence)
	add(c.hint, letterEvidence)
	return evidence
}

// languages returns the main language of the text, and all languages of it.
func (c *languageCounter) languages() (main language, all languageSet) {
	evidence := c.evidence(0)
	for l, e := range evidence {
		if e >= max(minLanguage, minShare*c.words) && e > evidence[main] {
			main = language(l)
		}
	}
	all = setOf(main)
	for l, e := range c.evidence(all) {
		if e >= max(minLanguage, minSecond*c.words) {
			all |= setOf(language(l))
		}
	}
	return main, all
}
