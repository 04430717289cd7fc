package minio

import (
	"mime"
	"strings"
	"testing"
	"unicode"
)

func TestAttachment(t *testing.T) {
	for name, want := range map[string]string{
		"a.pdf":                `attachment; filename="a.pdf"; filename*=UTF-8''a.pdf`,
		"naïve plan.txt":       `attachment; filename="na_ve plan.txt"; filename*=UTF-8''na%C3%AFve%20plan.txt`,
		`say "hi" 100%.txt`:    `attachment; filename="say _hi_ 100_.txt"; filename*=UTF-8''say%20%22hi%22%20100%25.txt`,
		"../../etc/passwd":     `attachment; filename=".._.._etc_passwd"; filename*=UTF-8''.._.._etc_passwd`,
		"":                     `attachment; filename="document"; filename*=UTF-8''document`,
		"..":                   `attachment; filename="document"; filename*=UTF-8''document`,
		"a\r\nSet-Cookie: b":   `attachment; filename="aSet-Cookie: b"; filename*=UTF-8''aSet-Cookie%3A%20b`,
		"cod\u202Efdp.exe":     `attachment; filename="codfdp.exe"; filename*=UTF-8''codfdp.exe`,
		"bad\xffutf.txt":       `attachment; filename="bad_utf.txt"; filename*=UTF-8''bad%EF%BF%BDutf.txt`,
		"👩‍🔬's\u2028 notes.md": `attachment; filename="___'s notes.md"; filename*=UTF-8''%F0%9F%91%A9%E2%80%8D%F0%9F%94%AC%27s%20notes.md`,
	} {
		if got := Attachment.header(name); got != want {
			t.Errorf("attachment(%q):\n got %s\nwant %s", name, got, want)
		}
	}
}

// FuzzAttachment checks that the header for any name is a single line of printable ASCII, is an
// attachment, and contains a file name without path separators and control characters.
func FuzzAttachment(f *testing.F) {
	for _, seed := range []string{
		"a.pdf", "\"; filename=\"evil.exe", "ü\x00\r\n", "%41'*", strings.Repeat("字", 100),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		header := Attachment.header(name)
		for _, r := range header {
			if r < ' ' || r > '~' {
				t.Fatalf("header %q contains %q, want printable ASCII only", header, r)
			}
		}
		kind, params, err := mime.ParseMediaType(header)
		if err != nil || kind != "attachment" || len(params) != 1 {
			t.Fatalf("parse %q: got %s with parameters %q, %v; want attachment with a filename",
				header, kind, params, err)
		}
		got := params["filename"]
		if got == "" || strings.ContainsAny(got, "/\\") || strings.ContainsFunc(got, unicode.IsControl) {
			t.Errorf("got filename %q, want a name without path separators and control characters", got)
		}
	})
}
