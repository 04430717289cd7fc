package extract

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"net/url"
	"regexp"
	"strings"

	"golang.org/x/net/html/charset"
)

const (
	// maxMailBytes is the number of bytes of an email that are read. The text usually comes first, and
	// only the names of the attachments are needed.
	maxMailBytes = 64 << 20
	// maxMailHeader is the largest size of the header of an email, in bytes.
	maxMailHeader = 1 << 20
	// maxMailParts is the number of parts that are read, and maxMailDepth the depth of nesting up to
	// which they are read.
	maxMailParts = 1000
	maxMailDepth = 10
	// maxPlaceholder is the size, in bytes, below which a plain text that mentions HTML is treated as
	// a note that the text is only available as HTML.
	maxPlaceholder = 300
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

func isNotGraphicASCII(r rune) bool { return r <= ' ' || r > '~' }

// mailReader is the state of readMail. It holds a context because it exists only during one call.
type mailReader struct {
	ctx         context.Context
	text        *text
	parts       int
	encrypted   bool
	placeholder bool // the last text is only a note that the email has to be read as HTML
}

// readMail writes the subject, addresses and text of an email, and the names of its attachments, to
// text.
func readMail(ctx context.Context, r io.Reader, text *text) error {
	limited := &io.LimitedReader{R: r, N: maxMailBytes}
	lines := bufio.NewReader(limited)
	if start, err := lines.Peek(5); err == nil && string(start) == "From " {
		if _, err := lines.ReadSlice('\n'); err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return fmt.Errorf("%w: damaged email", ErrBroken)
		}
	}
	m := &mailReader{ctx: ctx, text: text}
	if err := m.message(lines, 0); err != nil {
		return err
	}
	text.incomplete = text.incomplete || limited.N <= 0
	if m.encrypted && !text.readable {
		return fmt.Errorf("%w: email with end-to-end encryption", ErrEncrypted)
	}
	return nil
}

// message reads the email itself, or an email that is attached to it.
func (m *mailReader) message(r io.Reader, depth int) error {
	limited := &headerReader{r: r, left: maxMailHeader}
	message, err := mail.ReadMessage(limited)
	if err != nil {
		return m.wrapError(err)
	}
	limited.left = -1
	for _, field := range []string{"Subject", "From", "To", "Cc", "Date"} {
		if value := message.Header.Get(field); value != "" {
			m.text.flow(decodeHeader(value))
			m.text.startLine()
		}
	}
	return m.part(textproto.MIMEHeader(message.Header), message.Body, depth)
}

// headerReader limits the number of bytes that are read to left. A negative left means no limit.
type headerReader struct {
	r    io.Reader
	left int
}

func (h *headerReader) Read(p []byte) (int, error) {
	switch {
	case h.left < 0:
		return h.r.Read(p)
	case h.left == 0:
		return 0, fmt.Errorf("%w: header of the email exceeds %d bytes", ErrBroken, maxMailHeader)
	}
	n, err := h.r.Read(p[:min(len(p), h.left)])
	h.left -= n
	return n, err
}

// partHeader is the parsed header of a part.
type partHeader struct {
	contentType string
	parameters  map[string]string // of the content type
	disposition string
	name        string // file name, or ""
}

func parsePartHeader(header textproto.MIMEHeader) partHeader {
	h := partHeader{name: fileName(header)}
	var err error
	h.contentType, h.parameters, err = mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) || h.contentType == "" {
		h.contentType = "text/plain" // RFC 2045, 5.2
	}
	h.disposition, _, _ = mime.ParseMediaType(header.Get("Content-Disposition"))
	return h
}

func (h partHeader) isText() bool { return strings.HasPrefix(h.contentType, "text/") }

// encrypted reports whether reading the part requires a key.
func (h partHeader) encrypted() bool {
	return h.contentType == "multipart/encrypted" ||
		h.contentType == "application/pkcs7-mime" && h.parameters["smime-type"] != "signed-data"
}

// multipart reports whether the part consists of other parts.
func (h partHeader) multipart() bool {
	return strings.HasPrefix(h.contentType, "multipart/") && h.parameters["boundary"] != ""
}

