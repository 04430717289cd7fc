package extract

// compressedRTF is what the dictionary contains at the beginning ([MS-OXRTFCP], 2.1.2.1).
const compressedRTF = `{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}` +
	`{\f0\fnil \froman \fswiss \fmodern \fscript \fdecor MS Sans SerifSymbolArial` +
	"Times New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par " +
	`\pard\plain\f0\fs20\b\i\u\tab\tx`

// decompressRTF decompresses the RTF of a message of Outlook ([MS-OXRTFCP], 3.1), up to
// maxTextBytes. It returns what could be decompressed.
func decompressRTF(raw []byte) []byte {
	const header, uncompressed, dictionaryBytes = 16, 0x414c454d, 4096
	if u32(raw, 8) == uncompressed {
		return span(raw, header, maxTextBytes)
	}
	var dictionary [dictionaryBytes]byte
	end := copy(dictionary[:], compressedRTF)
	var rtf []byte
	put := func(b byte) {
		rtf = append(rtf, b)
		dictionary[end%dictionaryBytes] = b
		end++
	}
	raw = span(raw, header, len(raw))
	for len(raw) > 0 && len(rtf) < maxTextBytes {
		flags := raw[0]
		raw = raw[1:]
		for bit := 0; bit < 8 && len(raw) > 0; bit++ {
			if flags>>bit&1 == 0 {
				put(raw[0])
				raw = raw[1:]
				continue
			}
			if len(raw) < 2 {
				return rtf
			}
			reference := int(raw[0])<<8 | int(raw[1])
			raw = raw[2:]
			from, length := reference>>4, reference&0xf+2
			if from == end%dictionaryBytes { // the end
				return rtf
			}
			for i := range length {
				put(dictionary[(from+i)%dictionaryBytes])
			}
		}
	}
	return rtf
}
