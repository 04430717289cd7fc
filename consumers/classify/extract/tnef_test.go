package extract

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"
)

// tnefAttributeBytes returns an attribute of a message in TNEF, without a checksum.
func tnefAttributeBytes(id int, data []byte) []byte {
	raw := append([]byte{1, byte(id), byte(id >> 8), 0, 0}, 0, 0, 0, 0)
	binary.LittleEndian.PutUint32(raw[5:], uint32(len(data)))
	return append(append(raw, data...), 0, 0)
}

// tnefFile returns a message with attachments, and another message attached to it if inner is not
// nil.
func tnefFile(inner []byte, attachments ...[]byte) []byte {
	b := bytes.NewBufferString(tnefSignature + "\x01\x00")
	b.Write(tnefAttributeBytes(tnefSubject, []byte("subject\x00")))
	b.Write(tnefAttributeBytes(tnefBody, []byte("body\x00")))
	for _, a := range attachments {
		b.Write(tnefAttributeBytes(tnefNewAttachment, nil))
		b.Write(tnefAttributeBytes(tnefAttachmentName, []byte("a.txt\x00")))
		b.Write(tnefAttributeBytes(tnefAttachmentData, a))
	}
	if inner != nil {
		value := append(make([]byte, 16), inner...)
		property := binary.LittleEndian.AppendUint32([]byte{1, 0, 0, 0, 0x0d, 0, 0x01, 0x37, 1, 0, 0, 0},
			uint32(len(value)))
		b.Write(tnefAttributeBytes(tnefNewAttachment, nil))
		b.Write(tnefAttributeBytes(tnefAttachmentProperties, append(property, value...)))
	}
	return b.Bytes()
}

func TestTNEF(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{Timeout: time.Minute})
	many := make([][]byte, 25)
	for i := range many {
		many[i] = []byte("attachment")
	}
	nested := tnefFile(nil, []byte("innermost"))
	for range 4 {
		nested = tnefFile(nested)
	}
	whole := tnefFile(nil, []byte("attached words"))
	for name, c := range map[string]occurrence{
		"attachment":       {whole, "subject\n\nbody\na.txt\n\nattached words", 1, false},
		"message in it":    {tnefFile(tnefFile(nil, []byte("inner"))), "body\n\na.txt\n\ninner", 1, false},
		"25 attachments":   {tnefFile(nil, many...), "attachment", maxEmbeddedFiles, true},
		"four deep":        {nested, "innermost", 0, true},
		"cut off":          {whole[:len(whole)-10], "a.txt\n\nattach", 1, false},
		"the mail's words": {attachedMail(tnefFile(nil, []byte("words"))), "body", 1, false},
	} {
		t.Run(name, func(t *testing.T) { c.check(t, e) })
	}
}

func FuzzTNEF(f *testing.F) {
	f.Add(tnefFile(tnefFile(nil), []byte("x")))
	f.Add([]byte(tnefSignature + "\x01\x00\x01\x03\x90\x06\x00\xff\xff\xff\xff" +
		"\x01\x00\x00\x00\x1f\x10\x01\x80"))
	e := setup(f, Config{MaxRunes: 100})
	f.Fuzz(func(t *testing.T, content []byte) {
		r := newReading(e, ocrNever)
		err := r.readTNEF(t.Context(), document{sequential: bytes.NewReader(content), size: -1})
		if err != nil && !causedByDocument(err) {
			t.Errorf("got error %v, want one that the document causes", err)
		}
		checkClean(t, r.text.String(), 100)
	})
}

// What follows no line end, or repeats itself millions of times, takes no longer than other text.
func TestHostileTexts(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{Timeout: time.Minute})
	repeat := func(s string) []byte { return bytes.Repeat([]byte(s), (4<<20)/len(s)) }
	const mail = "From: x\nTo: y\nSubject: z\n\n"
	for name, content := range map[string][]byte{
		"uuencode":  append([]byte(mail), repeat("begin 644 a\n#AA=\n")...),
		"mailboxes": append([]byte("From a\n"+mail), repeat("\nFrom a\nb")...),
		"armor":     append([]byte(mail), repeat("-----BEGIN PGP MESSAGE-----\n")...),
		"card":      append([]byte("BEGIN:VCARD\nN;QUOTED-PRINTABLE:"), repeat("a=\n")...),
		"words":     []byte("To: y\nFrom: x\nSubject: " + string(repeat("=?a?q?")[:900_000]) + "\n\nx"),
		"base64":    append([]byte("<?xml version='1.0'?><A>"), repeat("QUFBQUFBQUFBQUFB=\n")...),
		"UTF-7": append([]byte("To: y\nFrom: x\nContent-Type: text/plain; charset=utf-7\n\n"),
			repeat("+AOQ")...),
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, err := extractBytes(e, content)
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("took %s, want less", took)
			}
			if err != nil && !causedByDocument(err) {
				t.Errorf("got error %v, want one that the document causes", err)
			}
			t.Logf("%s: %s, %v", name, time.Since(start), err)
		})
	}
}
