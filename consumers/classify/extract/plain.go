package extract

import (
	"regexp"
	"strings"
)

// terminalCode matches what determines the colors of a terminal, as in logs (ECMA-48, 5.4).
var terminalCode = regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]")

// plainText returns what is displayed of a text that is neither markup nor RTF: without escape
// sequences of JSON, of appointments and contacts, and of terminals.
func plainText(k kind, s string) string {
	switch {
	case strings.HasSuffix(k.name, "json"):
		s = unescapeJSON(s)
	case isCard(k):
		s = cardText(s)
	}
	return terminalCode.ReplaceAllString(s, "")
}
