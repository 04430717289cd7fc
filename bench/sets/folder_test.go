package sets_test

import (
	"slices"
	"strings"
	"testing"

	"intray/bench/sets"
)

const folderTopics = `[{"name": "Letters", "keywords": ["dear"]},
	{"name": "Bank statements", "description": "Movements of an account"}]`

func TestReadFolder(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, "topics.json", folderTopics)
	write(t, folder, "Letters/1.txt", "Dear John")
	write(t, folder, "Letters/.hidden", "no document")
	write(t, folder, "Bank statements/a", "Balance")
	write(t, folder, ".git/config", "no topic")
	set, err := sets.ReadFolder(folder)
	if err != nil {
		t.Fatal(err)
	}
	want := []sets.Document{
		{Topic: "Bank statements", Text: "Balance"}, {Topic: "Letters", Text: "Dear John"},
	}
	if !slices.Equal(set.Documents, want) {
		t.Errorf("got documents %q, want %q", set.Documents, want)
	}
	letters, statements := set.Topics[0], set.Topics[1]
	if letters.ID != "Letters" || letters.Name != "Letters" || letters.Keywords[0] != "dear" ||
		statements.Description != "Movements of an account" {
		t.Errorf("got topics %+v, want those of topics.json", set.Topics)
	}
}

func TestReadFolderRefusesIncompleteSets(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"no topics":     {map[string]string{"Letters/1.txt": "x"}, "topics.json"},
		"unknown topic": {map[string]string{"topics.json": folderTopics, "Mail/1.txt": "x"}, `"Mail"`},
		"no documents":  {map[string]string{"topics.json": folderTopics}, "no documents"},
		"equal names": {
			map[string]string{"topics.json": `[{"name": "A"}, {"name": "A"}]`, "A/1.txt": "x"}, "twice",
		},
		"no name": {map[string]string{"topics.json": `[{}]`}, "empty"},
	} {
		folder := t.TempDir()
		for file, content := range c.files {
			write(t, folder, file, content)
		}
		if _, err := sets.ReadFolder(folder); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want one with %q", name, err, c.want)
		}
	}
}

// The baselines must find topics that are easy to find, or they are no comparison.
func TestBaselines(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, "topics.json", `[{"name": "Bread", "keywords": ["flour", "yeast"]},
		{"name": "Boats", "keywords": ["sail", "mast"]}]`)
	for i, text := range []string{"the flour and the yeast", "yeast dough", "an oven and flour"} {
		write(t, folder, "Bread/"+string(rune('a'+i)), text)
	}
	for i, text := range []string{"the sail and the mast", "mast and rope", "a sail in the wind"} {
		write(t, folder, "Boats/"+string(rune('a'+i)), text)
	}
	set, err := sets.ReadFolder(folder)
	if err != nil {
		t.Fatal(err)
	}
	if got := sets.BM25(set); got != 1 {
		t.Errorf("BM25: got %v right, want all", got)
	}
	if got := sets.Logistic(set, set, 3); got != 1 {
		t.Errorf("logistic regression: got %v right, want all", got)
	}
	if got := sets.Logistic(set, set, 0); got > 0.5 {
		t.Errorf("logistic regression without examples: got %v right, want half", got)
	}
}
