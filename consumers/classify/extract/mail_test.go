package extract

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/charmap"
)

// mixedMail returns an email whose parts are separated by the boundary b.
func mixedMail(parts ...string) string {
	var b strings.Builder
	b.WriteString("From: x\nTo: y\nContent-Type: multipart/mixed; boundary=\"b\"\n\n")
	for _, p := range parts {
		b.WriteString("--b\n" + p + "\n")
	}
	return b.String() + "--b--"
}

func TestMail(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{})
	for name, c := range map[string]struct{ content, want string }{
		"plain text": {
			content: "Return-Path: <a@b>\r\nSubject: Invoice\r\n 12\r\n" +
				"From: Ann <ann@example.org>\r\n\r\nPlease pay.\r\n",
			want: "Invoice 12\nAnn <ann@example.org>\n\nPlease pay.",
		},
		"in a mailbox file": {
			content: "From ann@example.org Mon May  1 12:00:00 2026\n" +
				"Subject: x\nTo: bob\n\nbody",
			want: "x\nbob\n\nbody",
		},
		"encoded header": {
			content: "Subject: =?utf-8?q?Gr=C3=B6=C3=9Fe?= =?iso-8859-2?B?v/Ozdw==?=\n" +
				"From: =?koi8-r?B?8NLJ18XU?= <i@example.org>\n\nx",
			want: "Größeżółw\nПривет <i@example.org>\n\nx",
		},
		"8-bit header": {
			content: "Subject: Gr\xf6\xdfe\nFrom: x\n\nK\xf6ln",
			want:    "Größe\nx\n\nKöln",
		},
		"quoted-printable": {
			content: "From: x\nSubject: y\nContent-Type: text/plain; charset=windows-1250\n" +
				"Content-Transfer-Encoding: quoted-printable\n\n" +
				"=BF=F3=B3w and a soft=\n break",
			want: "y\nx\n\nżółw and a soft break",
		},
		"alternatives": {
			content: "From: x\nMIME-Version: 1.0\n" +
				"Content-Type: multipart/alternative; boundary=b\n\npreamble\n" +
				"--b\nContent-Type: text/plain\n\nplain words\n" +
				"--b\nContent-Type: text/html\n\n<p>rich words\n--b--\nepilogue",
			want: "x\n\nplain words",
		},
		"multipart without a subtype": {
			content: "From: x\nTo: y\nContent-Type: multipart; boundary=b\n\n" +
				"--b\nContent-Type: text/plain\n\nfirst\n--b\nContent-Type: text/plain\n\nsecond\n--b--",
			want: "x\ny\n\nfirst\n\nsecond",
		},
		"parts within parts with the same boundary": {
			content: mixedMail(
				"Content-Type: multipart/alternative; boundary=b\n\n"+
					"--b\nContent-Type: text/plain\n\nfirst\n--b--",
				"Content-Type: text/plain\n\nsecond"),
			want: "x\ny\n\nfirst\n\nsecond",
		},
		"multipart in base64": {
			content: "From: x\nTo: y\nContent-Type: multipart/mixed; boundary=b\n" +
				"Content-Transfer-Encoding: base64\n\n" +
				base64.StdEncoding.EncodeToString([]byte("--b\n\nfirst\n--b\n\nsecond\n--b--")),
			want: "x\ny\n\nfirst\n\nsecond",
		},
		"another name for base64": {
			content: "From: x\nTo: y\nContent-Transfer-Encoding: base 64\n\nd29yZHM=",
			want:    "x\ny\n\nwords",
		},
		"short name for base64": {
			content: "From: x\nTo: y\nContent-Transfer-Encoding: B\n\nd29yZHM=",
			want:    "x\ny\n\nwords",
		},
		"sentence like the beginning of uuencode": {
			content: "From: x\nTo: y\n\nWe will\nbegin 2024 with a new lease.\nThe landlord pays.",
			want:    "x\ny\n\nWe will\nbegin 2024 with a new lease.\nThe landlord pays.",
		},
		"text that claims to be in base64": {
			content: "From: x\nTo: y\nContent-Transfer-Encoding: base64\n\n" +
				"the landlord and the tenant\nagree on the rent of the flat, " +
				"which is due on the first day of each month",
			want: "x\ny\n\nthe landlord and the tenant\nagree on the rent of the flat, " +
				"which is due on the first day of each month",
		},
		"HTML in base64": {
			content: "From: x\nTo: y\nContent-Type: text/html; charset=utf-8\n" +
				"Content-Transfer-Encoding: base64\n\n" +
				"PGgxPkdyw7bDn2U8L2gxPjxz\nY3JpcHQ+bm88L3NjcmlwdD55ZXM=\n",
			want: "x\ny\n\nGröße\nyes",
		},
		"attachments": {
			content: mixedMail(
				"Content-Type: multipart/related; boundary=i\n\n"+
					"--i\nContent-Type: text/html\n\n<b>body</b>\n"+
					"--i\nContent-Type: image/png; name=logo.png\n"+
					"Content-Transfer-Encoding: base64\n\nAAAA\n--i--",
				"Content-Disposition: attachment; filename*=utf-8''Rechnung%20M%C3%A4rz.pdf\n"+
					"Content-Type: application/pdf\n\n\x00\x01\x02\x03",
				"Content-Type: application/zip; name=\"=?utf-8?q?=C3=BCber.zip?=\"\n\n\x00PK\x05",
				"Content-Type: text/plain\nContent-Disposition: attachment; filename=notes.txt\n\n"+
					"the notes"),
			want: "x\ny\n\nbody\nlogo.png\nRechnung März.pdf\nüber.zip\nnotes.txt\n\nthe notes",
		},
		"attachments with nonstandard names": {
			content: mixedMail(
				"Content-Type: text/plain\n\nbody",
				"Content-Type: application/pdf; name=Lease of a flat.pdf\n"+
					"Content-Disposition: attachment; filename=Lease of a flat.pdf; size=3\n\n\x00\x01\x02\x03",
				"Content-Type: application/pdf\n"+
					"Content-Disposition: attachment; "+
					"filename*=iso-8859-1'fr'R%E9sum%E9%20Anna.pdf\n\n\x00\x01\x02\x03",
				"Content-Type: application/pdf; name=\"Vertrag K\xf6ln.pdf\"\n\n\x00\x01\x02\x03",
				"Content-Type: application/pdf\n"+
					"Content-Disposition: attachment; "+
					"filename*0*=UTF-8''f%C3%BCr; filename*1=\"_uns.pdf\"\n\n\x00\x01\x02\x03"),
			want: "x\ny\n\nbody\nLease of a flat.pdf\nRésumé Anna.pdf\nVertrag Köln.pdf\nfür_uns.pdf",
		},
		"body with a name": {
			content: mixedMail("Content-Type: text/plain; name=body.txt\n" +
				"Content-Disposition: inline\n\nshown"),
			want: "x\ny\nbody.txt\n\nshown",
		},
		"plain text is a placeholder": {
			content: "From: x\nTo: y\nContent-Type: multipart/alternative; boundary=b\n\n" +
				"--b\nContent-Type: text/plain\n\nYour program cannot show HTML.\n" +
				"--b\nContent-Type: text/html\n\n<p>Your bill is due.\n--b--",
			want: "x\ny\n\nYour program cannot show HTML.\n\nYour bill is due.",
		},
		"attached email": {
			content: mixedMail("Content-Type: message/rfc822\n\n" +
				"Subject: inner\nFrom: z\n\ninner words"),
			want: "x\ny\ninner\nz\n\ninner words",
		},
		"encrypted body": {
			content: "From: x\nSubject: still visible\n" +
				"Content-Type: multipart/encrypted; boundary=b\n\n--b\n\nhidden\n--b--",
			want: "still visible\nx",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := extractBytes(e, []byte(c.content))
			want := Result{Kind: "message/rfc822", Text: c.want}
			if err != nil || got != want {
				t.Errorf("got %+v, %v\nwant %+v", got, err, want)
			}
		})
	}
}

