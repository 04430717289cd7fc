package extract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/textproto"
	"regexp"
	"strings"
)

const (
	// maxMailHeader is the largest size of the header of an email or of a part, in bytes.
	maxMailHeader = 1 << 20
	// maxMailParts is the number of parts that are read, and maxMailDepth the depth of nesting up to
	// which they are read.
	maxMailParts = 1000
	maxMailDepth = 10
	// maxStub is the number of letters and digits, outside of addresses of pages, below which a
	// plain text may only be a note that the email has to be read as HTML.
	maxStub = 300
)

// mailFields are header fields by which an email is recognized: those of RFC 5322, 3.6, and others
// that servers and programs add.
var mailFields = set(
	"bcc", "cc", "content-transfer-encoding", "content-type", "date", "delivered-to",
	"dkim-signature", "from", "in-reply-to", "message-id", "mime-version", "received",
	"references", "reply-to", "return-path", "sender", "subject", "to", "x-mailer", "x-received")

// isMail reports whether head begins with header fields of which at least two are in mailFields.
func isMail(head []byte) bool {
	known := 0
	head = bytes.TrimPrefix(head, utf8BOM)
	for n, line := range bytes.Split(head, []byte("\n")) {
		line = bytes.TrimSuffix(line, []byte("\r"))
		name, _, isField := bytes.Cut(line, []byte(":"))
		switch {
		case n == 0 && bytes.HasPrefix(line, []byte("From ")): // the separator in mailbox files
		case len(line) == 0:
			return known >= 2
		case n > 0 && (line[0] == ' ' || line[0] == '\t'): // continues the previous field
		case !isField || len(name) == 0 || bytes.ContainsFunc(name, isNotGraphicASCII):
			return false
		case mailFields[strings.ToLower(string(name))]:
			known++
		}
	}
	return known >= 2
}

var utf8BOM = []byte("\ufeff")

func isNotGraphicASCII(r rune) bool { return r <= ' ' || r > '~' }

// mailReader is the state of readMail. It holds a context because it exists only during one call.
type mailReader struct {
	*reading
	ctx       context.Context
	parts     int
	encrypted bool
}

// readMail writes the subject, addresses and text of an email, and the names of its attachments, to
// the text. It adds the attachments to the queue of embedded files.
//
// The email is held in memory, up to Config.MaxBytes, and parsed as leniently as mail programs do.
// What is damaged is skipped or read as it is.
func (r *reading) readMail(ctx context.Context, d document) error {
	limit := r.config.MaxBytes
	content := io.LimitReader(contextReader{ctx, d.sequential}, limit)
	raw, err := readUpTo(content, min(d.size, limit), limit)
	if err != nil {
		return err
	}
	r.text.incomplete = r.text.incomplete || int64(len(raw)) == limit && d.size != limit
	raw = bytes.TrimPrefix(raw, utf8BOM)
	if bytes.HasPrefix(raw, []byte("From ")) { // the separator in mailbox files
		_, raw, _ = bytes.Cut(raw, []byte("\n"))
	}
	m := &mailReader{reading: r, ctx: ctx}
	if err := m.message(raw, 0); err != nil {
		return err
	}
	if m.encrypted && !r.text.readable {
		return fmt.Errorf("%w: email with end-to-end encryption", ErrEncrypted)
	}
	return nil
}

// message reads the email itself, or an email that is attached to it.
func (m *mailReader) message(raw []byte, depth int) error {
	header, body, err := splitHeader(raw)
	if err != nil {
		return err
	}
	for _, field := range []string{"Subject", "From", "To", "Cc", "Date"} {
		if value := header.Get(field); value != "" {
			m.text.flow(decodeHeader(value))
			m.text.startLine()
		}
	}
	return m.part(header, body, depth)
}

// partHeader is the parsed header of a part.
type partHeader struct {
	contentType string
	parameters  map[string]string // of the content type
	disposition string
	encoding    string // the transfer encoding
	name        string // file name, or ""
}

func parsePartHeader(header textproto.MIMEHeader) partHeader {
	h := partHeader{name: fileName(header)}
	h.contentType, h.parameters = parseMediaType(header.Get("Content-Type"))
	if h.contentType == "" {
		h.contentType = "text/plain" // RFC 2045, 5.2
	}
	h.disposition, _ = parseMediaType(header.Get("Content-Disposition"))
	h.encoding, _ = parseMediaType(header.Get("Content-Transfer-Encoding"))
	return h
}

func (h partHeader) isText() bool { return strings.HasPrefix(h.contentType, "text/") }

