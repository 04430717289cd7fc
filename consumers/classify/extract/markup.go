package extract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

const (
	// maxDepth is the number of open elements that are tracked. Elements that are nested deeper are
	// read as if they were at this depth.
	maxDepth = 512
	// maxToken is the largest size of a tag, comment or script, in bytes. Images that are embedded
	// in a page as data URLs are usually smaller.
	maxToken = 4 << 20
)

// invisibleElements are the elements whose content is not displayed.
var invisibleElements = set("script", "style", "template", "noscript", "iframe", "noembed",
	"noframes", "datalist", "canvas", "audio", "video", "object")

// voidElements are the elements without content or an end tag (HTML Living Standard, 13.1.2).
var voidElements = set("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta",
	"source", "track", "wbr")

// blockElements are the elements that begin and end a line.
var blockElements = set(
	"address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details",
	"dialog", "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2",
	"h3", "h4", "h5", "h6", "header", "hgroup", "hr", "legend", "li", "main", "menu", "nav", "ol",
	"option", "p", "pre", "section", "summary", "table", "tbody", "tfoot", "thead", "title", "tr",
	"ul")

// impliedEnds maps a start tag to the open elements that it ends (HTML Living Standard, 13.1.2.4,
// the cases that occur in practice). In addition, every block element ends a p.
var impliedEnds = map[string]map[string]bool{
	"li": set("li"), "dt": set("dt", "dd"), "dd": set("dt", "dd"), "tr": set("tr", "td", "th"),
	"td": set("td", "th"), "th": set("td", "th"), "option": set("option"), "body": set("head"),
}

func set(names ...string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}

// dialect determines how tags are interpreted.
type dialect int

const (
	dialectHTML  dialect = iota
	dialectXHTML         // elements of HTML by the rules of XML: <p/> is empty
	dialectXML           // elements of any name, each on lines of its own
)

// readMarkup writes the visible text of an HTML page or an XML document to text: first the title,
// then the body without scripts, styles, templates and hidden elements.
//
// It processes one token at a time and does not build a tree. A tree can be thousands of times
// larger than the page, because formatting elements are reopened in each paragraph, and a parser
// that builds one cannot be stopped. Time and memory are proportional to the length of the page.
// The drawback is that elements hidden by CSS are recognized only by their style attributes.
//
// It fails only if ctx is done, with the cause of ctx.
func readMarkup(ctx context.Context, page string, dialect dialect, text *text) error {
	return readTokens(ctx, page, markup{text: text, dialect: dialect})
}

// readTokens is readMarkup with a state that determines the dialect and what is written.
func readTokens(ctx context.Context, page string, m markup) error {
	text, dialect := m.text, m.dialect
	tokens := html.NewTokenizer(strings.NewReader(page))
	tokens.SetMaxBuf(maxToken)
	tokens.AllowCDATA(dialect != dialectHTML)
	m.open, m.hidden = map[string]int{}, -1
	for n := 1; !text.full(); n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return fmt.Errorf("read markup: %w", context.Cause(ctx))
		}
		switch tokens.Next() {
		case html.ErrorToken:
			// Since the source is a string, the only other error is a token longer than maxToken.
			text.incomplete = text.incomplete || !errors.Is(tokens.Err(), io.EOF)
			return nil
		case html.TextToken:
			m.characters(tokens)
		case html.StartTagToken:
			m.start(tokens, false)
		case html.SelfClosingTagToken:
			m.start(tokens, true)
		case html.EndTagToken:
			name, _ := tokens.TagName()
			m.end(string(name))
		}
	}
	text.incomplete = true
	return nil
}

// markup is the state of readMarkup.
type markup struct {
	text    *text
	dialect dialect
	stack   []string       // the open elements
	open    map[string]int // number of elements on the stack, by name
	hidden  int            // index on the stack of the outermost hidden element, or -1
	titled  bool           // the title was written
	// label returns what is written before the content of an element, such as the words of its name,
	// or "". tag is its start tag, and isEmpty is set if it has no content. It is nil if names are not
	// written.
	label func(tag []byte, isEmpty bool) string
	// embed is called for each file in base64. It is nil if there are no files.
	embed func(file) bool
}

// characters writes the text between two tags.
func (m *markup) characters(tokens *html.Tokenizer) {
	switch {
	case m.hidden >= 0:
	case m.open["title"] > 0 && m.dialect != dialectXML && m.titled: // the title of an SVG image
	case m.open["pre"] > 0, m.open["textarea"] > 0:
		m.text.write(string(tokens.Text()))
	default:
		characters := tokens.Text()
		if m.embed != nil && isBase64(characters) {
			m.embed(file{content: decodeBase64Body(characters)})
			return
		}
		m.text.flow(string(characters))
	}
}

