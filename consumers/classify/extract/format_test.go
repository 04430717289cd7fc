package extract

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

// fatturaPA is the beginning of an Italian e-invoice.
const fatturaPA = `<?xml version="1.0"?><p:FatturaElettronica ` +
	`xmlns:p="http://ivaservizi.agenziaentrate.gov.it/docs/xsd/fatture/v1.2"><DatiGeneraliDocumento><ImportoTotaleDocumento>122.00` +
	`</ImportoTotaleDocumento></DatiGeneraliDocumento></p:FatturaElettronica>`

func TestBusinessDocuments(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{})
	const flat = `<?xml version="1.0"?><office:document ` +
		`office:mimetype="application/vnd.oasis.opendocument.text"><office:settings><config>hidden` +
		`</config></office:settings><office:styles><text:p>style</text:p></office:styles>` +
		`<office:body><office:text><text:p>Lease <text:span>agreement</text:span>` +
		`<draw:image><office:binary-data>AAAA</office:binary-data></draw:image></text:p>` +
		`</office:text></office:body></office:document>`
	for name, c := range map[string]struct{ content, kind, want string }{
		"FatturaPA": {
			fatturaPA, "text/xml", "Invoice, fattura elettronica\nDati Generali Documento\n" +
				"Importo Totale Documento 122.00",
		},
		"CII": {
			`<?xml version="1.0"?><rsm:CrossIndustryInvoice xmlns:rsm="urn:un:unece:uncefact:data:` +
				`standard:CrossIndustryInvoice:100"><ram:DuePayableAmount>1</ram:DuePayableAmount>` +
				`</rsm:CrossIndustryInvoice>`,
			"text/xml", "Invoice\nDue Payable Amount 1",
		},
		"camt.053": {
			`<?xml version="1.0"?><Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02">` +
				`<BkToCstmrStmt><Ntry><BookgDt>2024-06-03</BookgDt><Amt Ccy="EUR">5</Amt></Ntry>` +
				`<Ntry><BookgDt>2024-06-04</BookgDt></Ntry></BkToCstmrStmt></Document>`,
			"text/xml", "Bank statement\nBank To Customer Statement\nEntry\nBooking Date 2024-06-03\n" +
				"Amount 5\n2024-06-04",
		},
		"flat OpenDocument": {
			flat, "application/vnd.oasis.opendocument.text-flat-xml", "Lease agreement",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := extractBytes(e, []byte(c.content))
			if err != nil || got.Kind != c.kind || got.Text != c.want {
				t.Errorf("got %+v, %v\nwant %s with %q", got, err, c.kind, c.want)
			}
		})
	}
}

func TestNamesOfElements(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"DueDate": "Due Date", "PayeeIBAN": "Payee IBAN", "IBANNumber": "IBAN Number",
		"due_date": "due date", "EN16931Rule": "EN16931 Rule", "": "", "größeÜber": "größe Über",
		"A\x940": "A 0",
	} {
		if got := splitName(name); got != want {
			t.Errorf("splitName(%q): got %q, want %q", name, got, want)
		}
	}
}

func TestRTF(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{})
	for name, c := range map[string]struct{ content, want string }{
		"paragraphs":     {`{\rtf1\ansi One\par Two\line Three\tab four}`, "One\nTwo\nThree four"},
		"code page":      {`{\rtf1\ansi\ansicpg1251 \'cf\'f0\'e8}`, "При"},
		"font":           {`{\rtf1{\fonttbl{\f0\fcharset0 A;}{\f1\fcharset238 B;}}\f1 \'bf\f0 \'bf}`, "ż¿"},
		"Unicode":        {`{\rtf1\uc1 \u8364?\u-10179?\u-8704? x}`, "€😀 x"},
		"no replacement": {`{\rtf1\uc0 \u8364 x}`, "€x"},
		"special":        {`{\rtf1 \{a\}\\\~\_\emdash\lquote}`, `{a}\ -—‘`},
		"destinations":   {`{\rtf1{\info{\title T}}{\*\x hidden}{\pict 00ff}{\v hidden}shown}`, "shown"},
		"binary":         {"{\\rtf1 a\\bin3 }}{ b}", "a b"},
		"unbalanced":     {`{\rtf1 a}}} b`, "a b"},
		"cut off":        {`{\rtf1 a\'f`, "af"},
		"link":           {`{\rtf1{\field{\*\fldinst HYPERLINK "x"}{\fldrslt shown}}}`, "shown"},
		"text box": {
			`{\rtf1 a\par{\shp{\*\shpinst\x1{\sp{\sn n}{\sv 1}}{\shptxt b\par}}{\shprslt b}}c}`,
			"a\nb\nc",
		},
		"byte order mark": {"\ufeff" + `{\rtf1 Lease}`, "Lease"},
		"headers": {
			`{\rtf1{\header Acme}{\footerf Page {\field{\*\fldinst PAGE}{\fldrslt 1}}}Lease}`,
			"Acme\nPage 1\nLease",
		},
		"notes and comments": {
			`{\rtf1 a{\super\chftn{\*\footnote\pard\chftn First{\v hidden}\par part}}b` +
				`{\footnote Second}{\*\atnauthor Ann}{\*\annotation{\*\atndate 0}Third} c\par d}`,
			"a b c\nFirst\npart\nSecond\nThird\nd",
		},
		"note at the end":    {`{\rtf1 a{\footnote b`, "a\nb"},
		"symbol in a group":  {`{\rtf1{\f2\*\cs7 shown}}`, "shown"},
		"object":             {`{\rtf1{\object{\*\objdata 00ff}{\result shown{\pict 00ff}}}}`, "shown"},
		"20,000 open groups": {`{\rtf1 ` + strings.Repeat("{", 20_000) + "deep", "deep"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := extractBytes(e, []byte(c.content))
			if err != nil || got.Kind != "text/rtf" || got.Text != c.want {
				t.Errorf("got %+v, %v, want text/rtf with %q", got, err, c.want)
			}
		})
	}
}