// attached reports whether the part is a file that is not displayed with the email. A text part is
// displayed even if it has a name, unless the header says that it is an attachment.
func (h partHeader) attached() bool {
	return h.disposition == "attachment" || h.name != "" && !h.isText()
}

// part reads the body of an email, or a part of it, with its header.
func (m *mailReader) part(header textproto.MIMEHeader, body io.Reader, depth int) error {
	if m.parts++; m.parts > maxMailParts || depth > maxMailDepth || m.text.full() {
		m.text.incomplete = true
		return nil
	}
	switch h := parsePartHeader(header); {
	case h.encrypted():
		m.encrypted = true
	case h.multipart():
		return m.multipart(body, h.contentType, h.parameters["boundary"], depth)
	case h.contentType == "message/rfc822":
		m.text.startLine()
		return m.message(decodeTransfer(header, body), depth+1)
	case h.attached():
		m.writeName(h.name)
	case h.isText():
		m.writeName(h.name)
		return m.body(header, decodeTransfer(header, body), h.contentType)
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
			if e, _ := charset.Lookup(parts[0]); e != nil && err == nil {
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

// multipart reads the parts between the boundaries. If they are alternatives, it stops after the
// first one that contains text, because senders put plain text first. It does not stop after a
// placeholder, which is only a note that there is no plain text.
func (m *mailReader) multipart(body io.Reader, contentType, boundary string, depth int) error {
	alternative := contentType == "multipart/alternative"
	parts := multipart.NewReader(body, boundary)
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return m.wrapError(err)
		}
		before := m.text.runes
		m.placeholder = false
		if err := m.part(part.Header, part, depth+1); err != nil {
			return err
		}
		chosen := alternative && m.text.runes > before && !m.placeholder
		if m.parts > maxMailParts || m.text.full() || chosen {
			m.text.incomplete = m.text.incomplete || !alternative
			return nil
		}
	}
}

// body writes a text part.
func (m *mailReader) body(header textproto.MIMEHeader, r io.Reader, contentType string) error {
	raw, err := io.ReadAll(io.LimitReader(r, maxTextBytes))
	if err := m.wrapError(err); err != nil && (len(raw) == 0 || m.ctx.Err() != nil) {
		return err
	}
	m.text.incomplete = m.text.incomplete || err != nil || len(raw) == maxTextBytes
	m.text.breakLine()
	m.text.breakLine()
	if contentType == "text/html" {
		page := decode(raw, header.Get("Content-Type"), true)
		return readMarkup(m.ctx, page, dialectHTML, m.text)
	}
	m.placeholder = len(raw) < maxPlaceholder &&
		bytes.Contains(bytes.ToUpper(raw), []byte("HTML"))
	m.text.write(decode(raw, header.Get("Content-Type"), false))
	m.text.startLine()
	return nil
}

// wrapError returns an ErrBroken for an error of reading the email, or the cause of the context if
// the context is done.
func (m *mailReader) wrapError(err error) error {
	switch {
	case err == nil:
		return nil
	case m.ctx.Err() != nil:
		return fmt.Errorf("read email: %w", context.Cause(m.ctx))
	}
	return fmt.Errorf("%w: damaged email", ErrBroken)
}

// decodeTransfer decodes the Content-Transfer-Encoding (RFC 2045, 6) of a body.
func decodeTransfer(header textproto.MIMEHeader, body io.Reader) io.Reader {
	switch strings.ToLower(strings.TrimSpace(header.Get("Content-Transfer-Encoding"))) {
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		return quotedprintable.NewReader(body)
	}
	return body
}

// decodeHeader decodes the encoded words (RFC 2047) in the value of a header field. It also decodes
// characters of any charset that are not encoded, which are common although the standards forbid
// them.
func decodeHeader(value string) string {
	words := mime.WordDecoder{CharsetReader: func(name string, r io.Reader) (io.Reader, error) {
		return charset.NewReaderLabel(name, r)
	}}
	if decoded, err := words.DecodeHeader(value); err == nil {
		value = decoded
	}
	return decode([]byte(value), "", false)
}
