package extract

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	uni "golang.org/x/text/encoding/unicode"
	"pgregory.net/rapid"
)

func encoded(t testing.TB, e interface {
	Bytes([]byte) ([]byte, error)
}, s string) []byte {
	t.Helper()
	b, err := e.Bytes([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// wide is s in units of 2 or 4 bytes, without surrogates.
func wide(order binary.AppendByteOrder, size int, s string) (raw []byte) {
	for _, r := range s {
		if size == 2 {
			raw = order.AppendUint16(raw, uint16(r))
		} else {
			raw = order.AppendUint32(raw, uint32(r))
		}
	}
	return raw
}

func TestTextEncodings(t *testing.T) {
	e := setup(t, Config{})
	const (
		polish      = "Faktura za usługi: proszę zapłacić do końca miesiąca. Żółw, źródło, święto, ćma i łódź."
		russian     = "Счёт на оплату услуг связи за май. Просим оплатить до конца месяца."
		greek       = "Τιμολόγιο παροχής υπηρεσιών για τον μήνα Μάιο. Παρακαλούμε πληρώστε."
		turkish     = "Mayıs ayı için hizmet faturası. Lütfen ay sonuna kadar ödeyiniz. Şişli, İstanbul, Iğdır."
		hebrew      = "חשבונית עבור שירותים לחודש מאי. נא לשלם עד סוף החודש."
		arabic      = "فاتورة الخدمات لشهر مايو. يرجى الدفع قبل نهاية الشهر."
		japan       = "請求書 五月分のサービス料金です。月末までにお支払いください。"
		simplified  = "五月份服务费用发票。请在月底之前付款。谢谢您的合作。"
		traditional = "五月份服務費用發票。請在月底之前付款。謝謝您的合作。"
		korea       = "오월 서비스 요금 청구서입니다. 월말까지 지불해 주십시오. 감사합니다."
	)
	const german = "Größe: 5 € – „schön“"
	for name, c := range map[string]struct {
		content     []byte
		contentType string
		want        string
	}{
		"ASCII":                       {[]byte("plain words\n"), "", "plain words"},
		"UTF-8":                       {[]byte(german), "", german},
		"UTF-8 with BOM":              {[]byte("\xef\xbb\xbf" + german), "", german},
		"UTF-16LE with BOM":           {encoded(t, uni.UTF16(uni.LittleEndian, uni.UseBOM).NewEncoder(), german), "", german},
		"UTF-16BE with BOM":           {encoded(t, uni.UTF16(uni.BigEndian, uni.UseBOM).NewEncoder(), german), "", german},
		"Windows-1252":                {encoded(t, charmap.Windows1252.NewEncoder(), german), "", german},
		"declared, as it is":          {encoded(t, charmap.ISO8859_2.NewEncoder(), "żółw"), "text/plain; charset=iso-8859-2", "żółw"},
		"declared, Japanese":          {encoded(t, japanese.ISO2022JP.NewEncoder(), "請求書"), "text/plain; charset=iso-2022-jp", "請求書"},
		"declared wrongly":            {[]byte(german), "text/plain; charset=iso-8859-1", german},
		"declared UTF-8, lying":       {encoded(t, charmap.Windows1252.NewEncoder(), german), "text/plain; charset=utf-8", german},
		"UTF-16LE, no mark":           {utf16le("plain words"), "", "plain words"},
		"Polish":                      {encoded(t, charmap.Windows1250.NewEncoder(), polish), "", polish},
		"Russian":                     {encoded(t, charmap.Windows1251.NewEncoder(), russian), "", russian},
		"Russian, KOI8-R":             {encoded(t, charmap.KOI8R.NewEncoder(), russian), "", russian},
		"Russian, code page 866":      {encoded(t, charmap.CodePage866.NewEncoder(), russian), "", russian},
		"Latin-9":                     {encoded(t, charmap.ISO8859_15.NewEncoder(), "Größe: 5 €, schön"), "", "Größe: 5 €, schön"},
		"Latin-1":                     {encoded(t, charmap.ISO8859_1.NewEncoder(), "Größe: 5 £, schön"), "", "Größe: 5 £, schön"},
		"Greek":                       {encoded(t, charmap.Windows1253.NewEncoder(), greek), "", greek},
		"Turkish":                     {encoded(t, charmap.Windows1254.NewEncoder(), turkish), "", turkish},
		"Hebrew":                      {encoded(t, charmap.Windows1255.NewEncoder(), hebrew), "", hebrew},
		"Arabic":                      {encoded(t, charmap.Windows1256.NewEncoder(), arabic), "", arabic},
		"Shift JIS":                   {encoded(t, japanese.ShiftJIS.NewEncoder(), japan), "", japan},
		"EUC-JP":                      {encoded(t, japanese.EUCJP.NewEncoder(), japan), "", japan},
		"GB18030":                     {encoded(t, simplifiedchinese.GB18030.NewEncoder(), simplified), "", simplified},
		"Big5":                        {encoded(t, traditionalchinese.Big5.NewEncoder(), traditional), "", traditional},
		"EUC-KR":                      {encoded(t, korean.EUCKR.NewEncoder(), korea), "", korea},
		"UTF-16LE, no mark, Russian":  {wide(binary.LittleEndian, 2, russian), "", russian},
		"UTF-16BE, no mark, Greek":    {wide(binary.BigEndian, 2, greek), "", greek},
		"UTF-16LE, no mark, Hebrew":   {wide(binary.LittleEndian, 2, hebrew), "", hebrew},
		"UTF-16BE, no mark, Arabic":   {wide(binary.BigEndian, 2, arabic), "", arabic},
		"UTF-16LE, no mark, Japanese": {wide(binary.LittleEndian, 2, japan), "", japan},
		"UTF-16BE, no mark, Chinese":  {wide(binary.BigEndian, 2, simplified), "", simplified},
		"UTF-16LE, no mark, Korean":   {wide(binary.LittleEndian, 2, korea), "", korea},
		"UTF-16BE, no mark, long":     {wide(binary.BigEndian, 2, strings.Repeat(russian+"\n", 200)), "", strings.TrimSpace(strings.Repeat(russian+"\n", 200))},
		"UTF-32LE with BOM":           {wide(binary.LittleEndian, 4, "\ufeff"+german), "", german},
		"UTF-32BE with BOM":           {wide(binary.BigEndian, 4, "\ufeff"+russian), "", russian},
		"UTF-32LE, no mark":           {wide(binary.LittleEndian, 4, german), "", german},
		"Japanese, undeclared":        {encoded(t, japanese.ISO2022JP.NewEncoder(), japan), "", japan},
		"declared nonsense":           {[]byte(german), `text/plain; charset="`, german},
		"UTF-8 with one bad byte": {[]byte(strings.Repeat("äöü ", 20) + "\xff end"), "",
			strings.Repeat("äöü ", 20) + "\ufffd end"},
		"UTF-8 after much ASCII": {[]byte(strings.Repeat("words ", 2000) + german), "", strings.Repeat("words ", 2000) + german},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := e.Text(t.Context(), bytes.NewReader(c.content), int64(len(c.content)), c.contentType)
			if err != nil || got.Text != c.want || !strings.HasPrefix(got.Kind, "text/plain") {
				t.Errorf("got %+v, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestKinds(t *testing.T) {
	e := setup(t, Config{})
	for name, c := range map[string]struct {
		content string
		kind    string
		text    string
		err     error
	}{
		"empty":          {"", "", "", ErrNoText},
		"blank":          {" \n\t\n ", "text/plain", "", ErrNoText},
		"no words":       {"--- *** ---", "text/plain", "", ErrNoText},
		"Markdown":       {"# Title\n\n* one\n* two\n", "text/plain", "# Title\n\n* one\n* two", nil},
		"JSON":           {`{"invoice": 12}`, "application/json", `{"invoice": 12}`, nil},
		"CSV":            {"a,b\n1,2\n3,4\n", "text/csv", "a,b\n1,2\n3,4", nil},
		"XML":            {`<?xml version="1.0"?><note><to>Ann</to><body>Hello <b>you</b><script/></body><![CDATA[x < y]]></note>`, "text/xml", "Ann\nHello\nyou\nx < y", nil},
		"text by name":   {"only text here", "text/plain", "only text here", nil},
		"sound":          {"RIFF\x24\x00\x00\x00WAVEfmt ", "audio/wav", "", ErrUnsupported},
		"zip":            {string(zipped(part{"a", "b"})), "application/zip", "", ErrUnsupported},
		"mail":           {"Subject: hello\nTo: ann@example.org\n\nwords", "message/rfc822", "hello\nann@example.org\n\nwords", nil},
		"nearly a mail":  {"Subject: hello\nNote to self, to: ann\n", "text/plain", "Subject: hello\nNote to self, to: ann", nil},
		"RTF":            {`{\rtf1\ansi Hello}`, "text/rtf", "", ErrUnsupported},
		"binary":         {"\x00\x01\x02\x03 words \x04\x05", "application/octet-stream", "", ErrUnsupported},
		"text, then not": {strings.Repeat("words and words ", 400) + strings.Repeat("\x00\x01\x02", 5000), "text/plain", "", ErrUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := e.Text(t.Context(), strings.NewReader(c.content), int64(len(c.content)), "application/pdf")
			if got.Kind != c.kind || got.Text != c.text || !errors.Is(err, c.err) {
				t.Errorf("got %+v, %v; want %+v", got, err, c)
			}
			if errors.Is(c.err, ErrUnsupported) && !strings.Contains(err.Error(), c.kind) {
				t.Errorf("%q does not name the kind %s", err, c.kind)
			}
		})
	}
}

func TestContradictedTypesAreRecorded(t *testing.T) {
	t.Parallel()
	page, document := "<!DOCTYPE html><html><script>alert(1)</script>words", string(docx("<w:t>words</w:t>"))
	e := setup(t, Config{})
	for _, c := range []struct {
		declared, content string
		want              bool
	}{
		{"text/plain", page, true},
		{"application/pdf", page, true},
		{"text/html; charset=utf-8", page, false},
		{"application/xhtml+xml", page, false},
		{"application/octet-stream", page, false},
		{"", page, false},
		{"nonsense", page, false},
		{"text/markdown", "# words", false},
		{"application/x-yaml", "a: words", false},
		{"image/svg+xml", "words", true},
		{"application/pdf", "words", true},
		{"application/vnd.openxmlformats-officedocument.wordprocessingml.document", document, false},
		{"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", document, true},
		{"text/plain", document, true},
		{"image/png", "MZ\x90\x00\x03\x00\x00\x00", true},
		{"text/rtf", "{\\rtf1 x}", false},
	} {
		got, err := e.Text(t.Context(), strings.NewReader(c.content), int64(len(c.content)), c.declared)
		if got.TypeMismatch != c.want {
			t.Errorf("%s, found %s: %v, %v", c.declared, got.Kind, got.TypeMismatch, err)
		}
	}
}

func TestTextIsBounded(t *testing.T) {
	e := setup(t, Config{MaxRunes: 10})
	for content, want := range map[string]Result{
		"0123456789":            {Text: "0123456789"},
		"0123456789  \n":        {Text: "0123456789"},
		"0123456789a":           {Text: "0123456789", Truncated: true},
		"012345678\n\n\n\nabc":  {Text: "012345678", Truncated: true},
		"äöüäöüäöüäöü":          {Text: "äöüäöüäöüä", Truncated: true},
		"a   b\t\tc \r\n \r\nd": {Text: "a b c\n\nd"},
	} {
		want.Kind = "text/plain"
		if got, err := extractBytes(e, []byte(content)); err != nil || got != want {
			t.Errorf("%q: got %+v, %v; want %+v", content, got, err, want)
		}
	}
	// Of a file without end only the beginning is read.
	endless := &endlessReader{}
	got, err := e.Text(t.Context(), endless, 5<<30, "")
	if err != nil || got.Text != "endless en" || !got.Truncated || endless.n > maxTextBytes+headBytes+1 {
		t.Errorf("got %+v, %v after %d bytes", got, err, endless.n)
	}
}

type endlessReader struct{ n int }

func (e *endlessReader) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = "endless "[(e.n+i)%8]
	}
	e.n += len(p)
	return len(p), nil
}

// Binary data with a blank here and there is no text in units of two bytes.
func TestBinaryIsNoUTF16(t *testing.T) {
	for name, content := range map[string]string{
		"text in records":   strings.Repeat("record of words \x00", 40),
		"a header and more": "%XDF-1.7\n" + strings.Repeat("garbage \x00\xff", 100),
		"numbers":           strings.Repeat("\x01\x00\x00\x00\x20\x00\x00\x00\x07\x00\x01\x00", 40),
	} {
		if k := detect([]byte(content)); k.format != formatNone {
			t.Errorf("%s is %+v", name, k)
		}
	}
}

func TestJSONIsUnescaped(t *testing.T) {
	e := setup(t, Config{})
	for content, want := range map[string]string{
		`{"title": "Rechnung f\u00fcr M\u00E4rz", "path": "a\\b\/c \"q\"", "text": "one\ntwo", "smile": "\ud83d\ude00"}`: `{"title": "Rechnung für März", "path": "a\b/c "q"", "text": "one two", "smile": "😀"}`,
		`{"broken": "\ud83d and more \u202E", "unseen": "\u0000\u200b"}`:                                                 `{"broken": " and more ", "unseen": ""}`,
		`["\u0421\u0447\u0451\u0442"]`: `["Счёт"]`,
	} {
		got, err := extractBytes(e, []byte(content))
		if err != nil || got.Kind != "application/json" || got.Text != want {
			t.Errorf("%s\nis %+v, %v\nwant %s", content, got, err, want)
		}
	}
	for content, want := range map[string]string{"a plain \\u00fc": "a plain \\u00fc"} {
		if got, err := extractBytes(e, []byte(content)); err != nil || got.Text != want {
			t.Errorf("%s is %+v, %v", content, got, err)
		}
	}
}

func FuzzUnescapeJSON(f *testing.F) {
	for _, s := range []string{`\`, `\u`, `\u00fc`, `\ud83d\ude00`, `\ud83d\u`, `\\u00fc`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got := unescapeJSON(s); len(got) > len(s) || utf8.ValidString(s) && !utf8.ValidString(got) {
			t.Errorf("%q became %q", s, got)
		}
	})
}

func TestUnseenCharactersAreDropped(t *testing.T) {
	in := "in\u200bvoice \u202egnp.exe\u202c \x07bell\x1b[31m soft\u00adhyphen \U000e0049\U000e0067tag \ue000 a\ufe0f\u2060\ufeff می\u200cخواهم"
	want := "invoice gnp.exe bell[31m softhyphen tag a می\u200cخواهم"
	got := newText(1000)
	got.write(in)
	if got.String() != want {
		t.Errorf("got %q; want %q", got, want)
	}
}

// checkClean says what holds for every text that leaves the package.
func checkClean(t interface {
	Errorf(string, ...any)
}, s string, maxRunes int) {
	if !utf8.ValidString(s) {
		t.Errorf("invalid UTF-8: %q", s)
	}
	if n := utf8.RuneCountInString(s); n > maxRunes {
		t.Errorf("%d runes, at most %d allowed", n, maxRunes)
	}
	if s != strings.TrimSpace(s) || strings.Contains(s, "  ") || strings.Contains(s, "\n\n\n") ||
		strings.Contains(s, " \n") || strings.Contains(s, "\n ") {
		t.Errorf("white space is not folded: %q", s)
	}
	for _, r := range s {
		if r != '\n' && unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r >= 0xe0000 && r < 0xe1000 {
			t.Errorf("holds %U: %q", r, s)
		}
	}
}

func TestTextProperties(t *testing.T) {
	anyRune := rapid.OneOf(rapid.Rune(), rapid.SampledFrom([]rune("ab \t\n\r\f\x00\u0085\u2028\u202e\u200b\u200d\ufeff\ufffd\ue000\U000e0041")))
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOf(anyRune).Draw(t, "runes"))
		if rapid.Bool().Draw(t, "damaged") {
			s = string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
		}
		maxRunes := rapid.IntRange(1, 50).Draw(t, "max")
		at := rapid.IntRange(0, len(s)).Draw(t, "at")
		for at > 0 && at < len(s) && !utf8.RuneStart(s[at]) {
			at--
		}

		whole := newText(maxRunes)
		whole.write(s)
		checkClean(t, whole.String(), maxRunes)

		if utf8.ValidString(s) {
			parts := newText(maxRunes)
			parts.write(s[:at])
			parts.write(s[at:])
			if parts.String() != whole.String() || parts.truncated != whole.truncated {
				t.Errorf("in two parts %q, at once %q", parts.String(), whole.String())
			}
		}
		again := newText(maxRunes)
		again.write(whole.String())
		if again.String() != whole.String() || again.truncated {
			t.Errorf("cleaned twice %q, once %q", again.String(), whole.String())
		}
	})
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"", "plain", "\xff\xfea\x00", "\xfe\xff\x00a", "Gr\xf6\xdfe", "\xef\xbb\xbfx", "<html><title>x", "{\"a\":1}",
		"\x1b$B", strings.Repeat("ä", 3000), "<?xml version='1.0'?><a/>", "PK\x03\x04"} {
		f.Add([]byte(s), "text/plain; charset=utf-16")
		f.Add([]byte(s), "text/html; charset=gb18030")
	}
	e := setup(f, Config{MaxRunes: 100})
	f.Fuzz(func(t *testing.T, content []byte, contentType string) {
		if bytes.Contains(content, []byte("%PDF-")) {
			return // PDFium is fuzzed by its makers
		}
		got, err := e.Text(t.Context(), bytes.NewReader(content), int64(len(content)), contentType)
		if err != nil && !isReason(err) {
			t.Errorf("%v", err)
		}
		checkClean(t, got.Text, 100)
	})
}