// isSMIME reports whether the part is a container of signed or encrypted content (RFC 8551, 3.5).
func (h partHeader) isSMIME() bool {
	return h.contentType == "application/pkcs7-mime" || h.contentType == "application/x-pkcs7-mime"
}

// isSignature reports whether the part is only a signature or a key.
func (h partHeader) isSignature() bool {
	switch h.contentType {
	case "application/pgp-signature", "application/pgp-keys", "application/pgp-encrypted",
		"application/pkcs7-signature", "application/x-pkcs7-signature":
		return true
	}
	return false
}

// attached reports whether the part is a file that is not displayed with the email. A text part is
// displayed even if it has a name, unless the header says that it is an attachment.
func (h partHeader) attached() bool { return h.disposition == "attachment" || !h.isText() }

// declaredType returns the content type, with the charset unless that does not declare anything:
// programs write "us-ascii" without regard to the content.
func (h partHeader) declaredType() string {
	switch name := strings.ToLower(h.parameters["charset"]); name {
	case "", "us-ascii", "ascii", "unknown-8bit", "x-unknown", "unknown", "default":
		return h.contentType
	default:
		return mime.FormatMediaType(h.contentType, map[string]string{"charset": name})
	}
}

// part reads the body of an email, or a part of it, with its header.
func (m *mailReader) part(header textproto.MIMEHeader, body []byte, depth int) error {
	if m.ctx.Err() != nil {
		return fmt.Errorf("read email: %w", context.Cause(m.ctx))
	}
	if m.parts++; m.parts > maxMailParts || depth > maxMailDepth || m.text.full() {
		m.text.incomplete = true
		return nil
	}
	switch h := parsePartHeader(header); {
	case h.contentType == "multipart/encrypted":
		m.encrypted = true
	case strings.HasPrefix(h.contentType, "multipart/"):
		return m.multipart(body, h, depth)
	case h.contentType == "message/rfc822", h.contentType == "message/global":
		m.text.startLine()
		return m.message(decodeTransfer(h.encoding, body), depth+1)
	case h.isSMIME():
		return m.signed(h, body, depth)
	case h.isSignature(), strings.HasPrefix(h.contentType, "message/"):
		m.writeName(h.name)
	case h.attached():
		m.writeName(h.name)
		m.embed(file{contentType: h.declaredType(), content: decodeTransfer(h.encoding, body)})
	default:
		m.writeName(h.name)
		return m.body(h, decodeText(h.encoding, body))
	}
	return nil
}

// signed reads the email within a container of signed content.
func (m *mailReader) signed(h partHeader, body []byte, depth int) error {
	content, err := signedContent(decodeTransfer(h.encoding, body))
	switch {
	case errors.Is(err, ErrEncrypted),
		errors.Is(err, ErrBroken) && h.parameters["smime-type"] != "signed-data":
		m.encrypted = true
	case errors.Is(err, ErrBroken):
		m.writeName(h.name)
		m.text.incomplete = true
	case err == nil:
		header, body, err := splitHeader(content)
		if err != nil {
			return err
		}
		return m.part(header, body, depth+1)
	}
	return nil
}

// writeName writes the name of a part, if it has one.
func (m *mailReader) writeName(name string) {
	if name != "" {
		m.text.startLine()
		m.text.flow(name)
		m.text.startLine()
	}
}

// multipart reads the parts of a part. If they are alternatives, it stops after the first one that
// contains text, because senders put plain text first. It does not stop after a stub.
func (m *mailReader) multipart(body []byte, h partHeader, depth int) error {
	parts := splitParts(body, h.parameters["boundary"])
	if len(parts) == 0 {
		return m.body(partHeader{contentType: "text/plain"}, body)
	}
	alternative := h.contentType == "multipart/alternative"
	for i, part := range parts {
		header, content, err := splitHeader(part)
		if err != nil {
			return err
		}
		before, start := m.text.runes, m.text.b.Len()
		if err := m.part(header, content, depth+1); err != nil {
			return err
		}
		if alternative && m.text.runes > before {
			if i == 0 && isStub(m.text.String()[start:], parts[1:]) {
				continue
			}
			return nil
		}
		if m.parts > maxMailParts || m.text.full() {
			m.text.incomplete = true
			return nil
		}
	}
	return nil
}

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

// body writes a text part.
func (m *mailReader) body(h partHeader, raw []byte) error {
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
	m.text.write(decode(raw, h.declaredType(), false))
	m.text.startLine()
	return nil
}
