package extract

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/charmap"
)

func TestMail(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{})
	for name, c := range map[string]struct{ content, want string }{
		"plain": {"Return-Path: <a@b>\r\nSubject: Invoice\r\n 12\r\nFrom: Ann <ann@example.org>\r\n\r\nPlease pay.\r\n",
			"Invoice 12\nAnn <ann@example.org>\n\nPlease pay."},
		"of a mailbox": {"From ann@example.org Mon May  1 12:00:00 2026\nSubject: x\nTo: bob\n\nbody", "x\nbob\n\nbody"},
		"header encodings": {"Subject: =?utf-8?q?Gr=C3=B6=C3=9Fe?= =?iso-8859-2?B?v/Ozdw==?=\nFrom: =?koi8-r?B?8NLJ18XU?= <i@example.org>\n\nx",
			"Größeżółw\nПривет <i@example.org>\n\nx"},
		"bare 8-bit header": {"Subject: Gr\xf6\xdfe\nFrom: x\n\nK\xf6ln", "Größe\nx\n\nKöln"},
		"quoted-printable":  {"From: x\nSubject: y\nContent-Type: text/plain; charset=windows-1250\nContent-Transfer-Encoding: quoted-printable\n\n=BF=F3=B3w and a soft=\n break", "y\nx\n\nżółw and a soft break"},
		"alternatives": {"From: x\nMIME-Version: 1.0\nContent-Type: multipart/alternative; boundary=b\n\npreamble\n--b\nContent-Type: text/plain\n\nplain words\n--b\nContent-Type: text/html\n\n<p>rich words\n--b--\nepilogue",
			"x\n\nplain words"},
		"html in base64": {"From: x\nTo: y\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: base64\n\nPGgxPkdyw7bDn2U8L2gxPjxz\nY3JpcHQ+bm88L3NjcmlwdD55ZXM=\n", "x\ny\n\nGröße\nyes"},
		"attachments": {"From: x\nTo: y\nContent-Type: multipart/mixed; boundary=\"o\"\n\n--o\nContent-Type: multipart/related; boundary=i\n\n--i\nContent-Type: text/html\n\n<b>body</b>\n--i\nContent-Type: image/png; name=logo.png\nContent-Transfer-Encoding: base64\n\nAAAA\n--i--\n" +
			"--o\nContent-Disposition: attachment; filename*=utf-8''Rechnung%20M%C3%A4rz.pdf\nContent-Type: application/pdf\n\n%PDF-hidden\n" +
			"--o\nContent-Type: application/zip; name=\"=?utf-8?q?=C3=BCber.zip?=\"\n\nPK\n--o\nContent-Type: text/plain\nContent-Disposition: attachment; filename=notes.txt\n\nnot shown\n--o--",
			"x\ny\n\nbody\nlogo.png\nRechnung März.pdf\nüber.zip\nnotes.txt"},
		"attachments' names against the rules": {"From: x\nTo: y\nContent-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: text/plain\n\nbody\n" +
			"--o\nContent-Type: application/pdf; name=Lease of a flat.pdf\nContent-Disposition: attachment; filename=Lease of a flat.pdf; size=3\n\nx\n" +
			"--o\nContent-Type: application/pdf\nContent-Disposition: attachment; filename*=iso-8859-1'fr'R%E9sum%E9%20Anna.pdf\n\nx\n" +
			"--o\nContent-Type: application/pdf; name=\"Vertrag K\xf6ln.pdf\"\n\nx\n" +
			"--o\nContent-Type: application/pdf\nContent-Disposition: attachment; filename*0*=UTF-8''f%C3%BCr; filename*1=\"_uns.pdf\"\n\nx\n--o--",
			"x\ny\n\nbody\nLease of a flat.pdf\nRésumé Anna.pdf\nVertrag Köln.pdf\nfür_uns.pdf"},
		"a body with a name": {"From: x\nTo: y\nContent-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: text/plain; name=body.txt\nContent-Disposition: inline\n\nshown\n--o--",
			"x\ny\nbody.txt\n\nshown"},
		"a plain text that says it is none": {"From: x\nTo: y\nContent-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/plain\n\nYour program cannot show HTML.\n--b\nContent-Type: text/html\n\n<p>Your bill is due.\n--b--",
			"x\ny\n\nYour program cannot show HTML.\n\nYour bill is due."},
		"a mail within": {"From: x\nTo: y\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nSubject: inner\nFrom: z\n\ninner words\n--b--", "x\ny\ninner\nz\n\ninner words"},
		"a sealed body": {"From: x\nSubject: still seen\nContent-Type: multipart/encrypted; boundary=b\n\n--b\n\nhidden\n--b--", "still seen\nx"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := extractBytes(e, []byte(c.content))
			if err != nil || got.Text != c.want || got.Kind != "message/rfc822" || got.Truncated {
				t.Errorf("got %+v, %v\nwant %q", got, err, c.want)
			}
		})
	}
}