// mailWithParts returns an email of n parts, each with the text "word".
func mailWithParts(n int) string {
	return "From: x\nTo: y\nContent-Type: multipart/mixed; boundary=b\n\n" +
		strings.Repeat("--b\nContent-Type: text/plain\n\nword\n", n)
}

// deepMail returns an email of n parts, each nested in the previous one.
func deepMail(n int) string {
	var b strings.Builder
	b.WriteString("From: x\nTo: y\n")
	for i := range n {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i, i)
	}
	return b.String() + "\ndeep"
}

func TestHostileMail(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{Timeout: time.Minute})
	const addresses = "From: x\nTo: y\n"
	const multipart = addresses + "Content-Type: multipart/mixed; boundary=b\n\n"
	const within = addresses + "Content-Type: message/rfc822\n\n"
	const smime = "Subject: \nTo: \nContent-Type: application/pkcs7-mime\n\nMIAG"
	const notBase64 = addresses +
		"Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n!!!"
	attachment := "--b\nContent-Type: image/png\n\n" + strings.Repeat("x", 70<<20)
	for name, c := range map[string]struct {
		content string
		err     error
		words   int // occurrences of "word" in the text
	}{
		"10,000 parts":         {content: mailWithParts(10_000), words: 999},
		"10,000 nested parts":  {content: deepMail(10_000)},
		"5,000 nested emails":  {content: strings.Repeat(within, 5000)},
		"header of 8 MiB":      {content: addresses + "X: " + strings.Repeat("x", 8<<20), err: ErrBroken},
		"400,000 fields":       {content: addresses + strings.Repeat("a:\n", 400_000), err: ErrBroken},
		"incomplete delimiter": {content: multipart + strings.Repeat("\n--b-", 1<<20)},
		"truncated":            {content: multipart + "--b\n\nword\n--b\nContent-Type: im", words: 1},
		"header only":          {content: "Subject: \nTo: \n\n", err: ErrNoText},
		"encrypted":            {content: smime, err: ErrEncrypted},
		"invalid base64":       {content: notBase64},
		"70 MiB attachment":    {content: multipart + attachment},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			got, err := extractBytes(e, []byte(c.content))
			took := time.Since(start).Round(time.Millisecond)
			if !errors.Is(err, c.err) || got.Kind != "message/rfc822" {
				t.Errorf("got kind %s, error %v, want message/rfc822, %v", got.Kind, err, c.err)
			}
			if words := strings.Count(got.Text, "word"); words != c.words {
				t.Errorf("got %d words, want %d, in %.200q", words, c.words, got.Text)
			}
			t.Logf("%d bytes, %s, truncated %v, %v", len(c.content), took, got.Truncated, err)
		})
	}
}

