package extract

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"
)

// fewXMLLetters is the number of letters and digits between the tags of an XML document below which
// its attributes may have the content.
const fewXMLLetters = 1000

// xmlAttributes returns the first attributes in a tag, except those that only determine what it
// looks like.
func xmlAttributes(tag []byte) (found []struct{ name, value string }) {
	const space = " \t\r\n"
	for range maxAttributes {
		before, after, _ := bytes.Cut(tag, []byte("="))
		after = bytes.TrimLeft(after, space)
		if len(after) == 0 {
			break
		}
		if tag = after; tag[0] != '"' && tag[0] != '\'' {
			continue
		}
		var value []byte
		value, tag, _ = bytes.Cut(tag[1:], tag[:1])
		before = bytes.TrimRight(before, space)
		name := localName(string(before[1+bytes.LastIndexAny(before, space):]))
		if folded := strings.ToLower(name); folded != "style" && folded != "class" {
			value := html.UnescapeString(string(value))
			found = append(found, struct{ name, value string }{name, value})
		}
	}
	return found
}

// withAttributes returns the label of each start tag of a document whose content is in attributes:
// the names of the element and of its attributes that have a value for people, and the values that
// are text, once each. name returns the words of a name that was not written yet.
func withAttributes(name func(string) string) func(tag []byte, isEmpty bool) string {
	values := map[string]bool{}
	return func(tag []byte, _ bool) string {
		label := name(localName(startTagName(tag)))
		for _, a := range xmlAttributes(tag) {
			isText := isProse(a.value)
			if isText || isQuantity(a.value) {
				label += name(a.name)
			}
			if isText && !values[a.value] {
				values[a.value] = true
				label += a.value + " "
			}
		}
		return label
	}
}

// attributesPrevail reports whether the attributes of an XML document have more words than its
// elements, which have few. Each value counts once.
func attributesPrevail(page string) bool {
	tokens := html.NewTokenizer(strings.NewReader(page))
	tokens.SetMaxBuf(maxToken)
	tokens.AllowCDATA(true)
	between, within, counted := 0, 0, map[string]bool{}
	for between < fewXMLLetters {
		switch tokens.Next() {
		case html.ErrorToken:
			return within > between
		case html.TextToken:
			between += countLetters(string(tokens.Text()), fewXMLLetters)
		case html.StartTagToken, html.SelfClosingTagToken:
			if within >= fewXMLLetters {
				continue
			}
			for _, attribute := range xmlAttributes(tokens.Raw()) {
				if isProse(attribute.value) && !counted[attribute.value] {
					counted[attribute.value] = true
					within += countLetters(attribute.value, fewXMLLetters)
				}
			}
		}
	}
	return false
}

// isProse reports whether the value of an attribute is a text for people: half of its parts are
// words, and there are two words, or one that begins with a capital. Identifiers, keywords such as
// "none", URLs, paths, hashes and numbers are not.
func isProse(value string) bool {
	parts, words, isCapitalized := strings.Fields(value), 0, false
	for _, part := range parts {
		if word := strings.Trim(part, `.,;:!?"'()&%`); isPlainWord(word) {
			words++
			first, size := utf8.DecodeRuneInString(word)
			second, _ := utf8.DecodeRuneInString(word[size:])
			isCapitalized = isCapitalized || !unicode.IsLower(first) && !unicode.IsUpper(second)
		}
	}
	return 2*words >= len(parts) && (words > 1 || isCapitalized)
}

// isPlainWord reports whether a word has two letters or more and, except hyphens and apostrophes
// between them, nothing else. A capital after a small letter is in an identifier.
func isPlainWord(word string) bool {
	letters, previous := 0, ' '
	for _, r := range word {
		switch {
		case unicode.IsLetter(r), unicode.Is(unicode.M, r):
			if unicode.IsUpper(r) && unicode.IsLower(previous) {
				return false
			}
			letters++
		case r != '-' && r != '\'' && r != '’':
			return false
		}
		previous = r
	}
	return letters > 1
}

// isQuantity reports whether a value is a number, a date or a time.
func isQuantity(value string) bool {
	const digits = "0123456789"
	return strings.ContainsAny(value, digits) && strings.Trim(value, digits+".,:/%+- TZ") == ""
}