func FuzzRTF(f *testing.F) {
	for _, s := range []string{
		`{\rtf1\ansi\ansicpg932{\fonttbl{\f0\fcharset128 x;}}\f0\'82\'a0\u-1?\bin99999 x\par}`,
		`{\rtf1{\pict\pngblip 89504e47\bin9 x}{\object{\*\objdata 255`,
		`{\rtf1\uc8\u1`, `{\*\shptxt x}\'`, `{\*\footnote\par{\header x`, "{\\rtf1\\\n}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		text := newText(100)
		if _, err := readRTF(t.Context(), content, text); err != nil {
			t.Errorf("got error %v, want none", err)
		}
		checkClean(t, text.String(), 100)
	})
}

// ber returns an element with this content; an indefinite length if the tag is constructed and
// indefinite is true.
func ber(tag byte, indefinite bool, content ...[]byte) []byte {
	joined := bytes.Join(content, nil)
	if indefinite {
		return append(append([]byte{tag, 0x80}, joined...), 0, 0)
	}
	return append([]byte{tag, 0x82, byte(len(joined) >> 8), byte(len(joined))}, joined...)
}

// signedFile returns a container of signed content, without signatures.
func signedFile(oid []byte, indefinite bool, content ...[]byte) []byte {
	data := []byte{6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1}
	octets := ber(berOctets|berConstructed, indefinite, content...)
	encapsulated := ber(berSequence, indefinite, data, ber(0xa0, indefinite, octets))
	if len(content) == 0 {
		encapsulated = ber(berSequence, indefinite, data)
	}
	signed := ber(berSequence, indefinite, []byte{2, 1, 1}, []byte{0x31, 0}, encapsulated)
	return ber(berSequence, indefinite, oid, ber(0xa0, indefinite, signed))
}

func TestSignedFiles(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{})
	half := len(fatturaPA) / 2
	first := ber(berOctets, false, []byte(fatturaPA[:half]))
	second := ber(berOctets, false, []byte(fatturaPA[half:]))
	der, streamed := signedFile(signedDataOID, false, first, second),
		signedFile(signedDataOID, true, first, second)
	encoded := base64.StdEncoding.EncodeToString(der)
	const want = "Invoice, fattura elettronica\nDati Generali Documento\n" +
		"Importo Totale Documento 122.00"
	for name, c := range map[string]struct {
		content []byte
		err     error
	}{
		"definite lengths":   {der, nil},
		"indefinite lengths": {streamed, nil},
		"base64":             {[]byte(encoded[:64] + "\n" + encoded[64:]), nil},
		"PEM":                {[]byte("-----BEGIN PKCS7-----\n" + encoded + "\n-----END PKCS7-----\n"), nil},
		"only the signature": {signedFile(signedDataOID, false), ErrNoText},
		"encrypted":          {signedFile(envelopedDataOID, false, first), ErrEncrypted},
		"cut off":            {der[:30], ErrNoText},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := extractBytes(e, c.content)
			if !errors.Is(err, c.err) || got.Kind != kindSigned.name || err == nil && got.Text != want {
				t.Errorf("got %+v, %v, want %v", got, err, c.err)
			}
		})
	}
}

func FuzzSigned(f *testing.F) {
	content := ber(berOctets, false, []byte("x"))
	f.Add(signedFile(signedDataOID, false, content))
	f.Add(signedFile(signedDataOID, true, content))
	f.Add(bytes.Repeat([]byte{0x30, 0x80}, 100))
	f.Fuzz(func(t *testing.T, raw []byte) {
		isSigned(raw)
		if got, err := signedContent(raw); err != nil && !causedByDocument(err) || len(got) > len(raw) {
			t.Errorf("got %d bytes of %d, error %v", len(got), len(raw), err)
		}
	})
}

func FuzzXML(f *testing.F) {
	for _, s := range []string{
		fatturaPA, `<office:document office:mimetype="application/vnd.oasis.opendocument.text">` +
			`<office:body><text:p>x`, "<A", "<Document xmlns='iso:20022 camt.053'><Ntry/>",
		`<a b="Water bill" c='4'/>`, "<a b = \"Water bill\" c",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, page string) {
		text := newText(100)
		kind := kind{"text/xml", formatXML}
		r := &reading{text: text}
		if _, err := r.readXML(t.Context(), kind, page); err != nil && !causedByDocument(err) {
			t.Errorf("got error %v, want one that the document causes", err)
		}
		checkClean(t, text.String(), 100)
	})
}
