package extract

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
)

// The object identifiers of signed and of encrypted content (RFC 5652, 5 and 6), in DER.
var (
	signedDataOID    = []byte{6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2}
	envelopedDataOID = []byte{6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 3}
)

// isSigned reports whether head begins a container of signed or encrypted content, in BER or in
// base64.
func isSigned(head []byte) bool {
	begins := func(head []byte) bool {
		outer, _, ok := readBER(head)
		return ok && outer.tag == berSequence && (bytes.HasPrefix(outer.content, signedDataOID) ||
			bytes.HasPrefix(outer.content, envelopedDataOID))
	}
	return begins(head) || begins(decodeBase64(head))
}

// readSigned adds the content of a signed file to the queue of embedded files. It does not verify
// the signature, which makes no difference to what the content is about.
func (r *reading) readSigned(d document) error {
	if d.size > r.config.MaxBytes {
		return fmt.Errorf("%w: signed file of %d bytes exceeds the limit", ErrUnsupported, d.size)
	}
	raw, err := d.bytes(r.config.MaxBytes)
	if err != nil {
		return err
	}
	content, err := signedContent(raw)
	if err != nil {
		return err
	}
	r.embed(file{content: content})
	return nil
}

// signedContent returns the content of a container of signed content (RFC 5652, 5.1). It returns an
// ErrNoText if the container has only a signature, and an ErrEncrypted for encrypted content.
func signedContent(raw []byte) ([]byte, error) {
	if decoded := decodeBase64(raw); len(decoded) > 0 {
		raw = decoded
	}
	outer, _, ok := readBER(raw)
	kind, rest, isInfo := readBER(outer.content)
	switch {
	case !ok || !isInfo:
		return nil, fmt.Errorf("%w: damaged signature", ErrBroken)
	case bytes.HasPrefix(outer.content, envelopedDataOID):
		return nil, fmt.Errorf("%w: encrypted content", ErrEncrypted)
	case kind.tag != signedDataOID[0]:
		return nil, fmt.Errorf("%w: damaged signature", ErrBroken)
	}
	explicit, _, _ := readBER(rest)
	signed, _, _ := readBER(explicit.content)
	rest = signed.content
	for range 2 { // the version and the digest algorithms
		if _, rest, ok = readBER(rest); !ok {
			return nil, fmt.Errorf("%w: damaged signature", ErrBroken)
		}
	}
	encapsulated, _, _ := readBER(rest)
	_, rest, _ = readBER(encapsulated.content) // the type of the content
	explicit, _, ok = readBER(rest)
	if !ok {
		return nil, fmt.Errorf("%w: signature without the signed content", ErrNoText)
	}
	var b bytes.Buffer
	appendOctets(&b, explicit.content, maxBERDepth)
	return b.Bytes(), nil
}

// appendOctets appends the content of octet strings, which may be divided into others.
func appendOctets(b *bytes.Buffer, content []byte, depth int) {
	for len(content) > 0 && depth > 0 {
		e, rest, ok := readBER(content)
		switch {
		case !ok:
			return
		case e.tag == berOctets:
			b.Write(e.content)
		case e.tag == berOctets|berConstructed:
			appendOctets(b, e.content, depth-1)
		}
		content = rest
	}
}

const (
	berOctets      = 4
	berSequence    = 0x30
	berConstructed = 0x20
	// maxBERDepth is the depth of nesting of elements of indefinite length that is read.
	maxBERDepth = 8
)

// berElement is an element in the Basic Encoding Rules (ITU-T X.690).
type berElement struct {
	tag     byte
	content []byte
}

// readBER reads the first element of raw. The content of an element that is cut off is what there
// is of it. ok is false if there is no element.
func readBER(raw []byte) (e berElement, rest []byte, ok bool) {
	return readBERDepth(raw, maxBERDepth)
}

func readBERDepth(raw []byte, depth int) (e berElement, rest []byte, ok bool) {
	if len(raw) < 2 || raw[0] == 0 || raw[0]&0x1f == 0x1f || depth == 0 {
		return e, nil, false
	}
	e.tag = raw[0]
	length, raw := int(raw[1]), raw[2:]
	switch {
	case length == 0x80:
		e.content, rest = indefiniteContent(raw, depth)
		return e, rest, true
	case length > 0x80:
		n := length - 0x80
		if n > 4 || n > len(raw) {
			return e, nil, false
		}
		length = 0
		for _, b := range raw[:n] {
			length = length<<8 | int(b)
		}
		raw = raw[n:]
	}
	length = min(length, len(raw))
	e.content = raw[:length]
	return e, raw[length:], true
}

// indefiniteContent returns the content of an element of indefinite length, which ends with two
// zero bytes after the last complete element in it, and what follows.
func indefiniteContent(raw []byte, depth int) (content, rest []byte) {
	rest = raw
	for len(rest) >= 2 && (rest[0] != 0 || rest[1] != 0) {
		var ok bool
		if _, rest, ok = readBERDepth(rest, depth-1); !ok {
			return raw, nil
		}
	}
	return raw[:len(raw)-len(rest)], rest[min(2, len(rest)):]
}

// decodeBase64 decodes base64, with or without the lines of PEM around it. It returns nil if raw
// does not begin like base64 of a sequence.
func decodeBase64(raw []byte) []byte {
	raw = bytes.TrimLeft(bytes.TrimPrefix(raw, utf8BOM), " \t\r\n")
	if bytes.HasPrefix(raw, []byte("-----BEGIN ")) {
		_, raw, _ = bytes.Cut(raw, []byte("\n"))
	}
	if !bytes.HasPrefix(raw, []byte("M")) {
		return nil
	}
	decoded, _ := io.ReadAll(newBase64Reader(bytes.NewReader(raw)))
	return decoded
}

// newBase64Reader decodes base64 as RFC 2045, 6.8, requires: characters that are not in the
// alphabet are ignored, and so is what follows the padding or is incomplete.
func newBase64Reader(r io.Reader) io.Reader {
	return base64.NewDecoder(base64.RawStdEncoding, &base64Filter{r: r})
}

// base64Filter passes only the characters of the alphabet, up to the padding.
type base64Filter struct {
	r    io.Reader
	n    int // characters that were passed
	done bool
}

func (f *base64Filter) Read(p []byte) (int, error) {
	for !f.done {
		n, err := f.r.Read(p)
		kept := 0
		for _, b := range p[:n] {
			if b == '=' && f.n+kept > 0 || b == '-' || b == '_' { // or what a mailing list adds
				f.done = true
				break
			}
			if isASCIILetter(b) || b >= '0' && b <= '9' || b == '+' || b == '/' {
				p[kept] = b
				kept++
			}
		}
		f.n += kept
		if kept > 0 || err != nil {
			return kept, err
		}
	}
	return 0, io.EOF
}
