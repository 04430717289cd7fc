package extract

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/charmap"
	uni "golang.org/x/text/encoding/unicode"
)

func TestHTML(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{})
	for name, c := range map[string]struct{ page, want string }{
		"page": {
			page: `<!DOCTYPE html><html><head><title>Invoice &amp; more</title>
			<meta name=x content=y><style>p{color:red}</style>` +
				`<script>var a = "<p>no</p>";</script></head>
			<body><h1>Dear   Ann</h1><p>Please pay <b>5&nbsp;€</b>
			today.<p>Thank<br>you<!-- secret --></body></html>`,
			want: "Invoice & more\nDear Ann\nPlease pay 5 € today.\nThank\nyou",
		},
		"elements that are not displayed": {
			page: `<html><body>a<template>no</template><noscript>no</noscript><iframe>no</iframe>
			<object>no<p>no</object><script>no</script>b</body></html>`,
			want: "a b",
		},
		"hidden by style": {
			page: `<html><p style="color:red; DISPLAY : none !important">no</p>` +
				`<span style="visibility:hidden">no</span><i style="font-size:0px">no</i>` +
				`<p style="display:block">yes`,
			want: "yes",
		},
		"hidden without end tag": {
			page: `<html><p hidden>no<p>yes</p><ul><li hidden>no<li>one</ul>` +
				`<div hidden>no <b>no`,
			want: "yes\none",
		},
		"options": {
			page: `<html><select><option>no<option selected>yes<option>no</select>` +
				`<datalist><option>no</datalist>`,
			want: "yes",
		},
		"hidden by attribute":    {`<html><p hidden>no</p><div hidden="until-found">no<p>no</p></div><p>yes</p>`, "yes"},
		"nested in hidden":       {`<html><div hidden>no<div>no</div>no</div>yes`, "yes"},
		"closed by its parent":   {`<html><div><span hidden>no</div>yes`, "yes"},
		"stray end tags":         {`<html></p></div></script>yes</b></html>also`, "yesalso"},
		"stray end tag, hidden":  {`<html><div hidden>no</section>no</div>yes`, "yes"},
		"void elements":          {`<html><p>a<img hidden>b<br hidden>c<input hidden>d`, "ab\ncd"},
		"table":                  {`<html><table><tr><td>1<td>2<tr><th>3</th><th>4</th></table>`, "1 2\n3 4"},
		"pre":                    {"<html><pre>a\n  b\n\nc</pre>d\ne", "a\nb\n\nc\nd e"},
		"begins with comments":   {"<!--?xml version=\"1.0\"?-->\n<!-- saved --><!DOCTYPE html><html><p>a<b>b</b>", "ab"},
		"title of an SVG image":  {`<html><title>Page</title><svg><title>no</title><text>yes</text></svg>`, "Page\nyes"},
		"unclosed script":        {`<html>yes<script>no`, "yes"},
		"tags in words":          {`<html><p>in<b>vo</b>ice</p>`, "invoice"},
		"hidden unknown element": {`<html><my-box hidden>no<my-box>no</my-box></my-box>yes`, "yes"},
		"escaped markup":         {`<html><p>&lt;script&gt; &#x202e;x`, "<script> x"},
		"no head":                {`<html><p>1</p>2<div>3</div>4`, "1\n2\n3\n4"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := extractBytes(e, []byte(c.page))
			if err != nil || got.Text != c.want || got.Kind != "text/html" {
				t.Errorf("got %+v, %v\nwant text/html with text %q", got, err, c.want)
			}
		})
	}
}