func FuzzMail(f *testing.F) {
	for _, s := range []string{
		mailWithParts(3), deepMail(12), "From: =?x?q?y?=\nTo: =?utf-8?b?!!?=\n\n",
		"Content-Type: message/rfc822\n\nSubject: x\n\n",
		"Content-Type: text/html; charset=big5\nContent-Transfer-Encoding: base64\n\nAAAA",
		"Content-Disposition: attachment; filename*0*=a''b; filename*1=c\n\n",
		"From \xff\nSubject: \xff\xfe\n\n\xff", string(windows1252Mail()),
		"From a\nTo: x\nSubject: =?cp850?q?=81?= =?utf-7?b?K?=\n\nx\nFrom b\nTo: y\n\n" +
			"begin 644 a\n#AA=\n",
		"To: x\nFrom: y\nContent-Type: text/plain; charset=utf-7; delsp=yes\n\n" +
			"+AOQ-+ +-\n--b\nContent-\n--b--",
	} {
		f.Add([]byte(s))
	}
	e := setup(f, Config{MaxRunes: 100})
	f.Fuzz(func(t *testing.T, content []byte) {
		r := newReading(e, ocrNever)
		err := r.readMail(t.Context(), document{sequential: bytes.NewReader(content), size: -1})
		if err != nil && !causedByDocument(err) {
			t.Errorf("got error %v, want one that the document causes", err)
		}
		checkClean(t, r.text.String(), 100)
	})
}

func windows1252Mail() []byte {
	// The error is nil: Windows-1252 has all of these characters.
	s, _ := charmap.Windows1252.NewEncoder().Bytes([]byte("Subject: größer\n\nü"))
	return s
}
