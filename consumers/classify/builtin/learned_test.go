package builtin_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"intray/infra/ai"
)

func example(t *testing.T, text string) []byte {
	t.Helper()
	answer, err := classifier(t).Classify(t.Context(), ai.Request{Text: text})
	if err != nil {
		t.Fatal(err)
	}
	return answer.Example
}

var (
	bread  = []string{"Knead the dough and let the yeast rise.", "Bake the loaf until its crust is brown.", "Flour, water, salt and sourdough make bread.", "The baker sells rye rolls at dawn."}
	sailor = []string{"Hoist the mainsail and mind the boom.", "The yacht heeled over in the gale.", "Tie the mooring rope to the harbor wall.", "The skipper read the tide tables."}
)

const loaf = "A loaf of sourdough bread, its crust brown, from flour, yeast and water; knead and bake."

// taught has two topics whose names say nothing, with n examples each.
func taught(t *testing.T, n int) []ai.Topic {
	topics := []ai.Topic{{ID: "q", Name: "Folder Q"}, {ID: "z", Name: "Folder Z"}}
	for i := range n {
		topics[0].Examples = append(topics[0].Examples, example(t, bread[i]))
		topics[1].Examples = append(topics[1].Examples, example(t, sailor[i]))
	}
	return topics
}

func TestExamplesTeachWhatNamesDoNotSay(t *testing.T) {
	req := ai.Request{Text: loaf, Topics: taught(t, 4)}
	if got := classify(t, req); !slices.Equal(ids(got), []string{"q"}) {
		t.Errorf("got %v, want q", got)
	}
	req.Topics = taught(t, 0)
	if got := classify(t, req); len(got) > 0 {
		t.Errorf("untaught: got %v", got)
	}
}

func TestMoreExamplesMakeSurer(t *testing.T) {
	confidence := func(n int) int {
		return classifier(t).Rank(ai.Request{Text: loaf, Topics: taught(t, n)})[0].Confidence
	}
	if none, two, four := confidence(0), confidence(2), confidence(4); none >= two || two >= four {
		t.Errorf("confidences %d, %d, %d with 0, 2 and 4 examples", none, two, four)
	}
}

func TestOneTaughtTopicAmongOthersIsEnough(t *testing.T) {
	topics := append(taught(t, 4), ai.Topic{ID: "x", Name: "Folder X"}, ai.Topic{ID: "y", Name: "Folder Y"})
	topics[1].Examples = nil
	if got := classifier(t).Rank(ai.Request{Text: loaf, Topics: topics}); got[0].TopicID != "q" || got[0].Confidence <= 2*got[1].Confidence {
		t.Errorf("a text like the examples: %v", got)
	}
	far := strings.Join(sailor, " ")
	if got := classify(t, ai.Request{Text: far, Topics: topics}); len(got) > 0 {
		t.Errorf("a text unlike all examples: %v", got)
	}
}

// yard are a sender's invoices, which a user keeps with the boat that they are for.
var yard = []string{
	"Invoice 2031. Antifouling and polishing of the hull, yacht Albatros. Amount due 420.00.",
	"Invoice 2044. New mooring lines and fenders, yacht Albatros. Amount due 88.50.",
	"Invoice 2052. Winter storage ashore, mast unstepped, yacht Albatros. Amount due 1,150.00.",
	"Invoice 2060. Engine service: impeller, oil and anodes, yacht Albatros. Amount due 310.00.",
	"Invoice 2071. Repair of the mainsail, two new battens, yacht Albatros. Amount due 265.00.",
	"Invoice 2083. Crane, launching and stepping the mast, yacht Albatros. Amount due 240.00.",
	"Invoice 2090. Rigging check, new shroud and turnbuckle, yacht Albatros. Amount due 530.00.",
	"Invoice 2102. Bilge pump and float switch fitted, yacht Albatros. Amount due 175.00.",
}

func TestASeriesSortedByHandGoesOnInItsNewTopic(t *testing.T) {
	boat := ai.Topic{ID: "boat", Name: "Boat"}
	next := ai.Request{Text: "Invoice 2115. Hull washed, anodes and propeller renewed, yacht Albatros. Amount due 198.00.", Topics: append(slices.Clip(starter), boat)}
	if got := classifier(t).Rank(next); got[0].TopicID != "invoices" {
		t.Fatalf("before anything was sorted by hand: %v", got)
	}
	for _, text := range yard {
		boat.Examples = append(boat.Examples, example(t, text))
	}
	next.Topics = append(slices.Clip(starter), boat)
	if got := classify(t, next); len(got) == 0 || got[0].TopicID != "boat" {
		t.Errorf("the next of the series: %v", got)
	}
	other := ai.Request{Text: "Invoice 77-A. Web hosting and domain, one year. Payment terms: net 30 days. Amount due 60.00.", Topics: next.Topics}
	if got := classify(t, other); !slices.Equal(ids(got), []string{"invoices"}) {
		t.Errorf("an invoice of somebody else: %v", got)
	}
}

// What is common to all examples tells no topic from another.
func TestWordsOfEveryExampleTeachNothing(t *testing.T) {
	const letterhead = "Example Trading Company, 12 Harbor Road, Halden. Telephone, bank details and registration overleaf. "
	topics := []ai.Topic{{ID: "q", Name: "Folder Q"}, {ID: "z", Name: "Folder Z"}}
	for i := range bread {
		topics[0].Examples = append(topics[0].Examples, example(t, letterhead+bread[i]))
		topics[1].Examples = append(topics[1].Examples, example(t, letterhead+sailor[i]))
	}
	if got := classify(t, ai.Request{Text: letterhead, Topics: topics}); len(got) > 0 {
		t.Errorf("the letterhead alone: %v", got)
	}
	if got := classifier(t).Rank(ai.Request{Text: letterhead + loaf, Topics: topics}); got[0].TopicID != "q" {
		t.Errorf("the letterhead and a text of the first kind: %v", got)
	}
}

func TestWhatIsNoExampleTeachesNothing(t *testing.T) {
	req := ai.Request{Text: loaf, Topics: taught(t, 4)}
	want := classifier(t).Rank(req)
	for i := range req.Topics {
		req.Topics[i].Examples = append([][]byte{nil, {}, []byte("too short"), bytes.Repeat([]byte{2}, 228), bytes.Repeat([]byte{1}, 201), bytes.Repeat([]byte{2}, 5001)}, req.Topics[i].Examples...)
	}
	if got := classifier(t).Rank(req); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAnExampleIsSmallAndHoldsNoText(t *testing.T) {
	if e := example(t, " \n"); e != nil {
		t.Errorf("a text without words has an example of %d bytes", len(e))
	}
	text := strings.Repeat("confidential salary of Ms. Zyxwvut ", 2000)
	e := example(t, text)
	if len(e) == 0 || len(e) > 357 {
		t.Errorf("an example of %d bytes", len(e))
	}
	for word := range strings.FieldsSeq(text) {
		if len(word) > 3 && bytes.Contains(e, []byte(word)) {
			t.Fatalf("it holds %q", word)
		}
	}
	if !bytes.Equal(e, example(t, text)) {
		t.Error("the same text gives another example")
	}
}
