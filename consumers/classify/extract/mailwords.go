package extract

import (
	"mime"
	"net/textproto"
	"net/url"
	"regexp"
	"strings"
)

// lenientParameters match parameters that violate the standards: names with spaces and without
// quotes, and encodings other than UTF-8.
var lenientParameters = map[string]*regexp.Regexp{
	"filename": regexp.MustCompile(`(?i)[;\s]filename(\*?)\s*=\s*([^;]*)`),
	"name":     regexp.MustCompile(`(?i)[;\s]name(\*?)\s*=\s*([^;]*)`),
}

// fileName returns the file name in the header of a part, or "". It follows RFC 2183, 2.3, and RFC
// 2231, 4, and accepts common violations of them.
func fileName(header textproto.MIMEHeader) string {
	for _, source := range []struct{ field, parameter string }{
		{"Content-Disposition", "filename"},
		{"Content-Type", "name"},
	} {
		value := header.Get(source.field)
		_, parameters, _ := mime.ParseMediaType(value)
		if name := parameters[source.parameter]; name != "" {
			return decodeHeader(name)
		}
		found := lenientParameters[source.parameter].FindStringSubmatch(value)
		if found == nil {
			continue
		}
		name := strings.Trim(strings.TrimSpace(found[2]), `"`)
		if parts := strings.SplitN(name, "'", 3); found[1] == "*" && len(parts) == 3 {
			unescaped, err := url.PathUnescape(parts[2])
			if e := lookupEncoding(parts[0]); e != nil && err == nil {
				if decoded, err := e.NewDecoder().String(unescaped); err == nil {
					return decoded
				}
			}
			name = parts[2]
		}
		if name != "" {
			return decodeHeader(name)
		}
	}
	return ""
}

// encodedWord matches an encoded word (RFC 2047, 2), also with a language (RFC 2231, 5) and with
// the spaces that some programs leave in it.
var encodedWord = regexp.MustCompile(`=\?([^?*\s]+)(?:\*[^?\s]*)?\?([bBqQ])\?([^?]*)\?=`)

// decodeHeader decodes the encoded words in the value of a header field. Words that follow one
// another are decoded together, because some programs divide characters. It also decodes
// characters of any charset that are not encoded, which are common although the standards forbid
// them.
func decodeHeader(value string) string {
	if !strings.Contains(value, "=?") {
		return decode([]byte(value), "", false)
	}
	var b strings.Builder
	var charset string
	var pending []byte
	flush := func() {
		b.WriteString(decodeCharset(pending, charset))
		pending = nil
	}
	at := 0
	for _, found := range encodedWord.FindAllStringSubmatchIndex(value, -1) {
		between := value[at:found[0]]
		if at == 0 || strings.TrimSpace(between) != "" {
			flush()
			b.WriteString(decode([]byte(between), "", false))
		}
		if name := strings.ToLower(value[found[2]:found[3]]); name != charset {
			flush()
			charset = name
		}
		word := []byte(value[found[6]:found[7]])
		if strings.EqualFold(value[found[4]:found[5]], "b") {
			pending = append(pending, decodeTransfer("base64", word)...)
		} else {
			word = []byte(strings.ReplaceAll(string(word), "_", " "))
			pending = append(pending, decodeQuotedPrintable(word)...)
		}
		at = found[1]
	}
	flush()
	b.WriteString(decode([]byte(value[at:]), "", false))
	return b.String()
}

// decodeCharset decodes text in the charset of this name, which may be unknown or wrong.
func decodeCharset(raw []byte, charset string) string {
	contentType := mime.FormatMediaType("text/plain", map[string]string{"charset": charset})
	return decode(raw, contentType, false)
}
