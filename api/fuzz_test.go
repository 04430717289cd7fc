package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"

	"intray/infra/postgres"
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
				t.Errorf("decode %q: got error %v, want code invalid", cursor, err)
			}
			return
		}
		if got := encodeCursor(last); got != cursor {
			t.Errorf("decode and encode %q: got %q, want the original", cursor, got)
		}
	})
}

func TestCursorRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		if got, err := decodeCursor(encodeCursor(id)); err != nil || got != id {
			t.Fatalf("got %s and error %v, want %s", got, err, id)
		}
	})
}

func FuzzDocumentCursor(f *testing.F) {
	c := postgres.Cursor{
		ID: uuid.MustParse("0193a5b0-7d21-7c4e-8f0a-1c2d3e4f5a6b"), FilenameKey: "é.pdf", Size: -1,
	}
	for _, filter := range []postgres.Filter{
		{}, {Sort: postgres.ByFilename}, {Sort: postgres.BySize, Ascending: true},
	} {
		f.Add(encodeDocumentCursor(filter, c))
	}
	f.Add("")
	f.Add("AgAAAZOlsH0hfE6PChwtPk9aaw\n")
	f.Add("AgEBAZOlsH0hfE6PChwtPk9aawA") // a NUL character
	f.Fuzz(func(t *testing.T, cursor string) {
		accepted := 0
		for sort := range postgres.Sort(4) {
			for _, ascending := range []bool{false, true} {
				filter := postgres.Filter{Sort: sort, Ascending: ascending}
				c, err := decodeDocumentCursor(filter, cursor)
				if err != nil {
					if !errors.Is(err, &schema.Error{Code: schema.CodeInvalid}) {
						t.Errorf("decode %q: got error %v, want code invalid", cursor, err)
					}
					continue
				}
				accepted++
				if got := encodeDocumentCursor(filter, *c); got != cursor {
					t.Errorf("decode and encode %q: got %q, want the original", cursor, got)
				}
				if !utf8.ValidString(c.FilenameKey) || strings.ContainsRune(c.FilenameKey, 0) {
					t.Errorf("decode %q: got the filename %q, which PostgreSQL refuses", cursor, c.FilenameKey)
				}
			}
		}
		if accepted > 1 {
			t.Errorf("got %q accepted in %d orders, want at most one", cursor, accepted)
		}
	})
}

func FuzzFilename(f *testing.F) {
	for _, name := range []string{
		"invoice.pdf", "Cafe\u0301.txt", "..", "a/b", `a\b`, "a\x00", "fdp\u202Eexe", "\xff", " ",
		strings.Repeat("e\u0301", 300), "a\u2028b",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		clean, err := cleanFilename(name)
		if err != nil {
			if !errors.Is(err, &schema.Error{Code: schema.CodeInvalid}) {
				t.Errorf("clean %q: got error %v, want code invalid", name, err)
			}
			return
		}
		forbidden := func(r rune) bool {
			return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) ||
				r == '/' || r == '\\'
		}
		if !utf8.ValidString(clean) || !norm.NFC.IsNormalString(clean) ||
			strings.ContainsFunc(clean, forbidden) || utf8.RuneCountInString(clean) > maxFilename ||
			clean == "" || clean == "." || clean == ".." {
			t.Errorf("clean %q: got %q, want a safe filename", name, clean)
		}
		if again, err := cleanFilename(clean); err != nil || again != clean {
			t.Errorf("clean %q again: got %q and error %v, want the same", clean, again, err)
		}
	})
}

func FuzzMediaType(f *testing.F) {
	for _, media := range []string{
		"text/plain", "Text/HTML; Charset=UTF-8", "application/pdf;x=y", "text/*", "*/*", "a",
		"text/plain; charset=\"a\\\"b\"", "text/plain\r\nX: y",
	} {
		f.Add(media)
	}
	f.Fuzz(func(t *testing.T, media string) {
		clean, err := allowedType(media, DefaultTypes)
		if err != nil {
			code := schema.CodeOf(err)
			if code != schema.CodeInvalid && code != schema.CodeTypeNotAllowed {
				t.Errorf("%q: got error %v, want code invalid or type_not_allowed", media, err)
			}
			return
		}
		// The type is sent in a signed header, so it must be printable ASCII without leading or trailing
		// spaces.
		unprintable := func(r rune) bool { return r < ' ' || r > '~' }
		if clean == "" || clean != strings.TrimSpace(clean) ||
			strings.ContainsFunc(clean, unprintable) {
			t.Errorf("%q: got %q, want a type that is valid in a header", media, clean)
		}
		if again, err := allowedType(clean, DefaultTypes); err != nil || again != clean {
			t.Errorf("%q again: got %q and error %v, want the same", clean, again, err)
		}
	})
}

// The rewritten text has the same value, and its whole numbers are plain.
func FuzzPlainIntegers(f *testing.F) {
	for _, text := range []string{
		`{"size":1e3,"a":"1e3 \"2.0","b":[1.5,-2.50e1,0e0,1E2]}`, `1e-999999999`,
		`12345678901234567890.0`,
		`"\\"`, `{"1.0":1.0}`, `-0.0`, `0.1e1`, `1e0000000000000000002`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if !json.Valid(text) || len(text) > maxBody {
			return
		}
		got, want := decodeNumbers(t, plainIntegers(text)), decodeNumbers(t, text)
		if !slices.EqualFunc(got, want, sameValue) {
			t.Errorf("%s: got %v, want the values %v", text, got, want)
		}
	})
}

// decodeNumbers returns the tokens of a JSON text.
func decodeNumbers(t *testing.T, text []byte) (tokens []json.Token) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	for {
		token, err := decoder.Token()
		if err == io.EOF {
			return tokens
		}
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		tokens = append(tokens, token)
	}
}

// sameValue reports whether got is the token want, or an integer of the same value.
func sameValue(got, want json.Token) bool {
	if got == want {
		return true
	}
	g, isNumber := got.(json.Number)
	w, alsoNumber := want.(json.Number)
	if !isNumber || !alsoNumber {
		return false
	}
	plain, err := strconv.ParseInt(g.String(), 10, 64)
	value, ok := new(big.Rat).SetString(w.String())
	return err == nil && ok && value.Cmp(new(big.Rat).SetInt64(plain)) == 0
}
