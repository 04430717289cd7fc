package extract

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	uni "golang.org/x/text/encoding/unicode"
	"pgregory.net/rapid"
)

func encoded(t testing.TB, e encoding.Encoding, s string) []byte {
	t.Helper()
	b, err := e.NewEncoder().Bytes([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// wide returns s in code units of 2 or 4 bytes, without surrogate pairs.
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
		polish = "Faktura za usługi: proszę zapłacić do końca miesiąca. " +
			"Żółw, źródło, święto, ćma i łódź."
		russian = "Счёт на оплату услуг связи за май. Просим оплатить до конца месяца."
		greek   = "Τιμολόγιο παροχής υπηρεσιών για τον μήνα Μάιο. Παρακαλούμε πληρώστε."
		turkish = "Mayıs ayı için hizmet faturası. Lütfen ay sonuna kadar ödeyiniz. " +
			"Şişli, İstanbul, Iğdır."
		hebrew      = "חשבונית עבור שירותים לחודש מאי. נא לשלם עד סוף החודש."
		arabic      = "فاتورة الخدمات لشهر مايو. يرجى الدفع قبل نهاية الشهر."
		japan       = "請求書 五月分のサービス料金です。月末までにお支払いください。"
		katakana    = "セット メニュー テスト データ, ホテル,タクシー,レンタカー"
		simplified  = "五月份服务费用发票。请在月底之前付款。谢谢您的合作。"
		traditional = "五月份服務費用發票。請在月底之前付款。謝謝您的合作。"
		korea       = "오월 서비스 요금 청구서입니다. 월말까지 지불해 주십시오. 감사합니다."
	)
	const (
		dos      = "Köln, für die Wärme: bitte überweisen Sie 72,00 €."
		english  = "The tenant’s deposit – “as agreed” – is £1,200. It’s due."
		euro     = "Price: 20 € – “due” now…"
		elisions = "L’appartement n’est pas libre, prix: 20 €"
		spanish  = "El día de la garantía, según el artículo: 20 € al mes"
		french   = "Facture réglée à échéance, numéro reçu le mois passé."
	)
	const german = "Größe: 5 € – „schön“"
	var (
		longRussian = strings.Repeat(russian+"\n", 200)
		damaged     = strings.Repeat("äöü ", 20)
		longASCII   = strings.Repeat("words ", 2000)
		utf16LE     = uni.UTF16(uni.LittleEndian, uni.UseBOM)
		utf16BE     = uni.UTF16(uni.BigEndian, uni.UseBOM)
		big, little = binary.BigEndian, binary.LittleEndian
	)
	for name, c := range map[string]struct {
		content     []byte
		contentType string
		want        string
	}{
		"ASCII":                       {[]byte("plain words\n"), "", "plain words"},
		"UTF-8":                       {[]byte(german), "", german},
		"UTF-8 with BOM":              {[]byte("\xef\xbb\xbf" + german), "", german},
		"UTF-16LE with BOM":           {encoded(t, utf16LE, german), "", german},
		"UTF-16BE with BOM":           {encoded(t, utf16BE, german), "", german},
		"Windows-1252":                {encoded(t, charmap.Windows1252, german), "", german},
		"declared correctly":          {encoded(t, charmap.ISO8859_2, "żółw"), "text/plain; charset=iso-8859-2", "żółw"},
		"declared, Japanese":          {encoded(t, japanese.ISO2022JP, "請求書"), "text/plain; charset=iso-2022-jp", "請求書"},
		"UTF-8 declared as Latin-1":   {[]byte(german), "text/plain; charset=iso-8859-1", german},
		"wrongly declared UTF-8":      {encoded(t, charmap.Windows1252, german), "text/plain; charset=utf-8", german},
		"invalid declaration":         {[]byte(german), `text/plain; charset="`, german},
		"UTF-16LE, no BOM":            {utf16le("plain words"), "", "plain words"},
		"Polish":                      {encoded(t, charmap.Windows1250, polish), "", polish},
		"Russian":                     {encoded(t, charmap.Windows1251, russian), "", russian},
		"Russian, KOI8-R":             {encoded(t, charmap.KOI8R, russian), "", russian},
		"Russian, code page 866":      {encoded(t, charmap.CodePage866, russian), "", russian},
		"German, DOS":                 {encoded(t, charmap.CodePage858, dos), "", dos},
		"French, DOS":                 {encoded(t, charmap.CodePage437, french), "", french},
		"French, Mac":                 {encoded(t, charmap.Macintosh, french), "", french},
		"English":                     {encoded(t, charmap.Windows1252, english), "", english},
		"euro and dashes":             {encoded(t, charmap.Windows1252, euro), "", euro},
		"French elisions":             {encoded(t, charmap.Windows1252, elisions), "", elisions},
		"Spanish, Mac":                {encoded(t, charmap.Macintosh, spanish), "", spanish},
		"Latin-9":                     {encoded(t, charmap.ISO8859_15, "Größe: 5 €, schön"), "", "Größe: 5 €, schön"},
		"Latin-1":                     {encoded(t, charmap.ISO8859_1, "Größe: 5 £, schön"), "", "Größe: 5 £, schön"},
		"Greek":                       {encoded(t, charmap.Windows1253, greek), "", greek},
		"Turkish":                     {encoded(t, charmap.Windows1254, turkish), "", turkish},
		"Hebrew":                      {encoded(t, charmap.Windows1255, hebrew), "", hebrew},
		"Arabic":                      {encoded(t, charmap.Windows1256, arabic), "", arabic},
		"Shift JIS":                   {encoded(t, japanese.ShiftJIS, japan), "", japan},
		"Shift JIS, katakana":         {encoded(t, japanese.ShiftJIS, katakana), "", katakana},
		"EUC-JP":                      {encoded(t, japanese.EUCJP, japan), "", japan},
		"Japanese, undeclared":        {encoded(t, japanese.ISO2022JP, japan), "", japan},
		"GB18030":                     {encoded(t, simplifiedchinese.GB18030, simplified), "", simplified},
		"Big5":                        {encoded(t, traditionalchinese.Big5, traditional), "", traditional},
		"EUC-KR":                      {encoded(t, korean.EUCKR, korea), "", korea},
		"UTF-16LE, no BOM, Russian":   {wide(little, 2, russian), "", russian},
		"UTF-16BE, no BOM, Greek":     {wide(big, 2, greek), "", greek},
		"UTF-16LE, no BOM, Hebrew":    {wide(little, 2, hebrew), "", hebrew},
		"UTF-16BE, no BOM, Arabic":    {wide(big, 2, arabic), "", arabic},
		"UTF-16LE, no BOM, Japanese":  {wide(little, 2, japan), "", japan},
		"UTF-16BE, no BOM, Chinese":   {wide(big, 2, simplified), "", simplified},
		"UTF-16LE, no BOM, Korean":    {wide(little, 2, korea), "", korea},
		"UTF-16BE, no BOM, long":      {wide(big, 2, longRussian), "", strings.TrimSpace(longRussian)},
		"UTF-32LE with BOM":           {wide(little, 4, "\ufeff"+german), "", german},
		"UTF-32BE with BOM":           {wide(big, 4, "\ufeff"+russian), "", russian},
		"UTF-32LE, no BOM":            {wide(little, 4, german), "", german},
		"UTF-8 with one invalid byte": {[]byte(damaged + "\xff end"), "", damaged + "ÿ end"},
		"UTF-8 after much ASCII":      {[]byte(longASCII + german), "", longASCII + german},
		"UTF-8 and Windows-1252":      {[]byte("für M\xfcller\nStraße\n"), "", "für Müller\nStraße"},
		"UTF-8, declared and damaged": {[]byte("für \xc3\nneu für"), "text/plain; charset=utf-8", "für Ã\nneu für"},
		"letter at the end":           {[]byte("caf\xe9"), "", "café"},
		"UTF-8 that is cut off":       {[]byte("für 😀 \xf0\x9f\x98"), "", "für 😀"},
	} {
		t.Run(name, func(t *testing.T) {
			r := bytes.NewReader(c.content)
			got, err := e.Text(t.Context(), r, int64(len(c.content)), c.contentType)
			if err != nil || got.Text != c.want || got.Kind != "text/plain" {
				t.Errorf("got %+v, %v, want text/plain with text %q", got, err, c.want)
			}
		})
	}
}

func TestKinds(t *testing.T) {
	e := setup(t, Config{})
	const note = `<?xml version="1.0"?><note><to>Ann</to><body>Hello <b>you</b><script/></body>` +
		`<![CDATA[x < y]]></note>`
	const email = "Subject: hello\nTo: ann@example.org\n\nwords"
	const oneField = "Subject: hello\nNote to self, to: ann"
	mixed := strings.Repeat("words and words ", 400) + strings.Repeat("\x00\x01\x02", 5000)
	for name, c := range map[string]struct {
		content string
		kind    string
		text    string
		err     error
	}{
		"empty":              {"", "", "", ErrNoText},
		"blank":              {" \n\t\n ", "text/plain", "", ErrNoText},
		"no words":           {"--- *** ---", "text/plain", "", ErrNoText},
		"plain text":         {"only text here", "text/plain", "only text here", nil},
		"Markdown":           {"# Title\n\n* one\n* two\n", "text/plain", "# Title\n\n* one\n* two", nil},
		"JSON":               {`{"invoice": 12}`, "application/json", `{"invoice": 12}`, nil},
		"CSV":                {"a,b\n1,2\n3,4\n", "text/csv", "a,b\n1,2\n3,4", nil},
		"XML":                {note, "text/xml", "note\nto Ann\nbody Hello\nb you\nx < y", nil},
		"audio":              {"RIFF\x24\x00\x00\x00WAVEfmt ", "audio/wav", "", ErrUnsupported},
		"zip":                {string(zipped(part{"a", "b"})), "application/zip", "", ErrUnsupported},
		"email":              {email, "message/rfc822", "hello\nann@example.org\n\nwords", nil},
		"line break of Word": {"Invoice\vdue on 1 June", "text/plain", "Invoice\ndue on 1 June", nil},
		"backspace":          {"Re\bnt of the flat in May", "text/plain", "Rent of the flat in May", nil},
		"zeros at the end":   {"words" + strings.Repeat("\x00", 5), "text/plain", "words", nil},
		"padding of DOS":     {"some words\r\n" + strings.Repeat("\x1a", 9), "text/plain", "some words", nil},
		"control in XML":     {"<note><to>Invoice \v due on 1 June</to></note>", "text/xml", "note\nto Invoice due on 1 June", nil},
		"zeros":              {strings.Repeat("\x00", 100), "application/octet-stream", "", ErrUnsupported},
		"mostly zeros":       {"words" + strings.Repeat("\x00", 100), "application/octet-stream", "", ErrUnsupported},
		"one header field":   {oneField + "\n", "text/plain", oneField, nil},
		"RTF":                {`{\rtf1\ansi Hello}`, "text/rtf", "Hello", nil},
		"binary":             {"\x00\x01\x02\x03 words \x04\x05", "application/octet-stream", "", ErrUnsupported},
		"text and binary":    {mixed, "text/plain", "", ErrUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			r := strings.NewReader(c.content)
			got, err := e.Text(t.Context(), r, int64(len(c.content)), "application/pdf")
			if got.Kind != c.kind || got.Text != c.text || !errors.Is(err, c.err) {
				t.Errorf("got %+v, %v, want %s with text %q, %v", got, err, c.kind, c.text, c.err)
			}
			if errors.Is(c.err, ErrUnsupported) && err != nil && !strings.Contains(err.Error(), c.kind) {
				t.Errorf("got error %q, want one that names %s", err, c.kind)
			}
		})
	}
}

