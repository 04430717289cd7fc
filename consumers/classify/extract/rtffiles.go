package extract

import "bytes"

// rtfFileWords are the control words of the pictures and objects that are read.
var rtfFileWords = set("pngblip", "jpegblip", "objdata")

// rtfFile is an object or a picture in a document in RTF.
type rtfFile struct {
	isObject bool
	content  []byte
}

// rtfFiles collects the files of a document. They are in hexadecimal or binary digits, so all of
// them together are smaller than the document.
type rtfFiles struct {
	found   []rtfFile
	current rtfFile
	half    byte // the first digit of a byte, if there is one
	isHalf  bool
}

func (f *rtfFiles) begin(word string) {
	f.current, f.isHalf = rtfFile{isObject: word == "objdata"}, false
}

func (f *rtfFiles) add(raw []byte) { f.current.content = append(f.current.content, raw...) }

func (f *rtfFiles) addHex(c byte) {
	if !isHex(c) {
		return
	}
	digit := c & 0xf
	if c > '9' {
		digit += 9
	}
	if f.isHalf {
		f.current.content = append(f.current.content, f.half<<4|digit)
	}
	f.half, f.isHalf = digit, !f.isHalf
}

// end adds the file. Before the file in an object is its header ([MS-OLEDS], 2.2.5).
func (f *rtfFiles) end() {
	content := f.current.content
	if f.current.isObject {
		start := -1
		for _, signature := range []string{oleSignature, "PK\x03\x04", "%PDF-"} {
			at := bytes.Index(content[:min(len(content), headBytes)], []byte(signature))
			if at >= 0 && (start < 0 || at < start) {
				start = at
			}
		}
		content = span(content, start, len(content))
	} else if detect(content[:min(len(content), headBytes)]).format != formatImage {
		content = nil
	}
	if len(content) > 0 && len(f.found) < maxEmbeddedFiles {
		f.found = append(f.found, rtfFile{f.current.isObject, content})
	}
	f.current = rtfFile{}
}

// all returns the files, including one that is cut off.
func (f *rtfFiles) all() []rtfFile {
	if len(f.current.content) > 0 {
		f.end()
	}
	return f.found
}
