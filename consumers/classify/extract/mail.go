package extract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/textproto"
	"strings"

	"golang.org/x/text/encoding"
)

const (
	// maxMailHeader is the largest size of the header of an email or of a part, in bytes.
	maxMailHeader = 1 << 20
	// maxMailParts is the number of parts that are read, and maxMailDepth the depth of nesting up to
	// which they are read.
	maxMailParts = 1000
	maxMailDepth = 10
)

// mailFields are header fields by which an email is recognized: those of RFC 5322, 3.6, and others
// that servers and programs add.
var mailFields = set(
	"arc-authentication-results", "arc-message-signature", "arc-seal", "authentication-results",
	"bcc", "cc", "content-transfer-encoding", "content-type", "date", "delivered-to",
	"dkim-signature", "from", "in-reply-to", "message-id", "mime-version", "received",
	"received-spf", "references", "reply-to", "return-path", "sender", "subject", "to", "x-mailer",
	"x-received")

// manyFields is the number of fields in mailFields after which a line that is not a field is
// damage, and not the text of another kind of document.
const manyFields = 4

// isMail reports whether head begins with header fields of which at least two are in mailFields.
func isMail(head []byte) bool {
	known := 0
	for n, line := range bytes.Split(mailStart(head), []byte("\n")) {
		line = bytes.TrimRight(line, "\r")
		name, _, isField := bytes.Cut(line, []byte(":"))
		name = bytes.TrimRight(name, " \t")
		switch {
		case n == 0 && isMailboxLine(line):
		case len(line) == 0:
			return known >= 2
		case n > 0 && (line[0] == ' ' || line[0] == '\t'): // continues the previous field
		case !isField || len(name) == 0 || bytes.ContainsFunc(name, isNotGraphicASCII):
			return known >= manyFields
		case mailFields[strings.ToLower(string(name))]:
			known++
		}
	}
	return known >= 2
}

var utf8BOM = []byte("\ufeff")

// mailStart returns an email without a byte order mark and blank lines before it, with line feeds
// if it has only carriage returns.
func mailStart(raw []byte) []byte {
	raw = bytes.TrimLeft(bytes.TrimPrefix(raw, utf8BOM), " \t\r\n")
	if bytes.IndexByte(raw, '\n') < 0 {
		return bytes.ReplaceAll(raw, []byte("\r"), []byte("\n"))
	}
	return raw
}

// isMailboxLine reports whether a line begins an email in a mailbox file.
func isMailboxLine(line []byte) bool {
	return bytes.HasPrefix(bytes.TrimPrefix(line, []byte(">")), []byte("From "))
}

// nextMailbox returns the offset of the next line that begins an email in a mailbox file (RFC 4155)
// and that of its header, or -1.
func nextMailbox(raw []byte, from int) (line, header int) {
	for {
		found := bytes.Index(raw[from:], []byte("\nFrom "))
		if found < 0 {
			return -1, -1
		}
		line = from + found + 1
		_, rest, _ := bytes.Cut(raw[line:], []byte("\n"))
		header = len(raw) - len(rest)
		name, _, isField := bytes.Cut(rest[:min(len(rest), 100)], []byte(":"))
		if isField && !bytes.ContainsFunc(name, isNotGraphicASCII) {
			return line, header
		}
		from = line
	}
}

func isNotGraphicASCII(r rune) bool { return r <= ' ' || r > '~' }

// mailReader is the state of readMail. It holds a context because it exists only during one call.
type mailReader struct {
	*reading
	ctx       context.Context
	parts     int
	encrypted bool
	// rejected is set while the alternatives that are not displayed are read, of which only the
	// attachments count.
	rejected bool
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
	if e := byBOM(raw); e != nil && e != encoding.Nop {
		raw = []byte(decode(raw, "", false))
	}
	m := &mailReader{reading: r, ctx: ctx}
	if err := m.mailbox(mailStart(raw)); err != nil {
		return err
	}
	if m.encrypted && !r.text.readable {
		return fmt.Errorf("%w: email with end-to-end encryption", ErrEncrypted)
	}
	return nil
}

