package extract

import (
	"regexp"
	"strings"
)

// isCard reports whether documents of this kind are appointments (RFC 5545) or contacts (RFC 6350).
func isCard(k kind) bool { return k.name == "text/calendar" || k.name == "text/vcard" }

var (
	// foldedLine matches where a line is continued by one that is indented.
	foldedLine = regexp.MustCompile(`\r?\n[ \t]`)
	// cardEscapes are the escape sequences in values.
	cardEscapes = strings.NewReplacer(`\n`, "\n", `\N`, "\n", `\,`, ",", `\;`, ";", `\\`, `\`)
)

// cardText returns appointments or contacts with whole lines and without escape sequences, and
// without pictures and keys.
func cardText(s string) string {
	var b strings.Builder
	next := foldedLine.ReplaceAllString(s, "")
	for next != "" {
		var line string
		line, next, _ = strings.Cut(next, "\n")
		line = strings.TrimSuffix(line, "\r")
		name, value, _ := strings.Cut(line, ":")
		parameters := strings.ToUpper(name)
		switch {
		case strings.Contains(parameters, "ENCODING=B"):
			continue
		case strings.Contains(parameters, "QUOTED-PRINTABLE"): // in version 2.1 of contacts
			var whole strings.Builder
			for whole.WriteString(value); strings.HasSuffix(value, "=") && next != ""; {
				value, next, _ = strings.Cut(next, "\n")
				value = strings.TrimSuffix(value, "\r")
				whole.WriteString("\n" + value)
			}
			_, charset, _ := strings.Cut(parameters, "CHARSET=")
			charset, _, _ = strings.Cut(charset, ";")
			name, _, _ = strings.Cut(name, ";")
			line = name + ":" + decodeCharset(decodeQuotedPrintable([]byte(whole.String())), charset)
		}
		b.WriteString(cardEscapes.Replace(line) + "\n")
	}
	return b.String()
}