func TestHTMLEncodings(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{})
	const want = "Żółw größer"
	page := func(charset string) string {
		return `<html><head><meta charset="` + charset + `"><title>` + want + `</title>`
	}
	windows1250, utf16 := charmap.Windows1250, uni.UTF16(uni.LittleEndian, uni.UseBOM)
	for name, c := range map[string]struct {
		content     []byte
		contentType string
	}{
		"declared in meta":         {content: encoded(t, windows1250, page("windows-1250"))},
		"wrongly declared in meta": {content: []byte(page("koi8-r"))},
		"declared in content type": {encoded(t, windows1250, page("CHARSET")), "text/html; charset=windows-1250"},
		"UTF-16 with BOM":          {content: encoded(t, utf16, page("CHARSET"))},
	} {
		t.Run(name, func(t *testing.T) {
			r := bytes.NewReader(c.content)
			got, err := e.Text(t.Context(), r, int64(len(c.content)), c.contentType)
			if err != nil || got.Text != want || got.Kind != "text/html" {
				t.Errorf("got %+v, %v, want text/html with text %q", got, err, want)
			}
		})
	}
}

// Without processing in linear time, these pages would exceed the timeout.
func TestHostileHTML(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{Timeout: time.Minute})
	var formatting strings.Builder
	for range 500 {
		formatting.WriteString("<b a=" + strings.Repeat("x", formatting.Len()%97) + ">")
	}
	for name, page := range map[string]string{
		"deep nesting":      strings.Repeat("<div>", 1<<18),
		"formatting bomb":   formatting.String() + strings.Repeat("<p>x</p>", 1<<17),
		"misnested tags":    strings.Repeat("<a><b></a></b>", 1<<16),
		"stray end tags":    strings.Repeat("<x>", 600) + strings.Repeat("</y></x><x>", 1<<16),
		"many attributes":   "<div " + strings.Repeat("a=1 ", 1<<18) + ">",
		"one large comment": "<!--" + strings.Repeat("-", 5<<20),
		"entities":          strings.Repeat("&nbsp", 1<<18),
		"all hidden":        "<div hidden>" + strings.Repeat("<p>x", 1<<18),
		"nested options":    strings.Repeat("<option><td><li>", 1<<16),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := extractBytes(e, []byte("<html><body>word "+page))
			if err != nil || !strings.HasPrefix(got.Text, "word") {
				t.Errorf("%d bytes: got %.20q, %v, want a text that begins with %q",
					len(page), got.Text, err, "word")
			}
		})
	}
}

func TestHTMLIsStopped(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{Timeout: time.Nanosecond})
	t.Run("when the context is canceled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := readMarkup(ctx, strings.Repeat("<p>x", 5000), dialectHTML, newText(100_000))
		checkExternalError(t, err, context.Canceled)
	})
	t.Run("at the timeout, without text", func(t *testing.T) {
		_, err := extractBytes(e, []byte("<html>"+strings.Repeat("<p> ", 5000)))
		if !errors.Is(err, ErrBroken) {
			t.Errorf("got error %v, want %v", err, ErrBroken)
		}
	})
	t.Run("at the timeout, with text", func(t *testing.T) {
		got, err := extractBytes(e, []byte("<html>words"+strings.Repeat("<p>", 5000)))
		if err != nil || got.Text != "words" || !got.Truncated {
			t.Errorf("got %+v, %v, want text %q, truncated", got, err, "words")
		}
	})
}

func FuzzHTML(f *testing.F) {
	for _, s := range []string{
		"<title>x</title><p hidden>a<p>b", "<div style='display:none'>x</div>y", "<pre>a\r\nb",
		"<script/>x", "<![CDATA[x]]>", "<svg><title>x", "<a <b></a></b>", "&#x202e;&lt;",
		"<li hidden><li>a", "<textarea><p>",
	} {
		f.Add(s, uint8(dialectHTML))
		f.Add(s, uint8(dialectXHTML))
		f.Add(s, uint8(dialectXML))
	}
	f.Fuzz(func(t *testing.T, page string, d uint8) {
		text := newText(50)
		if err := readMarkup(t.Context(), page, dialect(d%3), text); err != nil {
			t.Fatal(err)
		}
		checkClean(t, text.String(), 50)
	})
}
