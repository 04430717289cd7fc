package api

import (
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"

	"intray/schema"
)

func FuzzCursor(f *testing.F) {
	f.Add(encodeCursor(uuid.MustParse("0193a5b0-7d21-7c4e-8f0a-1c2d3e4f5a6b")))
	f.Add("")
	f.Add("AQ==")
	f.Add("AgGTpbB9IXxOjwocLT5PWms")
	f.Fuzz(func(t *testing.T, cursor string) {
		last, err := decodeCursor(cursor)
		if err != nil {
			if !errors.Is(err, &schema.Error{Code: schema.CodeInvalid}) {
				t.Errorf("error %v", err)
			}
			return
		}
		if encodeCursor(last) != cursor {
			t.Errorf("%q is a second form of %q", cursor, encodeCursor(last))
		}
	})
}

func TestCursorComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		if got, err := decodeCursor(encodeCursor(id)); err != nil || got != id {
			t.Fatalf("%s came back as %s, %v", id, got, err)
		}
	})
}

func FuzzFilename(f *testing.F) {
	for _, name := range []string{"invoice.pdf", "Cafe\u0301.txt", "..", "a/b", `a\b`, "a\x00", "fdp\u202Eexe", "\xff", " ", strings.Repeat("e\u0301", 300), "a\u2028b"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		clean, err := cleanFilename(name)
		if err != nil {
			if !errors.Is(err, &schema.Error{Code: schema.CodeInvalid}) {
				t.Errorf("error %v", err)
			}
			return
		}
		bad := func(r rune) bool {
			return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '/' || r == '\\'
		}
		if !utf8.ValidString(clean) || !norm.NFC.IsNormalString(clean) || strings.ContainsFunc(clean, bad) ||
			clean == "" || clean == "." || clean == ".." || utf8.RuneCountInString(clean) > maxFilename {
			t.Errorf("%q became %q", name, clean)
		}
		if again, err := cleanFilename(clean); err != nil || again != clean {
			t.Errorf("%q became %q at the second time: %v", clean, again, err)
		}
	})
}

func FuzzMediaType(f *testing.F) {
	for _, media := range []string{"text/plain", "Text/HTML; Charset=UTF-8", "application/pdf;x=y", "text/*", "*/*", "a", "text/plain; charset=\"a\\\"b\"", "text/plain\r\nX: y"} {
		f.Add(media)
	}
	f.Fuzz(func(t *testing.T, media string) {
		clean, err := allowedType(media, DefaultTypes)
		if err != nil {
			if code := schema.CodeOf(err); code != schema.CodeInvalid && code != schema.CodeTypeNotAllowed {
				t.Errorf("error %v", err)
			}
			return
		}
		// It goes into a signed header, byte by byte.
		if clean == "" || clean != strings.TrimSpace(clean) || strings.ContainsFunc(clean, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%q became %q", media, clean)
		}
		if again, err := allowedType(clean, DefaultTypes); err != nil || again != clean {
			t.Errorf("%q became %q at the second time: %v", clean, again, err)
		}
	})
}

func TestNetwork(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8:1:2:3::4": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64", "@": "@",
	} {
		if got := network(address); got != want {
			t.Errorf("%s counts as %s, want %s", address, got, want)
		}
	}
}

// TestKinds: every code of the vocabulary has its place in the table.
func TestKinds(t *testing.T) {
	for _, code := range []schema.Code{
		schema.CodeUnauthenticated, schema.CodeForbidden, schema.CodeNotFound, schema.CodeObjectMissing, schema.CodeWrongStatus,
		schema.CodeNotDownloadable, schema.CodeNameTaken, schema.CodeTooManyPending, schema.CodeQuotaExceeded, schema.CodeTooLarge,
		schema.CodeTypeNotAllowed, schema.CodeInvalid, schema.CodeUnknownTopic, schema.CodeRateLimited, schema.CodeUnavailable, schema.CodeInternal,
	} {
		if problemTypes[code].status == 0 || problemTypes[code].title == "" {
			t.Errorf("%s is not in the table", code)
		}
	}
}