// mailbox reads an email, or all emails of a mailbox file.
func (m *mailReader) mailbox(raw []byte) error {
	isMailbox := isMailboxLine(raw)
	if isMailbox {
		_, raw, _ = bytes.Cut(raw, []byte("\n"))
	}
	for {
		end, next := -1, -1
		if isMailbox && m.parts <= maxMailParts {
			end, next = nextMailbox(raw, 0)
		}
		if end < 0 {
			return m.message(raw, 0)
		}
		if err := m.message(raw[:end], 0); err != nil {
			return err
		}
		m.text.breakLine()
		m.text.breakLine()
		raw = raw[next:]
	}
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
	for _, value := range header["Content-Type"] {
		// Of several declarations the first one counts, unless only another one has a boundary.
		contentType, parameters := parseMediaType(value)
		if h.contentType == "" || h.parameters["boundary"] == "" && parameters["boundary"] != "" {
			h.contentType, h.parameters = contentType, parameters
		}
	}
	if h.contentType == "" {
		h.contentType = "text/plain" // RFC 2045, 5.2
	}
	h.disposition, _ = parseMediaType(header.Get("Content-Disposition"))
	h.encoding = transferEncoding(header.Get("Content-Transfer-Encoding"))
	return h
}

func (h partHeader) isText() bool { return strings.HasPrefix(h.contentType, "text/") }

// isMultipart reports whether the part consists of parts. The subtype is sometimes missing.
func (h partHeader) isMultipart() bool {
	return h.contentType == "multipart" || strings.HasPrefix(h.contentType, "multipart/")
}

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

// isCode reports whether the part only determines what a page looks like.
func (h partHeader) isCode() bool {
	switch h.contentType {
	case "text/css", "text/javascript", "application/javascript", "application/x-javascript",
		"text/x-amp-html":
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
	case h.isMultipart():
		return m.multipart(body, h, depth)
	case h.contentType == "message/rfc822", h.contentType == "message/global":
		m.text.startLine()
		return m.message(decodeTransfer(h.encoding, body), depth+1)
	case h.isSMIME():
		return m.signed(h, body, depth)
	case h.isCode():
	case h.isSignature(), strings.HasPrefix(h.contentType, "message/"):
		m.writeName(h.name)
	case h.attached():
		m.writeName(h.name)
		m.embed(file{contentType: h.declaredType(), content: decodeTransfer(h.encoding, body)})
	case m.rejected:
	default:
		m.writeName(h.name)
		return m.body(h, decodeText(h.encoding, body), depth)
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
		if header.Get("Content-Type") == "" { // a signed file, such as an e-invoice
			m.writeName(h.name)
			m.embed(file{content: content})
			return nil
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

// multipart reads the parts of a part. Of alternatives it reads the text of the first one that
// contains any, because senders put plain text first, unless that is a stub. The others may have
// attachments.
func (m *mailReader) multipart(body []byte, h partHeader, depth int) error {
	parts := splitParts(body, h.parameters["boundary"])
	if len(parts) == 0 { // RFC 2045, 6.4, forbids that all parts together are encoded
		parts = splitParts(decodeTransfer(h.encoding, body), h.parameters["boundary"])
	}
	if len(parts) == 0 {
		return m.body(partHeader{contentType: "text/plain"}, body, maxMailDepth)
	}
	alternative := h.contentType == "multipart/alternative"
	for i, part := range parts {
		header, content, err := splitHeader(part)
		if err != nil {
			return err
		}
		if h.contentType == "multipart/digest" && header.Get("Content-Type") == "" {
			header.Set("Content-Type", "message/rfc822") // RFC 2046, 5.1.5
		}
		before, start := m.text.runes, m.text.b.Len()
		if err := m.part(header, content, depth+1); err != nil {
			return err
		}
		if alternative && m.text.runes > before && !m.rejected &&
			(i > 0 || !isStub(m.text.String()[start:], parts[1:])) {
			m.rejected = true
			defer func() { m.rejected = false }()
		}
		if m.parts > maxMailParts || m.text.full() {
			m.text.incomplete = true
			return nil
		}
	}
	return nil
}
