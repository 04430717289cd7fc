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
	// maxMailBytes bounds what is read of a mail: its texts come first, its
	// attachments only give their names.
	maxMailBytes = 64 << 20
	// maxMailHeader bounds the mail's own header, in bytes.
	maxMailHeader = 1 << 20
	// maxMailParts and maxMailDepth bound how many parts are looked at and how
	// deep they lie within each other.
	maxMailParts = 1000
	maxMailDepth = 10
	// maxStub is the length in bytes below which a plain text that names HTML is
	// taken for a remark about itself.
	maxStub = 300
)

// mailFields are header fields of which a file that is a mail has two at least
// in its first lines (RFC 5322, 3.6, and what servers put before).
var mailFields = set("bcc", "cc", "content-transfer-encoding", "content-type", "date", "delivered-to", "dkim-signature",
	"from", "in-reply-to", "message-id", "mime-version", "received", "references", "reply-to", "return-path",
	"sender", "subject", "to", "x-mailer", "x-received")

// isMail reports whether a text begins as a mail does: with header fields, of
// which at least two are known ones.
func isMail(head []byte) bool {
	known := 0
	for n, line := range bytes.Split(head, []byte("\n")) {
		line = bytes.TrimSuffix(line, []byte("\r"))
		name, _, isField := bytes.Cut(line, []byte(":"))
		switch {
		case n == 0 && bytes.HasPrefix(line, []byte("From ")): // the separator of mailbox files
		case len(line) == 0:
			return known >= 2
		case n > 0 && (line[0] == ' ' || line[0] == '\t'): // goes on
		case !isField || len(name) == 0 || bytes.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }):
			return false
		case mailFields[strings.ToLower(string(name))]:
			known++
		}
	}
	return known >= 2
}

// letter is a mail that is being read.
type letter struct {
	ctx       context.Context // the call's own
	text      *text
	parts     int
	encrypted bool
	stub      bool // the last text only says that the program has to show HTML
}

// readMail writes a mail's subject, addresses and text, and the names of its
// attachments.
func readMail(ctx context.Context, r io.Reader, text *text) error {
	limited := &io.LimitedReader{R: r, N: maxMailBytes}
	lines := bufio.NewReader(limited)
	if start, err := lines.Peek(5); err == nil && string(start) == "From " {
		if _, err := lines.ReadSlice('\n'); err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return fmt.Errorf("%w: damaged mail", ErrBroken)
		}
	}
	l := &letter{ctx: ctx, text: text}
	if err := l.message(lines, 0); err != nil {
		return err
	}
	text.incomplete = text.incomplete || limited.N <= 0
	if l.encrypted && !text.readable {
		return fmt.Errorf("%w: the mail is sealed", ErrEncrypted)
	}
	return nil
}

// message reads a mail, the outermost or one that is attached.
func (l *letter) message(r io.Reader, depth int) error {
	headed := &headerReader{r: r, left: maxMailHeader}
	message, err := mail.ReadMessage(headed)
	if err != nil {
		return l.failed(err)
	}
	headed.left = -1
	for _, field := range []string{"Subject", "From", "To", "Cc", "Date"} {
		if value := message.Header.Get(field); value != "" {
			l.text.flow(decodeWords(value))
			l.text.startLine()
		}
	}
	return l.part(textproto.MIMEHeader(message.Header), message.Body, depth)
}

// headerReader bounds what is read until left is negative.
type headerReader struct {
	r    io.Reader
	left int
}

func (h *headerReader) Read(p []byte) (int, error) {
	switch {
	case h.left < 0:
		return h.r.Read(p)
	case h.left == 0:
		return 0, fmt.Errorf("%w: its header is over %d bytes", ErrBroken, maxMailHeader)
	}
	n, err := h.r.Read(p[:min(len(p), h.left)])
	h.left -= n
	return n, err
}

