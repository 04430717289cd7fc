package extract

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf16"
)

// maxOLEBytes is the number of bytes of a compound file that are searched.
const maxOLEBytes = 64 << 20

// rejectOLE returns the reason why a compound file ([MS-CFB]) is not supported. An encrypted docx,
// xlsx or pptx is a compound file with a stream named EncryptedPackage ([MS-OFFCRYPTO], 2.3.4.4).
// All others are old formats. Names of streams are in UTF-16, so rejectOLE searches the file for
// that name in UTF-16.
func rejectOLE(r io.Reader, name string) error {
	var streamName []byte
	for _, unit := range utf16.Encode([]rune("EncryptedPackage")) {
		streamName = append(streamName, byte(unit), byte(unit>>8))
	}
	r = io.LimitReader(r, maxOLEBytes)
	buffer := make([]byte, 64<<10)
	overlap := 0
	for {
		n, err := r.Read(buffer[overlap:])
		if bytes.Contains(buffer[:overlap+n], streamName) {
			return fmt.Errorf("%w: password-protected Office document", ErrEncrypted)
		}
		switch {
		case errors.Is(err, io.EOF):
			return fmt.Errorf("%w: detected %s", ErrUnsupported, name)
		case err != nil:
			return fmt.Errorf("read document: %w", err)
		}
		tail := min(overlap+n, len(streamName)-1)
		copy(buffer, buffer[overlap+n-tail:overlap+n])
		overlap = tail
	}
}
