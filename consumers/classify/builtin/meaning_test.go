package builtin_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"intray/consumers/classify/builtin"
	"intray/infra/ai"
)

// An English name that is another word in the document's language must keep its English meaning.
func TestEnglishTopicsThatMeanSomethingElse(t *testing.T) {
	text := "Das Finanzamt fordert eine Vorauszahlung von 900 Euro. Die Steuern sind bis zum " +
		"10. März zu zahlen."
	var topics []ai.Topic
	for _, name := range []string{"Tax", "Insurance", "Health", "Travel", "Home", "School"} {
		topics = append(topics, ai.Topic{ID: name, Name: name})
	}
	got := classifier(t).Rank(ai.Request{Text: text, Topics: topics})
	if got[0].TopicID != "Tax" || got[0].Confidence < builtin.MinConfidence {
		t.Errorf("got %v, want Tax with a confidence of at least %d", got, builtin.MinConfidence)
	}
}

// A document must be sorted by what its words mean where it has none of the topics' words. The
// topics are known by their names only, in the document's language and in English. Each line of a
// file has the name of a topic and a document.
func TestMeaningInOtherLanguages(t *testing.T) {
	english := []string{"Sports", "Health", "Politics"}
	files, err := filepath.Glob("testdata/meaning/*.txt")
	if err != nil || len(files) != 6 {
		t.Fatalf("got the files %v, %v, want 6", files, err)
	}
	for _, file := range files {
		all, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var names, texts []string
		for line := range strings.Lines(string(all)) {
			name, text, _ := strings.Cut(strings.TrimSpace(line), ": ")
			names, texts = append(names, name), append(texts, text)
		}
		for _, names := range [][]string{names, english} {
			var topics []ai.Topic
			for i, name := range names {
				topics = append(topics, ai.Topic{ID: english[i], Name: name})
			}
			for i, text := range texts {
				got := classifier(t).Rank(ai.Request{Text: text, Topics: topics})
				if got[0].TopicID != english[i] || got[0].Confidence == got[1].Confidence {
					t.Errorf("%s, %v, %.40q: got %v, want %s first", file, names, text, got, english[i])
				}
			}
		}
	}
}
