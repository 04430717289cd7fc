package extract

import (
	"bytes"
	"context"
	"fmt"
)

// Kinds of documents in compound files.
var (
	kindOLE = kind{"application/x-ole-storage", formatOLE} // until its streams are known
	kindDoc = kind{"application/msword", formatOLE}
	kindXLS = kind{"application/vnd.ms-excel", formatOLE}
	kindPPT = kind{"application/vnd.ms-powerpoint", formatOLE}
	kindMsg = kind{"application/vnd.ms-outlook", formatOLE}
)

// readOLE reads a document in a compound file: an old Office file or a message of Outlook. k is the
// kind that its first bytes indicate; readOLE returns the actual kind.
func (r *reading) readOLE(ctx context.Context, d document, k kind) (kind, error) {
	err := r.withSource(ctx, d, func(ctx context.Context, src *source) error {
		c, err := openCompound(ctx, src)
		if err == nil {
			k, err = r.readCompound(c, k)
			r.text.incomplete = r.text.incomplete || c.cut || r.text.full()
		}
		return err
	})
	return k, err
}

// readCompound reads the document that the names of the streams identify. An encrypted docx, xlsx
// or pptx is a compound file too ([MS-OFFCRYPTO], 2.3.4.4).
func (r *reading) readCompound(c *compound, guessed kind) (kind, error) {
	if _, ok := c.stream("EncryptedPackage"); ok {
		return guessed, fmt.Errorf("%w: password-protected Office document", ErrEncrypted)
	}
	if main, ok := c.stream("WordDocument"); ok {
		err := c.readWord97(main, r.text)
		if err == nil {
			r.embedPictures(c, "Data")
			r.embedBlips(main)
		}
		return kindDoc, err
	}
	for _, name := range []string{"Workbook", "Book"} {
		if main, ok := c.stream(name); ok {
			pictures, err := readExcel97(c.ctx, main, r.text)
			r.embedBlips(pictures)
			return kindXLS, err
		}
	}
	if main, ok := c.stream("PowerPoint Document"); ok {
		err := c.readPowerPoint97(main, r.text)
		if err == nil {
			r.embedPictures(c, "Pictures")
		}
		return kindPPT, err
	}
	if c.find(0, msgProperties) >= 0 {
		return kindMsg, r.readMsg(c)
	}
	if content := c.object(); len(content) > 0 {
		r.embed(file{content: content})
		return guessed, nil
	}
	return guessed, fmt.Errorf("%w: detected %s", ErrUnsupported, guessed.name)
}

// object returns the file in an object of an Office document: an Office file, a PDF, or a file that
// is shown as an icon. It returns nil if there is none or if it is damaged.
func (c *compound) object() []byte {
	for _, name := range []string{"Package", "CONTENTS"} {
		if content, ok := c.stream(name); ok {
			return content
		}
	}
	content, _ := c.stream("\x01Ole10Native")
	return nativeFile(content)
}

// nativeFile returns the file in the native data of an object, or nil. It follows a label, the path
// of the file, and that of a copy.
func nativeFile(data []byte) []byte {
	const header, files = 6, 2
	if u16(data, header-2) != files {
		return nil
	}
	rest := data[header:]
	for range 2 {
		_, rest, _ = bytes.Cut(rest, []byte{0})
	}
	const kind, length = 4, 4
	rest = span(rest, kind+length+u32(rest, kind), len(rest))
	return span(rest, length, u32(rest, 0))
}

// embedPictures is embedBlips for the stream of this name, which it reads only if necessary.
func (r *reading) embedPictures(c *compound, name string) {
	if needsPictures(r.text) {
		content, _ := c.stream(name)
		r.embedBlips(content)
	}
}

// embedBlips embeds the pictures in a stream of a document, if it has little text.
func (r *reading) embedBlips(stream []byte) {
	if !needsPictures(r.text) {
		return
	}
	for _, picture := range blips(stream) {
		r.embed(file{content: picture})
	}
}