// isBase64 reports whether the characters of an element are a file in base64, or a key.
func isBase64(characters []byte) bool {
	const shortest, longestLine = 256, 50
	characters = bytes.TrimSpace(characters)
	return len(characters) >= shortest &&
		bytes.IndexFunc(characters[:longestLine], isNotBase64) < 0 &&
		bytes.IndexFunc(characters, func(r rune) bool {
			return isNotBase64(r) && r != '=' && r != '\r' && r != '\n'
		}) < 0
}

// start handles a start tag. It opens the element unless the element has no content.
func (m *markup) start(tokens *html.Tokenizer, selfClosing bool) {
	label := ""
	if m.label != nil && m.hidden < 0 {
		label = m.label(tokens.Raw(), selfClosing) // TagName changes the tag to lower case
	}
	raw, hasAttributes := tokens.TagName()
	name := tagName(raw)
	selfClosing = selfClosing && m.dialect != dialectHTML // HTML ignores the slash
	if selfClosing {
		tokens.NextIsNotRawText() // <script/> has no content
	}
	m.endImplied(name)
	m.gap(name)
	if label != "" && !invisibleElements[name] {
		m.text.flow(label)
	}
	if selfClosing || voidElements[name] && m.dialect != dialectXML || len(m.stack) >= maxDepth {
		return
	}
	var attrs displayAttributes
	if hasAttributes {
		attrs = readDisplayAttributes(tokens)
	}
	hide := m.hides(name, attrs)
	m.stack = append(m.stack, name)
	m.open[name]++
	if hide && m.hidden < 0 {
		m.hidden = len(m.stack) - 1
	}
}

// endImplied closes the open elements that a start tag of this name ends.
func (m *markup) endImplied(name string) {
	for len(m.stack) > 0 {
		top := m.stack[len(m.stack)-1]
		if !impliedEnds[name][top] && !(top == "p" && blockElements[name]) {
			return
		}
		m.end(top)
	}
}

// hides reports whether the content of an element is hidden. An option of a select element is
// hidden unless it is selected. If none is selected, browsers display the first one. It is treated
// as hidden nevertheless, because it does not describe the document.
func (m *markup) hides(name string, attrs displayAttributes) bool {
	isOption := m.dialect != dialectXML && name == "option" && m.open["select"] > 0
	return invisibleElements[name] || attrs.hidden || isOption && !attrs.selected
}

// end closes the innermost open element of this name and all elements within it. It ignores an end
// tag without a start tag. Since every element is closed once, the time is proportional to the
// length of the page even if its tags are not properly nested.
func (m *markup) end(name string) {
	if m.open[name] == 0 {
		return
	}
	for {
		top := len(m.stack) - 1
		closed := m.stack[top]
		m.stack = m.stack[:top]
		m.open[closed]--
		if m.hidden >= len(m.stack) {
			m.hidden = -1
		}
		if closed == name {
			break
		}
	}
	m.titled = m.titled || name == "title"
	m.gap(name)
}

// gap writes the white space at the start or end of an element.
func (m *markup) gap(name string) {
	switch {
	case m.hidden >= 0:
	case name == "br":
		m.text.breakLine()
	case blockElements[name], m.dialect == dialectXML:
		m.text.startLine()
	case name == "td", name == "th":
		m.text.flow(" ")
	}
}

// tagName returns the name as a string. It does not allocate for names of HTML.
func tagName(raw []byte) string {
	if a := atom.Lookup(raw); a != 0 {
		return a.String()
	}
	return string(raw)
}

// displayAttributes are the attributes of a start tag that determine whether the element is
// visible.
type displayAttributes struct{ hidden, selected bool }

func readDisplayAttributes(tokens *html.Tokenizer) (a displayAttributes) {
	for more := true; more; {
		var key, value []byte
		key, value, more = tokens.TagAttr()
		switch string(key) {
		case "hidden":
			a.hidden = true
		case "selected":
			a.selected = true
		case "style":
			a.hidden = a.hidden || styleHides(string(value))
		}
	}
	return a
}

// styleHides reports whether an inline style makes its element invisible.
func styleHides(style string) bool {
	for declaration := range strings.SplitSeq(strings.ToLower(style), ";") {
		property, value, _ := strings.Cut(declaration, ":")
		value = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "!important"))
		switch strings.TrimSpace(property) + ":" + value {
		case "display:none", "visibility:hidden", "visibility:collapse",
			"font-size:0", "font-size:0px":
			return true
		}
	}
	return false
}