// manyParts is a mail of n parts; deepMail is one within another, n deep.
func manyParts(n int) string {
	return "From: x\nTo: y\nContent-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\nContent-Type: text/plain\n\nword\n", n)
}

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
	for name, c := range map[string]struct {
		content string
		want    error
		words   int
	}{
		"10,000 parts":            {manyParts(10_000), nil, 999},
		"10,000 deep":             {deepMail(10_000), nil, 0},
		"mails 5,000 deep":        {strings.Repeat("From: x\nTo: y\nContent-Type: message/rfc822\n\n", 5000), nil, 0},
		"a header of 8 MiB":       {"From: x\nTo: y\nX: " + strings.Repeat("x", 8<<20), ErrBroken, 0},
		"400,000 header fields":   {"From: x\nTo: y\n" + strings.Repeat("a:\n", 400_000), ErrBroken, 0},
		"a boundary that repeats": {"From: x\nTo: y\nContent-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("\n--b-", 1<<20), nil, 0},
		"truncated":               {"From: x\nTo: y\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nword\n--b\nContent-Type: im", nil, 1},
		"header alone":            {"Subject: \nTo: \n\n", ErrNoText, 0},
		"sealed":                  {"Subject: \nTo: \nContent-Type: application/pkcs7-mime\n\nMIAG", ErrEncrypted, 0},
		"bad base64":              {"From: x\nTo: y\nContent-Type: text/plain\nContent-Transfer-Encoding: base64\n\n!!!", nil, 0},
		"70 MiB of attachment":    {"From: x\nTo: y\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: image/png\n\n" + strings.Repeat("x", 70<<20), nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			got, err := extractBytes(e, []byte(c.content))
			took := time.Since(began)
			if !errors.Is(err, c.want) || strings.Count(got.Text, "word") != c.words || got.Kind != "message/rfc822" {
				t.Errorf("after %s: %.200q, %v; want %v, %d words", took, got.Text, err, c.want, c.words)
			}
			t.Logf("%d bytes, %s, truncated %v, %v", len(c.content), took.Round(time.Millisecond), got.Truncated, err)
		})
	}
}

func FuzzMail(f *testing.F) {
	for _, s := range []string{manyParts(3), deepMail(12), "From: =?x?q?y?=\nTo: =?utf-8?b?!!?=\n\n", "Content-Type: message/rfc822\n\nSubject: x\n\n",
		"Content-Type: text/html; charset=big5\nContent-Transfer-Encoding: base64\n\nAAAA", "Content-Disposition: attachment; filename*0*=a''b; filename*1=c\n\n",
		"From \xff\nSubject: \xff\xfe\n\n\xff", string(encodedSubject())} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		text := newText(100)
		if err := readMail(t.Context(), bytes.NewReader(content), text); err != nil && !isReason(err) {
			t.Errorf("%v", err)
		}
		checkClean(t, text.String(), 100)
	})
}

func encodedSubject() []byte {
	s, _ := charmap.Windows1252.NewEncoder().Bytes([]byte("Subject: größer\n\nü")) // all of it is in Windows-1252
	return s
}
