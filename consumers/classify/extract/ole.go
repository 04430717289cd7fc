package extract

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf16"
)

// maxOLEBytes is how much of a compound file is looked through.
const maxOLEBytes = 64 << 20

// refuseOLE says why a compound file ([MS-CFB]) is not read. Office puts an
// encrypted docx, xlsx or pptx into one, as a stream named EncryptedPackage
// ([MS-OFFCRYPTO], 2.3.4.4); the other kinds are old formats. Streams' names
// are in UTF-16, so it looks for these bytes.
func refuseOLE(r io.Reader, name string) error {
	var sought []byte
	for _, unit := range utf16.Encode([]rune("EncryptedPackage")) {
		sought = append(sought, byte(unit), byte(unit>>8))
	}
	r = io.LimitReader(r, maxOLEBytes)
	buffer := make([]byte, 64<<10)
	kept := 0
	for {
		n, err := r.Read(buffer[kept:])
		if bytes.Contains(buffer[:kept+n], sought) {
			return fmt.Errorf("%w: an office document that needs a password", ErrEncrypted)
		}
		switch {
		case errors.Is(err, io.EOF):
			return fmt.Errorf("%w: found %s", ErrUnsupported, name)
		case err != nil:
			return fmt.Errorf("read document: %w", err)
		}
		tail := min(kept+n, len(sought)-1)
		copy(buffer, buffer[kept+n-tail:kept+n])
		kept = tail
	}
}
