package builtin

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLanguageOfSamples(t *testing.T) {
	for code, want := range map[string]language{
		"de": german, "fr": french, "es": spanish, "it": italian, "nl": dutch, "pl": polish,
		"ru": russian,
	} {
		file, err := os.ReadFile(filepath.Join("testdata", "languages", code+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		for i, text := range strings.Split(string(file), "\n== ") {
			if got, _ := splitWords(text).counter.languages(); got != want {
				t.Errorf("%s, document %d: got language %d, want %d", code, i, got, want)
			}
		}
	}
	for _, folder := range []string{"fits", "none"} {
		files, err := filepath.Glob(filepath.Join("testdata", folder, "*.txt"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no samples in %s: %v", folder, err)
		}
		for _, name := range files {
			file, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := splitWords(string(file)).counter.languages(); got != english {
				t.Errorf("%s: got language %d, want English", name, got)
			}
		}
	}
}

func TestLanguagesOfMixedText(t *testing.T) {
	const text = "The tenant pays the rent on the first day of each month and keeps the flat clean. " +
		"Der Mieter zahlt die Miete am ersten Tag des Monats und hält die Wohnung sauber."
	_, all := splitWords(text).counter.languages()
	if want := setOf(english) | setOf(german); all != want {
		t.Errorf("got languages %b, want %b", all, want)
	}
}

func TestPolishEndings(t *testing.T) {
	for _, forms := range []string{
		"faktura faktury fakturę", "umowa umowy umową", "rachunek rachunku rachunkiem",
	} {
		words := strings.Fields(forms)
		for _, word := range words[1:] {
			if got, want := stemPolish(word), stemPolish(words[0]); got != want {
				t.Errorf("%q has the stem %q, %q has %q, want equal stems", word, got, words[0], want)
			}
		}
	}
}
