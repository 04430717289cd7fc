package api

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strconv"
	"unicode/utf16"

	"intray/schema"
)

// surrogate matches the escape of a surrogate in a JSON text, and sometimes other text.
var surrogate = regexp.MustCompile(`\\u[dD][89a-fA-F]`)

// checkSurrogates refuses a JSON text with a string that contains the escape of half a surrogate
// pair, such as \ud800. It stands for no character, and encoding/json would replace it by U+FFFD.
func checkSurrogates(text []byte) error {
	if !surrogate.Match(text) {
		return nil
	}
	path, found := findLoneSurrogate(json.NewDecoder(bytes.NewReader(text)), text, nil)
	if !found {
		return nil
	}
	at := pointer(path)
	return schema.Errorf(schema.CodeInvalid,
		`The string at %s contains half of a surrogate pair, such as \ud800. `+
			`Send only whole characters.`, quoted(at)).With(schema.Facts{Pointer: at})
}

// findLoneSurrogate reads the next value of a decoder of text, which is valid JSON, and returns the
// path of the first string in it that contains half a surrogate pair.
func findLoneSurrogate(
	decoder *json.Decoder, text []byte, path []string,
) (at []string, found bool) {
	before := decoder.InputOffset()
	token, err := decoder.Token()
	if err != nil {
		return nil, false
	}
	if _, ok := token.(string); ok {
		return path, hasLoneSurrogate(text[before:decoder.InputOffset()])
	}
	opening, ok := token.(json.Delim)
	if !ok {
		return nil, false
	}
	for i := 0; decoder.More(); i++ {
		name := strconv.Itoa(i)
		if opening == '{' {
			member, _ := decoder.Token()
			name, _ = member.(string)
		}
		at, found := findLoneSurrogate(decoder, text, append(path[:len(path):len(path)], name))
		if found {
			return at, true
		}
	}
	_, _ = decoder.Token() // the closing bracket
	return nil, false
}

// hasLoneSurrogate reports whether a JSON string contains the escape of half a surrogate pair.
func hasLoneSurrogate(text []byte) bool {
	for len(text) > 0 {
		first, size := unescape(text)
		text = text[size:]
		if !utf16.IsSurrogate(first) {
			continue
		}
		second, size := unescape(text)
		if utf16.DecodeRune(first, second) == '\uFFFD' {
			return true
		}
		text = text[size:]
	}
	return false
}

// unescape returns the UTF-16 code unit that text begins with if it is written as an escape with
// \u, otherwise 0, and the length of the escape or byte.
func unescape(text []byte) (unit rune, size int) {
	switch {
	case len(text) >= 6 && text[0] == '\\' && text[1] == 'u':
		code, _ := strconv.ParseUint(string(text[2:6]), 16, 16)
		return rune(code), 6
	case len(text) >= 2 && text[0] == '\\':
		return 0, 2
	case len(text) > 0:
		return 0, 1
	}
	return 0, 0
}