func TestTypeMismatch(t *testing.T) {
	t.Parallel()
	const page = "<!DOCTYPE html><html><script>alert(1)</script>words"
	document := string(docx("<w:t>words</w:t>"))
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
		{wordType, document, false},
		{sheetType, document, true},
		{"text/plain", document, true},
		{"image/png", "MZ\x90\x00\x03\x00\x00\x00", true},
		{"text/rtf", "{\\rtf1 x}", false},
	} {
		r := strings.NewReader(c.content)
		got, err := e.Text(t.Context(), r, int64(len(c.content)), c.declared)
		if got.TypeMismatch != c.want {
			t.Errorf("declared %q, detected %q: got %v, %v, want %v",
				c.declared, got.Kind, got.TypeMismatch, err, c.want)
		}
	}
}

func TestTextIsLimited(t *testing.T) {
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
			t.Errorf("%q: got %+v, %v, want %+v", content, got, err, want)
		}
	}
}

func TestOnlyTheBeginningOfALongTextIsRead(t *testing.T) {
	e := setup(t, Config{MaxRunes: 10})
	endless := &endlessReader{}
	got, err := e.Text(t.Context(), endless, 5<<30, "")
	if err != nil || got.Text != "endless en" || !got.Truncated {
		t.Errorf("got %+v, %v, want text %q, truncated", got, err, "endless en")
	}
	if limit := maxTextBytes + headBytes + 1; endless.n > limit {
		t.Errorf("read %d bytes, want at most %d", endless.n, limit)
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

// Binary data that contains spaces must not be decoded as UTF-16.
func TestBinaryDataIsNotUTF16(t *testing.T) {
	for name, content := range map[string]string{
		"records of text":    strings.Repeat("record of words \x00", 40),
		"header and garbage": "%XDF-1.7\n" + strings.Repeat("garbage \x00\xff", 100),
		"numbers":            strings.Repeat("\x01\x00\x00\x00\x20\x00\x00\x00\x07\x00\x01\x00", 40),
	} {
		if k := detect([]byte(content)); k.format != formatNone {
			t.Errorf("%s: detected %+v, want an unsupported kind", name, k)
		}
	}
}

func TestEscapeSequences(t *testing.T) {
	e := setup(t, Config{})
	for name, c := range map[string]struct{ kind, content, want string }{
		"in JSON": {
			kind: "application/json",
			content: `{"title": "Rechnung f\u00fcr M\u00E4rz", "path": "a\\b\/c \"q\"", ` +
				`"text": "one\ntwo", "smile": "\ud83d\ude00"}`,
			want: `{"title": "Rechnung für März", "path": "a\b/c "q"", ` +
				`"text": "one two", "smile": "😀"}`,
		},
		"invalid and invisible in JSON": {
			kind:    "application/json",
			content: `{"broken": "\ud83d and more \u202E", "invisible": "\u0000\u200b"}`,
			want:    `{"broken": " and more ", "invisible": ""}`,
		},
		"Cyrillic in JSON": {
			kind:    "application/json",
			content: `["\u0421\u0447\u0451\u0442"]`,
			want:    `["Счёт"]`,
		},
		"in plain text": {
			kind:    "text/plain",
			content: `a plain \u00fc`,
			want:    `a plain \u00fc`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := extractBytes(e, []byte(c.content))
			if err != nil || got.Kind != c.kind || got.Text != c.want {
				t.Errorf("got %+v, %v\nwant %s with text %s", got, err, c.kind, c.want)
			}
		})
	}
}

func FuzzUnescapeJSON(f *testing.F) {
	for _, s := range []string{`\`, `\u`, `\u00fc`, `\ud83d\ude00`, `\ud83d\u`, `\\u00fc`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := unescapeJSON(s)
		if len(got) > len(s) || utf8.ValidString(s) && !utf8.ValidString(got) {
			t.Errorf("unescapeJSON(%q) = %q, want valid UTF-8 of at most the same length", s, got)
		}
	})
}

func TestInvisibleCharactersAreDropped(t *testing.T) {
	const in = "in\u200bvoice \u202egnp.exe\u202c \x07bell\x1b[31m soft\u00adhyphen " +
		"\U000e0049\U000e0067tag \ue000 a\ufe0f\u2060\ufeff می\u200cخواهم"
	const want = "invoice gnp.exe bell[31m softhyphen tag a می\u200cخواهم"
	text := newText(1000)
	text.write(in)
	if got := text.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// checkClean checks the properties that every extracted text must have.
func checkClean(t interface {
	Errorf(string, ...any)
}, s string, maxRunes int) {
	if !utf8.ValidString(s) {
		t.Errorf("got invalid UTF-8: %q", s)
	}
	if n := utf8.RuneCountInString(s); n > maxRunes {
		t.Errorf("got %d characters, want at most %d", n, maxRunes)
	}
	if s != strings.TrimSpace(s) || strings.Contains(s, "  ") || strings.Contains(s, "\n\n\n") ||
		strings.Contains(s, " \n") || strings.Contains(s, "\n ") {
		t.Errorf("got white space that is not normalized: %q", s)
	}
	for _, r := range s {
		if r != '\n' && unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) ||
			r >= 0xe0000 && r < 0xe1000 {
			t.Errorf("got the invisible character %U in %q", r, s)
		}
	}
}

func TestTextProperties(t *testing.T) {
	const special = "ab \t\n\r\f\x00\u0085\u2028\u202e\u200b\u200d\ufeff\ufffd\ue000\U000e0041"
	anyRune := rapid.OneOf(rapid.Rune(), rapid.SampledFrom([]rune(special)))
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
				t.Errorf("written in two parts: got %q, want %q", parts.String(), whole.String())
			}
		}
		again := newText(maxRunes)
		again.write(whole.String())
		if again.String() != whole.String() || again.truncated {
			t.Errorf("written again: got %q, want %q unchanged", again.String(), whole.String())
		}
	})
}

func FuzzText(f *testing.F) {
	for _, s := range []string{
		"", "plain", "\xff\xfea\x00", "\xfe\xff\x00a", "Gr\xf6\xdfe", "\xef\xbb\xbfx",
		"<html><title>x", "{\"a\":1}", "\x1b$B", strings.Repeat("ä", 3000),
		"<?xml version='1.0'?><a/>", "PK\x03\x04",
	} {
		f.Add([]byte(s), "text/plain; charset=utf-16")
		f.Add([]byte(s), "text/html; charset=gb18030")
	}
	e := setup(f, Config{MaxRunes: 100})
	f.Fuzz(func(t *testing.T, content []byte, contentType string) {
		if bytes.Contains(content, []byte("%PDF-")) {
			return // PDFium is fuzzed by its developers
		}
		got, err := e.Text(t.Context(), bytes.NewReader(content), int64(len(content)), contentType)
		if err != nil && !causedByDocument(err) {
			t.Errorf("got error %v, want one that the document causes", err)
		}
		checkClean(t, got.Text, 100)
	})
}
