package extract

import (
	"encoding/base64"
	"strings"

	"golang.org/x/net/html/charset"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/japanese"
)

// charsetAliases are names that programs use for charsets and that no standard lists.
var charsetAliases = map[string]string{
	"cp932": "shift_jis", "ms932": "shift_jis", "cp936": "gbk", "ms936": "gbk",
	"cp949": "euc-kr", "ms949": "euc-kr", "cp950": "big5", "ms950": "big5",
	"cp874": "windows-874", "ansi": "windows-1252", "x-ansi": "windows-1252",
}

// lookupEncoding returns the encoding with this name, or nil if there is none. It knows the names
// that browsers know, those that IANA has registered, and charsetAliases.
func lookupEncoding(name string) encoding.Encoding {
	name = strings.ToLower(strings.TrimSpace(name))
	if alias := charsetAliases[strings.Replace(name, "cp-", "cp", 1)]; alias != "" {
		name = alias
	}
	switch e, label := charset.Lookup(name); {
	case label == "replacement": // which browsers use instead of what they do not decode
	case e != nil:
		return e
	}
	if name == "iso-2022-jp-2" || name == "iso-2022-jp-3" || name == "iso-2022-jp-ms" {
		return japanese.ISO2022JP
	}
	for _, name := range []string{
		name, strings.TrimPrefix(name, "x-"), strings.Replace(name, "cp-", "cp", 1),
	} {
		if e, err := ianaindex.IANA.Encoding(name); err == nil && e != nil {
			return e
		}
	}
	return nil
}

// isUTF7 reports whether this is a name of UTF-7, which no library decodes.
func isUTF7(charset string) bool {
	switch strings.ToLower(charset) {
	case "utf-7", "utf7", "unicode-1-1-utf-7", "x-unicode-2-0-utf-7":
		return true
	}
	return false
}

// decodeUTF7 decodes UTF-7 (RFC 2152). What is not valid stays as it is.
func decodeUTF7(s string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, "+")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		end := strings.IndexFunc(after, isNotBase64)
		if end < 0 {
			end = len(after)
		}
		rest := strings.TrimPrefix(after[end:], "-")
		units, err := base64.RawStdEncoding.DecodeString(after[:end])
		if end == 0 || err != nil {
			b.WriteByte('+')
			if end > 0 {
				rest = after
			}
		}
		if err == nil {
			b.WriteString(utf16TextBig(units))
		}
		s = rest
	}
}

// isNotBase64 reports whether r is not in the alphabet of base64.
func isNotBase64(r rune) bool {
	return r > 'z' || !isASCIILetter(byte(r)) && (r < '0' || r > '9') && r != '+' && r != '/'
}

// utf16TextBig decodes UTF-16 in big-endian order.
func utf16TextBig(raw []byte) string {
	swapped := make([]byte, len(raw)/2*2)
	for i := range swapped {
		swapped[i] = raw[i^1]
	}
	return utf16Text(swapped)
}
