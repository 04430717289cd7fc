package extract

import (
	"bytes"
	"encoding/binary"
	unicodes "unicode"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"
)

// byBOM returns the encoding that a byte order mark indicates. Without a mark it returns the result
// of byZeros.
func byBOM(raw []byte) encoding.Encoding {
	switch {
	case bytes.HasPrefix(raw, []byte{0xef, 0xbb, 0xbf}):
		return encoding.Nop // the mark itself is an invisible character and dropped later
	case bytes.HasPrefix(raw, []byte{0xff, 0xfe, 0, 0}):
		return utf32.UTF32(utf32.LittleEndian, utf32.UseBOM)
	case bytes.HasPrefix(raw, []byte{0, 0, 0xfe, 0xff}):
		return utf32.UTF32(utf32.BigEndian, utf32.UseBOM)
	case bytes.HasPrefix(raw, []byte{0xff, 0xfe}):
		return unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
	case bytes.HasPrefix(raw, []byte{0xfe, 0xff}):
		return unicode.UTF16(unicode.BigEndian, unicode.UseBOM)
	}
	return byZeros(raw)
}

// byZeros detects UTF-16 without a byte order mark if most of its letters are Latin, because then
// every other byte is zero. It returns nil for anything else.
func byZeros(raw []byte) encoding.Encoding {
	raw = raw[:min(len(raw), headBytes)]
	var zeros [2]int
	for i, b := range raw {
		if b == 0 {
			zeros[i%2]++
		}
	}
	switch half := len(raw) / 2; {
	case half < 4:
	case zeros[0] == 0 && zeros[1]*10 >= half*7:
		return unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)
	case zeros[1] == 0 && zeros[0]*10 >= half*7:
		return unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
	}
	return nil
}

// byteOrder is one of the two byte orders.
type byteOrder struct {
	binary.ByteOrder
	reverse binary.ByteOrder
	utf16   unicode.Endianness
	utf32   utf32.Endianness
}

var byteOrders = []byteOrder{
	{binary.LittleEndian, binary.BigEndian, unicode.LittleEndian, utf32.LittleEndian},
	{binary.BigEndian, binary.LittleEndian, unicode.BigEndian, utf32.BigEndian},
}

// byCodeUnits detects UTF-32, and UTF-16 in any script, without a byte order mark. It returns nil
// for anything else.
func byCodeUnits(raw []byte) encoding.Encoding {
	raw = raw[:min(len(raw), headBytes)]
	if len(raw) < 16 || hasByteUnits(raw) {
		return nil
	}
	for _, order := range byteOrders {
		switch {
		case isUTF32(raw, order):
			return utf32.UTF32(order.utf32, utf32.IgnoreBOM)
		case isUTF16(raw, order):
			return unicode.UTF16(order.utf16, unicode.IgnoreBOM)
		}
	}
	return nil
}

// hasByteUnits reports whether raw is treated as text in code units of one byte. Such text has no
// control characters, or it has many pairs of ASCII letters. In UTF-16 such a pair would be a
// Chinese character.
func hasByteUnits(raw []byte) bool {
	controls, pairs := 0, 0
	for i, b := range raw {
		if class(rune(b)) == control && b < ' ' && b != 0x1b {
			controls++
		}
		if i > 0 && isASCIILetter(b) && isASCIILetter(raw[i-1]) {
			pairs++
		}
	}
	return controls == 0 || pairs*5 > len(raw)
}

func isASCIILetter(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' }

func isUTF32(raw []byte, order byteOrder) bool {
	for ; len(raw) >= 4; raw = raw[4:] {
		if r := order.Uint32(raw); r == 0 || r > utf8.MaxRune || !utf8.ValidRune(rune(r)) {
			return false
		}
	}
	return true
}

// isUTF16 reports whether raw is text in UTF-16 in this byte order. It must have more characters
// that are common in all scripts than in the other byte order.
func isUTF16(raw []byte, order byteOrder) bool {
	common, ok := commonCharacters(raw, order)
	if !ok {
		return false
	}
	reversed, _ := commonCharacters(raw, order.reverse)
	return common > reversed
}

// maxCodeUnits is the number of code units of two bytes that are decoded.
const maxCodeUnits = headBytes / 2

// commonCharacters decodes raw as UTF-16 and counts the characters that are common in texts of all
// scripts: spaces, line ends, punctuation and digits. ok reports whether they are at least 2% of
// all characters, and characters that do not occur in texts at most 2%.
func commonCharacters(raw []byte, order binary.ByteOrder) (common int, ok bool) {
	units := make([]uint16, 0, maxCodeUnits)
	for ; len(raw) >= 2; raw = raw[2:] {
		units = append(units, order.Uint16(raw))
	}
	invalid, all := 0, utf16.Decode(units)
	for i, r := range all {
		switch {
		case r == ' ', r == '\n', r == '\r', r == '.', r == ',', r >= '0' && r <= '9',
			r == '\u3000', r == '\u3001', r == '\u3002', r == '\uff0c':
			common++
		case r == utf8.RuneError && i == len(all)-1: // a surrogate pair that is cut off
		case r == '\t', unicodes.IsGraphic(r) && r != utf8.RuneError, class(r) == invisible:
		default:
			invalid++
		}
	}
	return common, invalid*50 <= len(all) && common*50 >= len(all)
}