// partHeader is what a part's header says of it.
type partHeader struct {
	contentType string
	parameters  map[string]string // of the content type
	disposition string
	name        string // of a file, or ""
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

// encrypted reports whether the part can be read only with a key.
func (h partHeader) encrypted() bool {
	return h.contentType == "multipart/encrypted" ||
		h.contentType == "application/pkcs7-mime" && h.parameters["smime-type"] != "signed-data"
}

// multipart reports whether the part consists of parts.
func (h partHeader) multipart() bool {
	return strings.HasPrefix(h.contentType, "multipart/") && h.parameters["boundary"] != ""
}

// attached reports whether the part is a file that is not shown with the mail. A text is
// shown unless the header says otherwise, though it may have a name.
func (h partHeader) attached() bool {
	return h.disposition == "attachment" || h.name != "" && !h.isText()
}

// part reads a body, or a part of one, with its header.
func (l *letter) part(header textproto.MIMEHeader, body io.Reader, depth int) error {
	if l.parts++; l.parts > maxMailParts || depth > maxMailDepth || l.text.full() {
		l.text.incomplete = true
		return nil
	}
	switch h := parsePartHeader(header); {
	case h.encrypted():
		l.encrypted = true
	case h.multipart():
		return l.multipart(body, h.contentType, h.parameters["boundary"], depth)
	case h.contentType == "message/rfc822":
		l.text.startLine()
		return l.message(transferDecoded(header, body), depth+1)
	case h.attached():
		l.named(h.name)
	case h.isText():
		l.named(h.name)
		return l.body(header, transferDecoded(header, body), h.contentType)
	}
	return nil
}

// named writes the name of a part, if it has one.
func (l *letter) named(name string) {
	if name != "" {
		l.text.startLine()
		l.text.flow(name)
		l.text.startLine()
	}
}

// loose are the parameters of a header field that breaks the rules for them: a name
// with blanks and no quotes, an encoding other than UTF-8.
var loose = map[string]*regexp.Regexp{
	"filename": regexp.MustCompile(`(?i)[;\s]filename(\*?)\s*=\s*([^;]*)`),
	"name":     regexp.MustCompile(`(?i)[;\s]name(\*?)\s*=\s*([^;]*)`),
}

// fileName is the name that a part's header gives it (RFC 2183, 2.3, RFC 2231, 4,
// and what senders make of them), or "".
func fileName(header textproto.MIMEHeader) string {
	for _, of := range []struct{ field, parameter string }{{"Content-Disposition", "filename"}, {"Content-Type", "name"}} {
		value := header.Get(of.field)
		_, parameters, _ := mime.ParseMediaType(value)
		if name := parameters[of.parameter]; name != "" {
			return decodeWords(name)
		}
		found := loose[of.parameter].FindStringSubmatch(value)
		if found == nil {
			continue
		}
		name := strings.Trim(strings.TrimSpace(found[2]), `"`)
		if parts := strings.SplitN(name, "'", 3); found[1] == "*" && len(parts) == 3 {
			plain, err := url.PathUnescape(parts[2])
			if e, _ := charset.Lookup(parts[0]); e != nil && err == nil {
				if decoded, err := e.NewDecoder().String(plain); err == nil {
					return decoded
				}
			}
			name = parts[2]
		}
		if name != "" {
			return decodeWords(name)
		}
	}
	return ""
}

// multipart reads the parts between the boundaries. Of alternatives it takes the
// first that is a text: senders put the plain one first. Some put there only that
// they have none: that one does not count.
func (l *letter) multipart(body io.Reader, contentType, boundary string, depth int) error {
	parts := multipart.NewReader(body, boundary)
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return l.failed(err)
		}
		before := l.text.runes
		l.stub = false
		if err := l.part(part.Header, part, depth+1); err != nil {
			return err
		}
		if l.parts > maxMailParts || l.text.full() || contentType == "multipart/alternative" && l.text.runes > before && !l.stub {
			l.text.incomplete = l.text.incomplete || contentType != "multipart/alternative"
			return nil
		}
	}
}

// body writes one text part.
func (l *letter) body(header textproto.MIMEHeader, r io.Reader, contentType string) error {
	raw, err := io.ReadAll(io.LimitReader(r, maxTextBytes))
	if err := l.failed(err); err != nil && (len(raw) == 0 || l.ctx.Err() != nil) {
		return err
	}
	l.text.incomplete = l.text.incomplete || err != nil || len(raw) == maxTextBytes
	l.text.breakLine()
	l.text.breakLine()
	if contentType == "text/html" {
		return readMarkup(l.ctx, decode(raw, header.Get("Content-Type"), true), dialectHTML, l.text)
	}
	l.stub = len(raw) < maxStub && bytes.Contains(bytes.ToUpper(raw), []byte("HTML"))
	l.text.write(decode(raw, header.Get("Content-Type"), false))
	l.text.startLine()
	return nil
}

// failed says whose fault it is that a mail cannot be read on.
func (l *letter) failed(err error) error {
	switch {
	case err == nil:
		return nil
	case l.ctx.Err() != nil:
		return fmt.Errorf("read mail: %w", context.Cause(l.ctx))
	}
	return fmt.Errorf("%w: damaged mail", ErrBroken)
}

// transferDecoded undoes the Content-Transfer-Encoding (RFC 2045, 6).
func transferDecoded(header textproto.MIMEHeader, body io.Reader) io.Reader {
	switch strings.ToLower(strings.TrimSpace(header.Get("Content-Transfer-Encoding"))) {
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		return quotedprintable.NewReader(body)
	}
	return body
}

// decodeWords decodes a header's value: encoded words (RFC 2047), or, against
// the rules but common, plain characters of some encoding.
func decodeWords(value string) string {
	words := mime.WordDecoder{CharsetReader: func(name string, r io.Reader) (io.Reader, error) {
		return charset.NewReaderLabel(name, r)
	}}
	if decoded, err := words.DecodeHeader(value); err == nil {
		value = decoded
	}
	return decode([]byte(value), "", false)
}
