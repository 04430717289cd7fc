package main

import (
	"os"
	"path/filepath"
	"testing"

	"intray/consumers/classify/builtin/vectors"
)

// wordnet writes the files of a small WordNet and returns their folder.
func wordnet(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	for name, text := range map[string]string{
		"index.noun": "  1 This line belongs to the license.\n" +
			"bill n 2 2 @ ~ 2 1 06516955 01441100\n" +
			"invoice n 1 1 @ 1 0 06516955\n" +
			"beak n 1 1 @ 1 1 01441100\n" +
			"bank_account n 1 1 @ 1 1 13359690\n",
		"index.verb": "", "index.adj": "", "index.adv": "",
		"cntlist.rev": "bill%1:10:01:: 1 99\nbill%1:05:00:: 2 3\nbeak%1:05:00:: 1 15\n",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func TestTranslations(t *testing.T) {
	synsets, err := readWordNet(wordnet(t))
	if err != nil {
		t.Fatal(err)
	}
	table, err := vectors.Open()
	if err != nil {
		t.Fatal(err)
	}
	found := translations("de", []string{
		"# Wiktionary\tdeu\thttp://wiktionary.org/\tCC BY-SA",
		"06516955-n\tdeu:lemma\tRechnung",
		"06516955-n\tdeu:lemma\tRechnung",
		"06516955-n\tdeu:lemma\toffene Rechnung", // a phrase
		"01441100-n\tdeu:lemma\tSchnabel",
		"13359690-n\tdeu:lemma\tKonto",
		"06516955-n\tdeu:lemma\tund", // a stop word
		"99999999-n\tdeu:lemma\tUnbekanntes",
		"06516955-n\tdeu:exe\tBeispiel",
	}, synsets, table)
	got := make(map[string]map[string]float64)
	for stem, all := range found {
		got[stem] = make(map[string]float64)
		for _, translation := range all {
			for _, word := range []string{"bill", "invoice", "beak", "bank", "account"} {
				if index, _ := table.Lookup(word); index == int(translation.Word) {
					got[stem][word] = float64(translation.Weight)
				}
			}
		}
	}
	want := map[string]map[string]float64{
		"rechnung": {"bill": 5, "invoice": 0.5},
		"schnabel": {"bill": 1, "beak": 2},
		"konto":    {"bank": 0.5, "account": 0.5},
	}
	if len(got) != len(want) {
		t.Errorf("got the stems %v, want %v", got, want)
	}
	for stem, words := range want {
		for word, weight := range words {
			if got[stem][word] != weight {
				t.Errorf("%s: got weight %v for %s, want %v", stem, got[stem][word], word, weight)
			}
		}
	}
}

func TestReadWordNetFails(t *testing.T) {
	for name, text := range map[string]string{
		"index.noun":  "bill n x 2 @ ~ 2 1 06516955 01441100\n",
		"index.verb":  "pay v 9 1 @ 1 0 06516955\n",
		"cntlist.rev": "bill%1:10:01:: one 9\n",
		"index.adj":   "", // absent
	} {
		folder := wordnet(t)
		file := filepath.Join(folder, name)
		err := os.WriteFile(file, []byte(text), 0o600)
		if text == "" {
			err = os.Remove(file)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := readWordNet(folder); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}
