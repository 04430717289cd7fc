package extract

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// xmlHandler receives the contents of an XML part. The names that it is passed are local names in
// lower case: "t" for <w:t>.
type xmlHandler struct {
	// start is called for each start tag. attributes returns the attributes of the tag by their
	// local names in lower case. It may be called once, before start returns.
	start func(name string, attributes func() map[string]string)
	// end is called for each end tag, and after start for a self-closing tag.
	end func(name string)
	// text is called for the characters between tags, in one or more pieces.
	text func(characters string)
	// done is called before each tag or text, unless it is nil. If it returns true, reading stops.
	done func() bool
}

// parseXML reads an XML part of an archive.
//
// It uses the tokenizer of HTML, which ignores document types and the entities that they define,
// does not check the nesting of elements, and keeps one token of at most maxToken bytes in memory.
// Entities that expand to a large text therefore have no effect.
func parseXML(r io.Reader, h xmlHandler) error {
	decoded := transform.NewReader(r, unicode.BOMOverride(encoding.Nop.NewDecoder()))
	tokens := html.NewTokenizer(decoded)
	tokens.SetMaxBuf(maxToken)
	tokens.AllowCDATA(true)
	for h.done == nil || !h.done() {
		kind := tokens.Next()
		switch kind {
		case html.ErrorToken:
			switch err := tokens.Err(); {
			case errors.Is(err, io.EOF):
				return nil
			case errors.Is(err, html.ErrBufferExceeded):
				return fmt.Errorf("%w: tag or text of more than %d bytes", ErrBroken, maxToken)
			default:
				return err
			}
		case html.TextToken:
			h.text(string(tokens.Text()))
		case html.StartTagToken, html.SelfClosingTagToken:
			raw, _ := tokens.TagName()
			tokens.NextIsNotRawText() // in HTML, the content of <title> and others is raw text
			name := localName(tagName(raw))
			h.start(name, func() map[string]string { return attributes(tokens) })
			if kind == html.SelfClosingTagToken {
				h.end(name)
			}
		case html.EndTagToken:
			raw, _ := tokens.TagName()
			h.end(localName(tagName(raw)))
		}
	}
	return nil
}

// maxAttributes is the number of attributes of a tag that are read.
const maxAttributes = 64

func attributes(tokens *html.Tokenizer) map[string]string {
	found := map[string]string{}
	for range maxAttributes {
		key, value, more := tokens.TagAttr()
		if len(key) > 0 {
			found[localName(string(key))] = string(value)
		}
		if !more {
			break
		}
	}
	return found
}

// localName returns the name without the prefix of its namespace.
func localName(name string) string {
	return name[strings.LastIndexByte(name, ':')+1:]
}
