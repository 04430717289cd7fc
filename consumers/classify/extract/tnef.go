package extract

import (
	"context"
	"fmt"
	"strings"
)

// tnefSignature begins a file in Outlook's format for emails within emails, which is usually called
// winmail.dat ([MS-OXTNEF], 2.1.3.2).
const tnefSignature = "\x78\x9f\x3e\x22"

// Attributes of a message and its attachments ([MS-OXTNEF], 2.1.3.1).
const (
	tnefSubject, tnefBody             = 0x8004, 0x800c
	tnefCodePage, tnefProperties      = 0x9007, 0x9003
	tnefNewAttachment                 = 0x9002
	tnefAttachmentName                = 0x8010
	tnefAttachmentData                = 0x800f
	tnefAttachmentProperties          = 0x9005
	tnefHeader, tnefAttribute         = 6, 9 // bytes before the attributes and before the data of one
	tnefChecksum                      = 2
	tnefMaxValues, tnefMaxAttachments = 10_000, 1000
)

// tnefAttachmentFile is an attachment.
type tnefAttachmentFile struct {
	name    string
	content []byte
}

// tnefReader holds what was read of a message.
type tnefReader struct {
	codePage      string
	subject, body string
	html, rtf     []byte
	attachments   []tnefAttachmentFile
}

// readTNEF writes the text of a message, unless the email around it has the same text, and the
// names of the attachments, which it embeds.
func (r *reading) readTNEF(ctx context.Context, d document) error {
	raw, err := d.bytes(r.config.MaxBytes)
	if err != nil {
		return err
	}
	m := &tnefReader{}
	m.read(raw)
	body := newText(r.text.max)
	switch {
	case strings.TrimSpace(m.body) != "":
		body.write(m.body)
	case len(m.html) > 0:
		page := m.html[:min(len(m.html), maxTextBytes)]
		err = readMarkup(ctx, decode(page, m.declared("text/html"), true), dialectHTML, body)
	default:
		_, err = readRTF(ctx, decompressRTF(m.rtf), body)
	}
	if err != nil {
		return err
	}
	if before := r.text.String(); r.depth == 0 || !strings.Contains(before, body.String()) {
		if !strings.Contains(before, m.subject) {
			r.text.flow(m.subject)
		}
		r.text.breakLine()
		r.text.breakLine()
		r.text.join(body)
	}
	for _, a := range m.attachments {
		r.text.startLine()
		r.text.flow(a.name)
		r.text.startLine()
		if len(a.content) > 0 {
			r.embed(file{content: a.content})
		}
	}
	return nil
}

// declared returns a content type with the charset of the message.
func (m *tnefReader) declared(contentType string) string {
	if m.codePage == "" {
		return contentType
	}
	return fmt.Sprintf("%s; charset=windows-%s", contentType, m.codePage)
}

func (m *tnefReader) string(raw []byte) string {
	return strings.TrimRight(decode(raw, m.declared("text/plain"), false), "\x00")
}

// read reads the attributes, each of which has a level, a number, a length, data and a checksum.
func (m *tnefReader) read(raw []byte) {
	for raw = span(raw, tnefHeader, len(raw)); len(raw) > tnefAttribute; {
		id, length := u16(raw, 1), u32(raw, 5)
		data := span(raw, tnefAttribute, length)
		raw = span(raw, tnefAttribute+length+tnefChecksum, len(raw))
		switch id {
		case tnefCodePage:
			if n := u32(data, 0); n >= 1250 && n <= 1258 {
				m.codePage = fmt.Sprint(n)
			}
		case tnefSubject:
			m.subject = m.string(data)
		case tnefBody:
			m.body = m.string(data)
		case tnefProperties:
			m.properties(data, m.message)
		case tnefNewAttachment:
			if len(m.attachments) < tnefMaxAttachments {
				m.attachments = append(m.attachments, tnefAttachmentFile{})
			}
		case tnefAttachmentName, tnefAttachmentData, tnefAttachmentProperties:
			m.attachment(id, data)
		}
	}
}

// message takes over a property of the message.
func (m *tnefReader) message(id, kind int, value []byte) {
	switch id {
	case msgSubject:
		m.subject = m.text(kind, value)
	case msgBody:
		m.body = m.text(kind, value)
	case msgHTML:
		m.html = value
	case msgRTF:
		m.rtf = value
	}
}

// attachment takes over an attribute of the last attachment.
func (m *tnefReader) attachment(attribute int, data []byte) {
	if len(m.attachments) == 0 {
		return
	}
	a := &m.attachments[len(m.attachments)-1]
	switch attribute {
	case tnefAttachmentName:
		if a.name == "" {
			a.name = m.string(data)
		}
	case tnefAttachmentData:
		a.content = data
	case tnefAttachmentProperties:
		m.properties(data, func(id, kind int, value []byte) {
			switch {
			case id == msgName:
				a.name = m.text(kind, value)
			case id == msgAttachment && kind == msgObject:
				a.content = span(value, 16, len(value)) // after the identifier of the interface
			}
		})
	}
}

// text returns the value of a property that is a string.
func (m *tnefReader) text(kind int, value []byte) string {
	if kind == msgUnicode {
		return strings.TrimRight(utf16Text(value), "\x00")
	}
	return m.string(value)
}

// tnefSizes are the sizes of the values of fixed size, by their types, filled up to four bytes.
var tnefSizes = map[int]int{
	0x02: 4, 0x03: 4, 0x04: 4, 0x05: 8, 0x06: 8, 0x07: 8, 0x0a: 4, 0x0b: 4, 0x14: 8, 0x40: 8, 0x48: 16,
}

// properties calls read for each value in a list of properties ([MS-OXTNEF], 2.1.3.4). It stops at
// one that it does not know.
func (m *tnefReader) properties(data []byte, read func(id, kind int, value []byte)) {
	const multiple, named = 0x1000, 0x8000
	data = span(data, 4, len(data)) // after their number
	for n := 0; n < tnefMaxValues && len(data) >= 4; n++ {
		kind, id := u16(data, 0), u16(data, 2)
		data = data[4:]
		if id >= named {
			const withNumber, withName = 24, 24
			skipped := withNumber
			if u32(data, 16) != 0 {
				skipped = withName + aligned(u32(data, 20))
			}
			data = span(data, skipped, len(data))
		}
		size, isFixed := tnefSizes[kind&^multiple]
		values := 1
		if !isFixed || kind&multiple != 0 {
			values = u32(data, 0)
			data = span(data, 4, len(data))
		}
		for ; values > 0 && len(data) > 0; values-- {
			length := size
			if !isFixed {
				length = u32(data, 0)
				data = span(data, 4, len(data))
			}
			read(id, kind&^multiple, span(data, 0, length))
			data = span(data, aligned(length), len(data))
		}
	}
}

// aligned returns a length with what fills it up to four bytes.
func aligned(length int) int { return (length + 3) &^ 3 }
