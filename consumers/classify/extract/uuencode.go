package extract

import (
	"bytes"
	"regexp"
)

// uuBegin matches the line before a file in uuencode (POSIX.1-2024, uuencode): its mode and name.
var uuBegin = regexp.MustCompile(`^begin [0-7]{3,4} (\S.*)$`)

// cutUU returns a text with the names of the files in uuencode that it contains instead of them,
// and the files. A file ends with the line "end", or where a line is not encoded.
func cutUU(raw []byte) (text []byte, files [][]byte) {
	isOpen := false
	for line := range bytes.Lines(raw) {
		raw = raw[len(line):]
		trimmed := bytes.TrimRight(line, "\r\n")
		decoded, ok := decodeUU(trimmed)
		begin := uuBegin.FindSubmatch(trimmed)
		switch last := len(files) - 1; {
		case begin != nil && beginsUU(raw) && len(files) < maxMailParts:
			isOpen, files = true, append(files, nil)
			text = append(append(text, begin[1]...), '\n')
		case isOpen && ok:
			files[last] = append(files[last], decoded...)
		case isOpen && string(trimmed) == "end":
			isOpen = false
		default:
			isOpen = false
			text = append(text, line...)
		}
	}
	return text, files
}

// beginsUU reports whether the first line is encoded. After a sentence that is like the line before
// a file it is not.
func beginsUU(raw []byte) bool {
	line, _, _ := bytes.Cut(raw, []byte("\n"))
	_, ok := decodeUU(bytes.TrimRight(line, "\r"))
	return ok
}

// decodeUU decodes a line. ok is false if it cannot be encoded: its first character is the number
// of bytes, of which three become four characters.
func decodeUU(line []byte) (decoded []byte, ok bool) {
	if len(line) == 0 || line[0] < ' ' || line[0] > '`' {
		return nil, false
	}
	length := int(line[0]-' ') & 0x3f
	line = line[1:]
	const slack = 4 // blanks at the end may be missing, and a checksum may follow
	if want := (length + 2) / 3 * 4; len(line) < want-slack || len(line) > want+slack {
		return nil, false
	}
	for ; len(line) > 0 && len(decoded) < length; line = line[min(4, len(line)):] {
		var group [4]byte
		for i := range copy(group[:], line) {
			if group[i] < ' ' || group[i] > '`' {
				return nil, false
			}
			group[i] = (group[i] - ' ') & 0x3f
		}
		three := []byte{
			group[0]<<2 | group[1]>>4, group[1]<<4 | group[2]>>2, group[2]<<6 | group[3],
		}
		decoded = append(decoded, three[:min(len(three), length-len(decoded))]...)
	}
	return decoded, true
}
