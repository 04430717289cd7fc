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

// elements is what a reader of an XML part wants to hear. Names are local ones,
// in lower case: "t" for <w:t>.
type elements struct {
	// open is called for each start tag. attributes reads its attributes, by
	// local name in lower case; it may be called once, before open returns.
	open func(name string, attributes func() map[string]string)
	// close is called for each end tag, and for a tag that is both.
	close func(name string)
	// text is called for the characters between tags, in one or more pieces.
	text func(characters string)
	// done, where it is set, ends the reading once it returns true.
	done func() bool
}

// readElements reads one XML part of an archive.
//
// It uses the tokenizer of HTML, which knows neither document types nor
// entities of their own, does not care for nesting, and holds one token of at
// most maxToken at a time: there is nothing in it for an "entity bomb" to blow up.
func readElements(r io.Reader, want elements) error {
	decoded := transform.NewReader(r, unicode.BOMOverride(encoding.Nop.NewDecoder()))
	tokens := html.NewTokenizer(decoded)
	tokens.SetMaxBuf(maxToken)
	tokens.AllowCDATA(true)
	for want.done == nil || !want.done() {
		kind := tokens.Next()
		switch kind {
		case html.ErrorToken:
			switch err := tokens.Err(); {
			case errors.Is(err, io.EOF):
				return nil
			case errors.Is(err, html.ErrBufferExceeded):
				return fmt.Errorf("%w: a tag or text of more than %d bytes", ErrBroken, maxToken)
			default:
				return err
			}
		case html.TextToken:
			want.text(string(tokens.Text()))
		case html.StartTagToken, html.SelfClosingTagToken:
			raw, _ := tokens.TagName()
			tokens.NextIsNotRawText() // as <title> is in HTML
			name := localName(tagName(raw))
			want.open(name, func() map[string]string { return attributes(tokens) })
			if kind == html.SelfClosingTagToken {
				want.close(name)
			}
		case html.EndTagToken:
			raw, _ := tokens.TagName()
			want.close(localName(tagName(raw)))
		}
	}
	return nil
}

// maxAttributes bounds how many attributes of a tag are looked at.
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

// localName is the name without its namespace's prefix.
func localName(name string) string {
	return name[strings.LastIndexByte(name, ':')+1:]
}
