package extract

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

const (
	// maxDepth is how many open elements are remembered; what is nested deeper
	// is read as if it lay at this depth.
	maxDepth = 512
	// maxToken bounds one tag, comment or script, in bytes. Pictures that lie
	// in the page as data URLs are below it.
	maxToken = 4 << 20
)

// unseen are the elements whose content is not part of the page that a reader sees.
var unseen = set("script", "style", "template", "noscript", "iframe", "noembed", "noframes",
	"datalist", "canvas", "audio", "video", "object")

// void are the elements without content and end tag (HTML Living Standard, 13.1.2).
var void = set("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta",
	"source", "track", "wbr")

// blocks are the elements that begin and end a line.
var blocks = set("address", "article", "aside", "blockquote", "body", "caption", "center", "dd",
	"details", "dialog", "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form",
	"h1", "h2", "h3", "h4", "h5", "h6", "header", "hgroup", "hr", "legend", "li", "main", "menu",
	"nav", "ol", "option", "p", "pre", "section", "summary", "table", "tbody", "tfoot", "thead",
	"title", "tr", "ul")

// closes says which open element a start tag ends (HTML Living Standard,
// 13.1.2.4, the cases that pages use). Blocks end a p besides.
var closes = map[string]map[string]bool{
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

// dialect is how tags are understood.
type dialect int

const (
	dialectHTML  dialect = iota
	dialectXHTML         // HTML's elements by XML's rules: <p/> is empty
	dialectXML           // elements of any name, each on lines of its own
)

// readMarkup writes to text what a reader of the HTML page (or of the XML
// document) sees: first the title, then the body without scripts, styles,
// templates and hidden elements.
//
// It goes over the tokens and builds no tree: a tree can be thousands of times
// larger than the page (formatting elements are reopened in each paragraph),
// and the parser that builds it cannot be stopped. Time and memory here grow
// only with the length of the page. The price is that what CSS hides is found
// only where the element itself says so.
//
// It fails only when ctx ends, with its cause.
func readMarkup(ctx context.Context, page string, dialect dialect, text *text) error {
	tokens := html.NewTokenizer(strings.NewReader(page))
	tokens.SetMaxBuf(maxToken)
	tokens.AllowCDATA(dialect != dialectHTML)
	m := markup{text: text, dialect: dialect, open: map[string]int{}, hidden: -1}
	for n := 1; !text.full(); n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return fmt.Errorf("read markup: %w", context.Cause(ctx))
		}
		switch tokens.Next() {
		case html.ErrorToken:
			// Tokens are cut only by maxToken: the source is a string.
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

// markup is the state of readMarkup: the open elements.
type markup struct {
	text    *text
	dialect dialect
	stack   []string
	open    map[string]int // how often each name is on the stack
	hidden  int            // the depth at which what follows is not seen, or -1
	titled  bool           // the title was written
}

// characters writes the text between two tags.
func (m *markup) characters(tokens *html.Tokenizer) {
	switch {
	case m.hidden >= 0:
	case m.open["title"] > 0 && m.dialect != dialectXML && m.titled: // of a drawing within the page
	case m.open["pre"] > 0, m.open["textarea"] > 0:
		m.text.write(string(tokens.Text()))
	default:
		m.text.flow(string(tokens.Text()))
	}
}

// start opens an element, unless it has no content.
func (m *markup) start(tokens *html.Tokenizer, selfClosing bool) {
	raw, hasAttributes := tokens.TagName()
	name := tagName(raw)
	selfClosing = selfClosing && m.dialect != dialectHTML // there the slash says nothing
	if selfClosing {
		tokens.NextIsNotRawText() // <script/> has no content
	}
	m.endImplied(name)
	m.gap(name)
	if selfClosing || void[name] && m.dialect != dialectXML || len(m.stack) >= maxDepth {
		return
	}
	var own look
	if hasAttributes {
		own = lookOf(tokens)
	}
	hide := m.hides(name, own)
	m.stack = append(m.stack, name)
	m.open[name]++
	if hide && m.hidden < 0 {
		m.hidden = len(m.stack) - 1
	}
}

// endImplied closes the open elements whose end tags a start tag of that name implies.
func (m *markup) endImplied(name string) {
	for len(m.stack) > 0 {
		top := m.stack[len(m.stack)-1]
		if !closes[name][top] && !(top == "p" && blocks[name]) {
			return
		}
		m.end(top)
	}
}

// hides reports whether the content of an element is not seen. Of a list to choose from
// only what is chosen is seen; the first one, if nothing is chosen, says nothing.
func (m *markup) hides(name string, own look) bool {
	isChoice := m.dialect != dialectXML && name == "option" && m.open["select"] > 0
	return unseen[name] || own.hidden || isChoice && !own.selected
}

// end closes the innermost open element of that name and all within it. An end
// tag without a start tag is ignored. Every element is closed once, so a page
// takes time in proportion to its length however its tags are crossed.
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

// gap writes the white space that an element's edge shows.
func (m *markup) gap(name string) {
	switch {
	case m.hidden >= 0:
	case name == "br":
		m.text.breakLine()
	case blocks[name], m.dialect == dialectXML:
		m.text.startLine()
	case name == "td", name == "th":
		m.text.flow(" ")
	}
}

// tagName returns the name as a string, without allocating for known names.
func tagName(raw []byte) string {
	if a := atom.Lookup(raw); a != 0 {
		return a.String()
	}
	return string(raw)
}

// look is what a start tag's own attributes say of how the element looks.
type look struct{ hidden, selected bool }

// lookOf reads the attributes of the tag.
func lookOf(tokens *html.Tokenizer) (l look) {
	for more := true; more; {
		var key, value []byte
		key, value, more = tokens.TagAttr()
		switch string(key) {
		case "hidden":
			l.hidden = true
		case "selected":
			l.selected = true
		case "style":
			l.hidden = l.hidden || hidingStyle(string(value))
		}
	}
	return l
}

// hidingStyle reports whether an inline style makes its element invisible.
func hidingStyle(style string) bool {
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
