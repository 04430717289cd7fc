package extract

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"mime"
	"net/textproto"
	"regexp"
	"strings"
)

// splitHeader divides an email or a part into its header (RFC 5322, 2.2) and its body. A line that
// cannot belong to a header begins the body. It fails if the header exceeds maxMailHeader.
func splitHeader(raw []byte) (textproto.MIMEHeader, []byte, error) {
	header := textproto.MIMEHeader{}
	rest, name, value := raw, "", []byte(nil)
	add := func() {
		if name != "" {
			header.Add(name, string(bytes.TrimSpace(value)))
		}
		name = ""
	}
	for len(rest) > 0 {
		line, next, _ := bytes.Cut(rest, []byte("\n"))
		line = bytes.TrimRight(line, "\r")
		field, content, isField := bytes.Cut(line, []byte(":"))
		field = bytes.TrimRight(field, " \t")
		isField = isField && len(field) > 0 && !bytes.ContainsFunc(field, isNotGraphicASCII)
		switch {
		case len(line) == 0:
			add()
			return header, next, nil
		case name != "" && continues(line, value, isField):
			value = append(append(value, ' '), bytes.TrimSpace(line)...)
		case isField:
			add()
			name, value = textproto.CanonicalMIMEHeaderKey(string(field)), bytes.Clone(content)
		case len(header) == 0 && name == "" && bytes.HasPrefix(line, []byte("From ")):
		default:
			add()
			return header, rest, nil
		}
		if len(raw)-len(next) > maxMailHeader {
			return nil, nil, fmt.Errorf("%w: header of the email exceeds %d bytes",
				ErrBroken, maxMailHeader)
		}
		rest = next
	}
	add()
	return header, nil, nil
}

// continues reports whether a line of a header belongs to the field before it, which has this
// value. It accepts a parameter that should have been indented.
func continues(line, value []byte, isField bool) bool {
	return line[0] == ' ' || line[0] == '\t' ||
		!isField && bytes.HasSuffix(bytes.TrimSpace(value), []byte(";"))
}

// parseMediaType returns the value of a header field such as Content-Type, in lower case, and its
// parameters by their names in lower case. It accepts what mime.ParseMediaType refuses: empty
// parameters, values with special characters outside of quotes, and repeated parameters, of which
// the first one counts.
func parseMediaType(value string) (string, map[string]string) {
	if mediaType, parameters, err := mime.ParseMediaType(value); err == nil {
		return mediaType, parameters
	}
	mediaType, rest := cutParameter(value)
	mediaType = strings.Trim(strings.ToLower(mediaType), "\" \t")
	if end := strings.IndexAny(mediaType, " \t,(\""); end >= 0 {
		mediaType = mediaType[:end]
	}
	parameters := map[string]string{}
	for rest != "" {
		var parameter string
		parameter, rest = cutParameter(rest)
		name, value, _ := strings.Cut(parameter, "=")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		if strings.HasPrefix(value, `"`) {
			value, _, _ = strings.Cut(value[1:], `"`)
		}
		if _, repeated := parameters[name]; !repeated && name != "" && value != "" {
			parameters[name] = value
		}
	}
	return mediaType, parameters
}

