package extract

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"iter"
	"regexp"
	"strconv"
)

const (
	// maxPDFDictionary is the number of bytes of an object or of a stream's dictionary that are
	// read, unless it is within an object stream.
	maxPDFDictionary = 8 << 10
	// maxPDFObjects is the number of objects of a PDF that are examined.
	maxPDFObjects = 500_000
	// maxObjectStreams is the number of bytes that are decompressed from the object streams of a
	// PDF.
	maxObjectStreams = 16 << 20
)

// pdfObject is an object of a PDF (ISO 32000-1, 7.3), as it is in the file.
type pdfObject struct {
	name     string // number and generation, such as "12 0"
	body     []byte // of a stream, its dictionary
	stream   []byte // encoded content of a stream, otherwise nil
	isPacked bool   // it is within an object stream
}

// pdfObjects returns the objects of a PDF that are whole, in the order of the file. It does not
// need the cross-reference table, so it returns objects that are not used any more, too, and all
// versions of an object that was changed. Time and memory are proportional to the length of the
// file and maxObjectStreams.
func pdfObjects(content []byte) iter.Seq[pdfObject] {
	return func(yield func(pdfObject) bool) {
		start, left := []byte(" obj"), maxObjectStreams
		end := bytes.LastIndex(content, endOfStream) // is searched once
		for n, at := 0, 0; n < maxPDFObjects; n++ {
			found := bytes.Index(content[at:], start)
			if found < 0 {
				return
			}
			name := pdfObjectName(content[:at+found])
			at += found + len(start)
			if name == "" {
				continue
			}
			o, length := pdfObjectAt(content[at:], at < end)
			at += length
			if o.body == nil {
				continue
			}
			o.name = name
			if !yield(o) {
				return
			}
			if o.stream == nil || !objectStream.Match(o.body) {
				continue
			}
			for packed := range o.packedObjects(&left) {
				if n++; n > maxPDFObjects || !yield(packed) {
					return
				}
			}
		}
	}
}

// pdfObjectAt returns the object at the beginning of content, after "obj", without its name, and
// the length of a stream, which other objects cannot be in. The body is nil if the object is not
// whole. hasEnd reports whether there is an end of a stream.
func pdfObjectAt(content []byte, hasEnd bool) (o pdfObject, length int) {
	head := content[:min(len(content), maxPDFDictionary)]
	if next := bytes.Index(head, []byte(" obj")); next >= 0 {
		head = head[:next]
	}
	body, _, isWhole := bytes.Cut(head, []byte("endobj"))
	dictionary, _, isStream := bytes.Cut(body, []byte("stream"))
	switch {
	case !isStream && !isWhole, isStream && !hasEnd:
		return pdfObject{}, 0
	case !isStream:
		return pdfObject{body: body}, 0
	}
	start := len(dictionary) + len("stream")
	start += len(lineBreak.Find(content[start:]))
	rest, end := content[start:], -1
	if declared := streamLength.FindSubmatch(dictionary); declared != nil {
		n, err := strconv.Atoi(string(declared[1]))
		if err == nil && n <= len(rest) && streamEnd.Match(rest[n:]) {
			end = n
		}
	}
	if end < 0 {
		end = bytes.Index(rest, endOfStream)
	}
	if end < 0 {
		return pdfObject{}, 0
	}
	return pdfObject{body: dictionary, stream: rest[:end]}, start + end
}

var (
	endOfStream  = []byte("endstream")
	lineBreak    = regexp.MustCompile(`^\r?\n?`)
	streamLength = regexp.MustCompile(`/Length\s+([0-9]{1,10})\s*(?:/|>>)`)
	streamEnd    = regexp.MustCompile(`^\s{0,2}endstream`)
	objectStream = regexp.MustCompile(`/Type\s*/ObjStm\b`)
	pdfFilter    = regexp.MustCompile(`/Filter\s*(/\w+|\[[^\]]*\])`)
)

// decode returns the content of a stream that is compressed by Deflate or not at all. If the
// content is damaged, or has more than limit bytes, it fails and returns what was decompressed.
func (o pdfObject) decode(limit int) ([]byte, error) {
	content := o.stream
	if filter := pdfFilter.FindSubmatch(o.body); filter != nil {
		if string(bytes.Trim(filter[1], "[] \r\n")) != "/FlateDecode" {
			return nil, fmt.Errorf("%w: filter of a PDF", ErrUnsupported)
		}
		z, err := zlib.NewReader(bytes.NewReader(o.stream))
		if err != nil {
			return nil, fmt.Errorf("%w: stream of a PDF", ErrBroken)
		}
		content, err = io.ReadAll(io.LimitReader(z, int64(limit)+1))
		if err != nil && !errors.Is(err, zlib.ErrChecksum) {
			return content, fmt.Errorf("%w: stream of a PDF", ErrBroken)
		}
	}
	if len(content) > limit {
		return content, fmt.Errorf("%w: stream of a PDF exceeds %d bytes", ErrBroken, limit)
	}
	return content, nil
}

// packedObjects returns the objects within an object stream (ISO 32000-1, 7.5.7), if that can be
// decoded to left bytes, by which it reduces left.
func (o pdfObject) packedObjects(left *int) iter.Seq[pdfObject] {
	return func(yield func(pdfObject) bool) {
		content, err := o.decode(*left)
		*left -= len(content)
		first := firstObject.FindSubmatch(o.body)
		if err != nil || first == nil {
			return
		}
		places, _ := strconv.Atoi(string(first[1]))
		header := content[:min(places, len(content))]
		content = content[len(header):]
		number, at := nextNumber(&header), nextNumber(&header)
		for number > 0 && at >= 0 {
			next, end := nextNumber(&header), nextNumber(&header)
			if next < 0 || end < 0 {
				end = len(content)
			}
			if end < at || end > len(content) ||
				!yield(pdfObject{name: fmt.Sprintf("%d 0", number), body: content[at:end], isPacked: true}) {
				return
			}
			number, at = next, end
		}
	}
}

var firstObject = regexp.MustCompile(`/First\s+([0-9]{1,8})\b`)

// nextNumber cuts the next number off a list of them. It returns -1 at the end of the list.
func nextNumber(list *[]byte) int {
	rest := bytes.TrimLeft(*list, " \t\r\n\f\x00")
	end := bytes.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(rest)
	}
	*list = rest[end:]
	n, err := strconv.Atoi(string(rest[:end]))
	if err != nil {
		return -1
	}
	return n
}

// pdfObjectName returns the number, which is not 0, and the generation of an object at the end of
// content, or "".
func pdfObjectName(content []byte) string {
	digits := func(end, most int) (start int) {
		for start = end; start > 0 && end-start < most; start-- {
			if c := content[start-1]; c < '0' || c > '9' {
				break
			}
		}
		return start
	}
	generation := digits(len(content), 5)
	if generation == len(content) || generation == 0 || content[generation-1] != ' ' {
		return ""
	}
	const tooLong = 8
	number := digits(generation-1, tooLong)
	if length := generation - 1 - number; length == 0 || length == tooLong || content[number] == '0' {
		return ""
	}
	return string(content[number:])
}
