package glossary_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"intray/consumers/classify/builtin"
	"intray/consumers/classify/builtin/glossary"
	"intray/consumers/classify/builtin/vectors"
)

// Words of every language must have the English ones among their translations.
func TestEmbeddedTable(t *testing.T) {
	table, err := glossary.Open()
	if err != nil {
		t.Fatal(err)
	}
	english, err := vectors.Open()
	if err != nil {
		t.Fatal(err)
	}
	if table.Vectors() != english.Len() {
		t.Errorf("made for %d vectors, want %d", table.Vectors(), english.Len())
	}
	for _, c := range []struct{ code, word, want string }{
		{"de", "wahl", "election"}, {"de", "wahlen", "election"}, {"de", "krankheiten", "disease"},
		{"fr", "élections", "election"}, {"es", "enfermedad", "disease"}, {"it", "malattie", "disease"},
		{"nl", "ziekte", "disease"}, {"pt", "doença", "disease"}, {"pl", "choroba", "disease"},
		{"ru", "болезни", "disease"}, {"sv", "sjukdom", "disease"}, {"da", "sygdom", "disease"},
		{"nb", "sykdom", "disease"}, {"fi", "sairaus", "disease"}, {"cs", "nemoc", "disease"},
		{"tr", "hastalık", "disease"}, {"ro", "boală", "disease"}, {"hu", "betegség", "disease"},
	} {
		want, ok := english.Lookup(c.want)
		language := table.Language(c.code)
		if !ok || language == nil {
			t.Fatalf("no vector of %q or no language %q", c.want, c.code)
		}
		if n := language.Len(); n < 5000 {
			t.Errorf("%s: got %d stems, want at least 5000", c.code, n)
		}
		stem, _ := builtin.Stem(c.code, c.word)
		got, _ := language.Lookup(stem)
		isWanted := func(t glossary.Translation) bool { return t.Weight > 0 && int(t.Word) == want }
		if !slices.ContainsFunc(got[:], isWanted) {
			t.Errorf("%s %q: got %v, want %q (%d) among them", c.code, c.word, got, c.want, want)
		}
	}
	if got, ok := table.Language("de").Lookup("qqqqqq"); ok || got != (glossary.Translations{}) {
		t.Errorf("unknown word: got %v, %t, want none", got, ok)
	}
	if table.Language("xx") != nil {
		t.Error("got a language xx, want none")
	}
}

func TestEncode(t *testing.T) {
	words := map[string]map[string][]glossary.Translation{
		"de": {
			"vertrag": {
				{Word: 7, Weight: 1}, {Word: 3, Weight: 20}, {Word: 9, Weight: 10}, {Word: 8, Weight: 2},
			},
			"a": {{Word: 0, Weight: 0.001}},
		},
		"ru": {"договор": {{Word: 3, Weight: 1}}},
	}
	file, err := glossary.Encode(10, words)
	if err != nil {
		t.Fatal(err)
	}
	again, err := glossary.Encode(10, words)
	if err != nil || !bytes.Equal(file, again) {
		t.Errorf("Encode again: got another file or error %v", err)
	}
	table, err := glossary.Parse(string(file))
	if err != nil {
		t.Fatal(err)
	}
	got, ok := table.Language("de").Lookup("vertrag")
	if !ok || got[0] != (glossary.Translation{Word: 3, Weight: 1}) || got[1].Word != 9 ||
		got[1].Weight < 0.49 || got[1].Weight > 0.51 || got[2].Word != 8 {
		t.Errorf("got %v, want the words 3, 9 and 8 with the weights 1, 1/2 and 1/10", got)
	}
	if got, ok := table.Language("de").Lookup("a"); !ok || got != (glossary.Translations{{0, 1}}) {
		t.Errorf("got %v, want word 0 with weight 1", got)
	}
	if got, ok := table.Language("ru").Lookup("договор"); !ok || got[0].Word != 3 {
		t.Errorf("got %v, want word 3", got)
	}
	long := map[string]map[string][]glossary.Translation{"deutsch": {}}
	if _, err := glossary.Encode(10, long); err == nil {
		t.Error("a long code: got no error")
	}
	for name, stems := range map[string]map[string][]glossary.Translation{
		"no translation": {"x": nil},
		"empty stem":     {"": {{Word: 1, Weight: 1}}},
		"word too large": {"x": {{Word: 10, Weight: 1}}},
		"negative word":  {"x": {{Word: -1, Weight: 1}}},
		"no weight":      {"x": {{Word: 1}}},
	} {
		words := map[string]map[string][]glossary.Translation{"de": stems}
		if _, err := glossary.Encode(10, words); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

// small returns a valid file.
func small(t testing.TB) string {
	t.Helper()
	file, err := glossary.Encode(10, map[string]map[string][]glossary.Translation{
		"de": {"a": {{Word: 1, Weight: 1}}, "bc": {{Word: 9, Weight: 1}, {Word: 2, Weight: 1}}},
		"fr": {"d": {{Word: 3, Weight: 1}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(file)
}

func TestParseFailsOnDamagedFiles(t *testing.T) {
	file := small(t)
	for n := range file {
		if _, err := glossary.Parse(file[:n]); err == nil {
			t.Errorf("cut after %d of %d bytes: got no error", n, len(file))
		}
	}
	const offset = "\x01\x00\x00\x00\x03" // of "bc", and the start of the end
	for name, damaged := range map[string]string{
		"other magic":      "X" + file[1:],
		"no vectors":       file[:8] + "\x00" + file[9:],
		"many languages":   file[:12] + "\xff\xff\xff\xff" + file[16:],
		"a language twice": strings.Replace(file, "fr\x00\x00", "de\x00\x00", 1),
		"many stems":       file[:20] + "\xff\xff\xff\xff" + file[24:],
		"much text":        file[:24] + "\xff\xff\xff\xff" + file[28:],
		"bytes follow":     file + "x",
		"fewer vectors":    file[:8] + "\x09" + file[9:],
		"unsorted stems":   strings.Replace(file, "abc", "zbc", 1),
		"empty stem":       strings.Replace(file, offset, "\x00"+offset[1:], 1),
		"long offset":      strings.Replace(file, offset, "\xff"+offset[1:], 1),
	} {
		if damaged == file {
			t.Fatalf("%s: not damaged", name)
		}
		if _, err := glossary.Parse(damaged); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(small(f))
	f.Add("INTRAYG1\x01\x00\x00\x00\xff\xff\xff\xff")
	f.Fuzz(func(t *testing.T, file string) {
		table, err := glossary.Parse(file)
		if err != nil {
			return
		}
		for _, code := range []string{"de", "fr", ""} {
			if l := table.Language(code); l != nil {
				for _, stem := range []string{"", "a", "bc", "\xff"} {
					found, _ := l.Lookup(stem)
					for _, tr := range found {
						if tr.Weight > 0 && int(tr.Word) >= table.Vectors() {
							t.Errorf("got word %d of %d", tr.Word, table.Vectors())
						}
					}
				}
			}
		}
	})
}
