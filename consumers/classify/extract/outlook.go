package extract

import (
	"encoding/binary"
	"fmt"
	"mime"
	"strings"
	"time"
)

// msgProperties is the stream that every message of Outlook has ([MS-OXMSG], 2.4).
const msgProperties = "__properties_version1.0"

// Properties of messages and attachments ([MS-OXPROPS]).
const (
	msgSubject, msgSentTime       = 0x0037, 0x0039
	msgSender, msgSenderAddress   = 0x0c1a, 0x0c1f
	msgSenderSMTP                 = 0x5d01
	msgTo, msgCc                  = 0x0e04, 0x0e03
	msgBody, msgRTF, msgHTML      = 0x1000, 0x1009, 0x1013
	msgCodePage, msgHTMLCodePage  = 0x3ffd, 0x3fde
	msgAttachment, msgContentType = 0x3701, 0x370e
	msgName, msgShortName         = 0x3707, 0x3704
)

// Types of properties ([MS-OXCDATA], 2.11.1).
const (
	msgString8 = 0x001e
	msgUnicode = 0x001f
	msgBinary  = 0x0102
	msgObject  = 0x000d
	msgInteger = 0x0003
	msgTime    = 0x0040
)

// msgReader reads a message of Outlook, or one that is attached to it, which is a storage.
type msgReader struct {
	*reading
	file     *compound
	entries  map[string]compoundEntry // of the storage, by their names in lower case
	fixed    []byte                   // the properties of fixed size
	codePage string                   // the charset of strings that are not in Unicode
}

// readMsg writes what readMail writes for other emails: the subject, addresses and date, the text
// and the names of the attachments, which it adds to the queue of embedded files.
func (r *reading) readMsg(c *compound) error { return r.readMessage(c, 0, 0) }

func (r *reading) readMessage(c *compound, storage, depth int) error {
	header := 32
	if depth > 0 { // it is attached to another message
		header = 24
	}
	m := r.openMessage(c, storage, header)
	m.writeHeader()
	r.text.breakLine()
	r.text.breakLine()
	if err := m.writeBody(); err != nil {
		return err
	}
	for _, n := range c.children(storage) {
		if !strings.HasPrefix(strings.ToLower(c.entries[n].name), "__attach_version1.0_") {
			continue
		}
		if c.ctx.Err() != nil || r.text.full() {
			r.text.incomplete = true
			return nil
		}
		if err := m.attachment(n, depth); err != nil {
			return err
		}
	}
	return nil
}

// openMessage reads the properties of a message or attachment that have a fixed size. They follow a
// header in their stream.
func (r *reading) openMessage(c *compound, storage, header int) *msgReader {
	m := &msgReader{reading: r, file: c, entries: map[string]compoundEntry{}}
	for _, n := range c.children(storage) {
		m.entries[strings.ToLower(c.entries[n].name)] = c.entries[n]
	}
	fixed := c.content(m.entries[msgProperties], maxStreamBytes)
	m.fixed = span(fixed, header, len(fixed))
	if page := u32(m.value(msgCodePage, msgInteger), 0); page != 0 {
		m.codePage = fmt.Sprintf("windows-%d", page)
	}
	return m
}

// value returns the value of a property of fixed size, which has eight bytes, or nil.
func (m *msgReader) value(id, kind int) []byte {
	for list := m.fixed; len(list) >= 16; list = list[16:] {
		if u16(list, 0) == kind && u16(list, 2) == id {
			return list[8:16]
		}
	}
	return nil
}

// stream returns the value of a property of variable size, or nil.
func (m *msgReader) stream(id, kind int) []byte {
	e, ok := m.entries[fmt.Sprintf("__substg1.0_%04x%04x", id, kind)]
	if !ok || e.kind != entryStream {
		return nil
	}
	limit := int64(maxStreamBytes)
	if id == msgAttachment {
		limit = maxEmbeddedBytes
	}
	return m.file.content(e, limit)
}

// string returns the value of a property that is a string.
func (m *msgReader) string(id int) string {
	if raw := m.stream(id, msgUnicode); len(raw) > 0 {
		return strings.TrimRight(utf16Text(raw), "\x00")
	}
	raw := m.stream(id, msgString8)
	return strings.TrimRight(decode(raw, m.declared("text/plain", m.codePage), false), "\x00")
}

// declared returns a content type with a charset, if there is one.
func (m *msgReader) declared(contentType, charset string) string {
	if charset == "" {
		return contentType
	}
	return mime.FormatMediaType(contentType, map[string]string{"charset": charset})
}

func (m *msgReader) writeHeader() {
	from := m.string(msgSender)
	address := m.string(msgSenderSMTP)
	if address == "" {
		address = m.string(msgSenderAddress)
	}
	if strings.Contains(address, "@") && address != from {
		from += " <" + address + ">"
	}
	date := ""
	if sent := m.value(msgSentTime, msgTime); sent != nil {
		// The time is in units of 100 ns since 1601, which is as far before 1970 as this number.
		const epoch = 11_644_473_600
		seconds := int64(binary.LittleEndian.Uint64(sent)/1e7) - epoch
		date = time.Unix(seconds, 0).UTC().Format(time.RFC1123Z)
	}
	for _, line := range []string{
		m.string(msgSubject), from, m.string(msgTo), m.string(msgCc), date,
	} {
		if line != "" {
			m.text.flow(line)
			m.text.startLine()
		}
	}
}

// writeBody writes the plain text or, if there is none or it is a stub, the HTML or RTF.
func (m *msgReader) writeBody() error {
	plain := m.string(msgBody)
	page := m.stream(msgHTML, msgBinary)
	if len(page) == 0 {
		page = []byte(m.string(msgHTML))
	}
	page = page[:min(len(page), maxTextBytes)]
	charset := ""
	if n := u32(m.value(msgHTMLCodePage, msgInteger), 0); n >= 1250 && n <= 1258 {
		charset = fmt.Sprintf("windows-%d", n)
	}
	html := decode(page, m.declared("text/html", charset), true)
	switch {
	case len(page) > 0 && isStubOf(plain, html):
		return readMarkup(m.file.ctx, html, dialectHTML, m.text)
	case plain != "":
		m.text.write(plain)
		m.text.startLine()
		return nil
	}
	return m.readRTF(m.file.ctx, decompressRTF(m.stream(msgRTF, msgBinary)))
}

// attachment writes the name of an attachment and embeds its content. A message that is attached is
// read at once, because it is a part of the same file.
func (m *msgReader) attachment(storage, depth int) error {
	const header = 8
	a := m.openMessage(m.file, storage, header)
	a.codePage = m.codePage
	name := a.string(msgName)
	if name == "" {
		name = a.string(msgShortName)
	}
	m.text.startLine()
	m.text.flow(strings.TrimSpace(name))
	m.text.startLine()
	if content := a.stream(msgAttachment, msgBinary); len(content) > 0 {
		m.embed(file{contentType: a.string(msgContentType), content: content})
		return nil
	}
	message := m.file.find(storage, fmt.Sprintf("__substg1.0_%04x%04x", msgAttachment, msgObject))
	if message < 0 || m.file.entries[message].kind != entryStorage {
		return nil
	}
	if m.file.find(message, msgProperties) < 0 {
		return nil // an object of another program
	}
	if depth >= maxMailDepth {
		m.text.incomplete = true
		return nil
	}
	m.text.breakLine()
	return m.readMessage(m.file, message, depth+1)
}
