package extract

import (
	"bytes"
	"context"
	"regexp"
	"slices"
	"strings"
)

// maxStub is the number of letters and digits, outside of addresses of pages, below which a plain
// text may only be a note that the email has to be read as HTML.
const maxStub = 300

// webAddress matches the address of a page.
var webAddress = regexp.MustCompile(`https?://\S+`)

// isStub reports whether a plain text only says that the email has to be read as HTML: it is short,
// and the alternatives have much more text.
func isStub(plain string, alternatives [][]byte) bool {
	switch letters := countLetters(webAddress.ReplaceAllString(plain, ""), maxStub); {
	case letters >= maxStub:
		return false
	case saysNothing(plain):
		return true
	}
	for _, part := range alternatives {
		header, body, err := splitHeader(part)
		if err != nil {
			continue
		}
		h := parsePartHeader(header)
		if h.contentType != "text/html" {
			continue
		}
		raw := decodeTransfer(h.encoding, body)
		raw = raw[:min(len(raw), maxTextBytes)]
		if isStubOf(plain, decode(raw, h.declaredType(), true)) {
			return true
		}
	}
	return false
}

// saysNothing reports whether a plain text has no letters outside of addresses of pages, or is
// short and names HTML.
func saysNothing(plain string) bool {
	plain = webAddress.ReplaceAllString(plain, "")
	letters := countLetters(plain, maxStub)
	return letters == 0 || letters < maxStub && strings.Contains(strings.ToUpper(plain), "HTML")
}

// isStubOf reports whether a plain text is short and a page has much more text.
func isStubOf(plain, page string) bool {
	if saysNothing(plain) {
		return true
	}
	letters := countLetters(webAddress.ReplaceAllString(plain, ""), maxStub)
	html := newText(4 * maxStub)
	// The page is short, or it is cut off when there is enough text.
	return letters < maxStub &&
		readMarkup(context.Background(), page, dialectHTML, html) == nil &&
		countLetters(html.String(), 4*maxStub)*2 > letters*3
}

// body writes a text part. Text that is not declared as a page is read as what it is, for example
// RTF, XML or a page. It may contain parts whose header is missing, and files in uuencode.
func (m *mailReader) body(h partHeader, raw []byte, depth int) error {
	if depth < maxMailDepth && h.contentType == "text/plain" && isMultipart(raw) {
		return m.multipart(raw, partHeader{contentType: "multipart/mixed"}, depth)
	}
	if len(raw) > maxTextBytes {
		raw = raw[:maxTextBytes]
		m.text.incomplete = true
	}
	m.text.breakLine()
	m.text.breakLine()
	if h.contentType == "text/html" {
		page := decode(raw, h.declaredType(), true)
		return readMarkup(m.ctx, page, dialectHTML, m.text)
	}
	k := detect(raw[:min(len(raw), headBytes)])
	switch k.format {
	case formatHTML, formatXHTML, formatXML, formatRTF:
		_, err := m.readText(m.ctx, bytes.NewReader(raw), k, h.declaredType())
		if Reason(err) != "" {
			m.text.incomplete = true
			return nil
		}
		return err
	}
	text := decode(m.withoutFiles(raw), h.declaredType(), false)
	if strings.EqualFold(h.parameters["delsp"], "yes") { // RFC 3676, 4.2
		text = strings.NewReplacer(" \r\n", "", " \n", "").Replace(text)
	}
	if isCard(k) {
		text = cardText(text)
	}
	m.text.write(withoutArmor(text))
	m.text.startLine()
	return nil
}

// isMultipart reports whether a text consists of parts, although its header does not say so. The
// first boundary is near the beginning.
func isMultipart(raw []byte) bool {
	const preamble = 16 << 10
	found := boundaryLine.FindSubmatch(raw[:min(len(raw), preamble)])
	return found != nil && bytes.Contains(raw, slices.Concat([]byte("\n--"), found[1], []byte("--")))
}

// withoutFiles returns a text without the files in uuencode that it contains, which it embeds.
func (m *mailReader) withoutFiles(raw []byte) []byte {
	if !bytes.Contains(raw, []byte("begin ")) {
		return raw
	}
	text, files := cutUU(raw)
	for _, content := range files {
		m.embed(file{content: content})
	}
	return text
}

// armor matches what is not text in an email that is signed or encrypted with OpenPGP (RFC 9580,
// 6.2 and 7).
var armor = regexp.MustCompile(`(?ms)` +
	`^-----BEGIN PGP SIGNED MESSAGE-----\s*$(?:\s*^Hash: [^\r\n]*\r?$)*|` +
	`^-----BEGIN PGP (?:SIGNATURE|MESSAGE|PUBLIC KEY BLOCK)-----.*?^-----END PGP [A-Z ]+-----`)

func withoutArmor(text string) string {
	if !strings.Contains(text, "-----BEGIN PGP ") {
		return text
	}
	return armor.ReplaceAllString(text, "")
}