// cutParameter divides s at the first semicolon outside of quotes.
func cutParameter(s string) (before, after string) {
	quoted := false
	for i, r := range s {
		switch {
		case r == '"':
			quoted = !quoted
		case r == ';' && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// splitParts returns the parts between the boundaries (RFC 2046, 5.1). If the boundary does not
// occur, the first line that looks like a boundary is used instead.
func splitParts(body []byte, boundary string) [][]byte {
	if parts := splitAt(body, boundary); len(parts) > 0 {
		return parts
	}
	if found := boundaryLine.FindSubmatch(body); found != nil {
		return splitAt(body, string(found[1]))
	}
	return nil
}

// boundaryLine matches a line that looks like a boundary, before the header of a part.
var boundaryLine = regexp.MustCompile(`(?m)^--(\S{1,200})[ \t]*\r?\n[Cc]ontent-`)

func splitAt(body []byte, boundary string) (parts [][]byte) {
	if boundary == "" {
		return nil
	}
	delimiter := []byte("--" + boundary)
	start := -1 // of the current part
	for at := 0; at < len(body); {
		found := bytes.Index(body[at:], delimiter)
		if found < 0 {
			break
		}
		found += at
		at = found + len(delimiter)
		line, next, _ := bytes.Cut(body[at:], []byte("\n"))
		line = bytes.TrimRight(line, " \t\r")
		last := bytes.Equal(line, []byte("--"))
		if found > 0 && body[found-1] != '\n' || len(line) > 0 && !last {
			continue
		}
		if start >= 0 {
			parts = append(parts, trimLineEnd(body[start:max(start, found)]))
		}
		if start = len(body) - len(next); last {
			start = -1 // a part within the body may have had the same boundary, and others follow
		}
		if len(parts) > maxMailParts {
			return parts
		}
	}
	if start >= 0 && start < len(body) { // the last boundary is missing
		parts = append(parts, body[start:])
	}
	return parts
}

// trimLineEnd removes one line end at the end.
func trimLineEnd(b []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
}

// transferEncoding returns the Content-Transfer-Encoding (RFC 2045, 6) in the value of a header
// field. It accepts the names that programs write for "base64" and the others.
func transferEncoding(value string) string {
	value = strings.NewReplacer(" ", "", "-", "").Replace(strings.ToLower(value))
	switch {
	case strings.Contains(value, "base64"), value == "b":
		return "base64"
	case strings.Contains(value, "quoted"):
		return "quoted-printable"
	case strings.Contains(value, "uue"):
		return "uuencode"
	}
	return ""
}

// decodeTransfer decodes a body with the given transfer encoding.
func decodeTransfer(encoding string, body []byte) []byte {
	switch encoding {
	case "base64":
		return decodeBase64Body(body)
	case "quoted-printable":
		return decodeQuotedPrintable(body)
	case "uuencode":
		if _, files := cutUU(body); len(files) > 0 {
			return files[0]
		}
	}
	return body
}

// decodeText is decodeTransfer for text. Text that only claims to be in base64, which has many
// blanks and punctuation, stays as it is.
func decodeText(encoding string, body []byte) []byte {
	const maxWord = 15
	if encoding == "base64" && bytes.Count(body, []byte(" "))*maxWord > len(body) &&
		bytes.ContainsAny(body, ".,:;!?<>") {
		return body
	}
	return decodeTransfer(encoding, body)
}

// base64Line matches a line that can only be base64.
var base64Line = regexp.MustCompile(`^\s*[A-Za-z0-9+/]{16,}={0,2}\s*(?:\n|$)`)

// decodeBase64Body decodes base64 (RFC 2045, 6.8). It goes on after the padding if another line of
// base64 follows, because some programs encode a body in several pieces.
func decodeBase64Body(body []byte) []byte {
	decoded := bytes.NewBuffer(make([]byte, 0, len(body)/4*3+bytes.MinRead))
	for {
		piece, rest, padded := bytes.Cut(body, []byte("="))
		_, _ = decoded.ReadFrom(newBase64Reader(bytes.NewReader(piece))) // what is valid is read
		body = bytes.TrimLeft(rest, "= \t\r\n")
		if !padded || !base64Line.Match(body) {
			return decoded.Bytes()
		}
	}
}

// decodeQuotedPrintable decodes RFC 2045, 6.7. Anything that is not a valid escape sequence is left
// unchanged.
func decodeQuotedPrintable(body []byte) []byte {
	decoded := make([]byte, 0, len(body))
	for {
		at := bytes.IndexByte(body, '=')
		if at < 0 {
			return append(decoded, body...)
		}
		decoded = append(decoded, body[:at]...)
		body = body[at+1:]
		var b [1]byte
		line, next, _ := bytes.Cut(body, []byte("\n"))
		switch {
		case len(bytes.TrimRight(line[:min(len(line), 100)], " \t\r")) == 0 && len(line) < 100:
			body = next // a line that continues
		case len(body) >= 2 && isHex(body[0]) && isHex(body[1]):
			_, _ = hex.Decode(b[:], body[:2])
			decoded = append(decoded, b[0])
			body = body[2:]
		default:
			decoded = append(decoded, '=')
		}
	}
}

func isHex(b byte) bool {
	return b >= '0' && b <= '9' || b|0x20 >= 'a' && b|0x20 <= 'f'
}
