package builtin_test

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"

	"intray/consumers/classify/builtin"
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
	bakingTexts = []string{
		"Knead the dough and let the yeast rise.",
		"Bake the loaf until its crust is brown.",
		"Flour, water, salt and sourdough make bread.",
		"The baker sells rye rolls at dawn.",
	}
	sailingTexts = []string{
		"Hoist the mainsail and mind the boom.",
		"The yacht heeled over in the gale.",
		"Tie the mooring rope to the harbor wall.",
		"The skipper read the tide tables.",
	}
)

// loaf is a text like the bakingTexts.
const loaf = "A loaf of sourdough bread, its crust brown, " +
	"from flour, yeast and water; knead and bake."

// trainedTopics returns two topics, q for baking and z for sailing, with n examples each. Their
// names do not describe them.
func trainedTopics(t *testing.T, n int) []ai.Topic {
	topics := []ai.Topic{{ID: "q", Name: "Folder Q"}, {ID: "z", Name: "Folder Z"}}
	for i := range n {
		topics[0].Examples = append(topics[0].Examples, example(t, bakingTexts[i]))
		topics[1].Examples = append(topics[1].Examples, example(t, sailingTexts[i]))
	}
	return topics
}

func TestExamplesAreEnoughWithoutDescriptiveNames(t *testing.T) {
	req := ai.Request{Text: loaf, Topics: trainedTopics(t, 4)}
	if got := ids(classify(t, req)); !slices.Equal(got, []string{"q"}) {
		t.Errorf("with examples: got topics %v, want q", got)
	}
	req.Topics = trainedTopics(t, 0)
	if got := ids(classify(t, req)); len(got) > 0 {
		t.Errorf("without examples: got topics %v, want none", got)
	}
}

func TestMoreExamplesRaiseTheConfidence(t *testing.T) {
	confidence := func(n int) int {
		req := ai.Request{Text: loaf, Topics: trainedTopics(t, n)}
		return classifier(t).Rank(req)[0].Confidence
	}
	if none, two, four := confidence(0), confidence(2), confidence(4); none >= two || two >= four {
		t.Errorf("got confidences %d, %d and %d with 0, 2 and 4 examples, want ascending",
			none, two, four)
	}
}

func TestOneTopicWithExamplesAmongTopicsWithout(t *testing.T) {
	topics := append(trainedTopics(t, 4),
		ai.Topic{ID: "x", Name: "Folder X"}, ai.Topic{ID: "y", Name: "Folder Y"})
	topics[1].Examples = nil
	got := classifier(t).Rank(ai.Request{Text: loaf, Topics: topics})
	if got[0].TopicID != "q" || got[0].Confidence <= 2*got[1].Confidence {
		t.Errorf("text like the examples: got %v, want q, with twice the confidence of the next", got)
	}
	unlike := ai.Request{Text: strings.Join(sailingTexts, " "), Topics: topics}
	if got := ids(classify(t, unlike)); len(got) > 0 {
		t.Errorf("text unlike the examples: got topics %v, want none", got)
	}
}

// boatInvoices are the invoices for one boat, which its owner keeps apart from other invoices.
var boatInvoices = []string{
	"Invoice 2031. Antifouling and polishing of the hull, yacht Albatros. Amount due 420.00.",
	"Invoice 2044. New mooring lines and fenders, yacht Albatros. Amount due 88.50.",
	"Invoice 2052. Winter storage ashore, mast unstepped, yacht Albatros. Amount due 1,150.00.",
	"Invoice 2060. Engine service: impeller, oil and anodes, yacht Albatros. Amount due 310.00.",
	"Invoice 2071. Repair of the mainsail, two new battens, yacht Albatros. Amount due 265.00.",
	"Invoice 2083. Crane, launching and stepping the mast, yacht Albatros. Amount due 240.00.",
	"Invoice 2090. Rigging check, new shroud and turnbuckle, yacht Albatros. Amount due 530.00.",
	"Invoice 2102. Bilge pump and float switch fitted, yacht Albatros. Amount due 175.00.",
}

func TestExamplesOverrideTheKeywordsOfAnotherTopic(t *testing.T) {
	boat := ai.Topic{ID: "boat", Name: "Boat"}
	next := ai.Request{
		Text: "Invoice 2115. Hull washed, anodes and propeller renewed, yacht Albatros. " +
			"Amount due 198.00.",
		Topics: append(slices.Clip(starter), boat),
	}
	if got := classifier(t).Rank(next); got[0].TopicID != "invoices" {
		t.Fatalf("without examples: got %v, want invoices first", got)
	}
	for _, text := range boatInvoices {
		boat.Examples = append(boat.Examples, example(t, text))
	}
	next.Topics = append(slices.Clip(starter), boat)
	if got := ids(classify(t, next)); len(got) == 0 || got[0] != "boat" {
		t.Errorf("next invoice for the boat: got topics %v, want boat first", got)
	}
	other := ai.Request{
		Text: "Invoice 77-A. Web hosting and domain, one year. Payment terms: net 30 days. " +
			"Amount due 60.00.",
		Topics: next.Topics,
	}
	if got := ids(classify(t, other)); !slices.Equal(got, []string{"invoices"}) {
		t.Errorf("another sender's invoice: got topics %v, want invoices", got)
	}
}

func TestWordsInAllExamplesDoNotDistinguishTopics(t *testing.T) {
	const letterhead = "Example Trading Company, 12 Harbor Road, Halden. " +
		"Telephone, bank details and registration overleaf. "
	topics := []ai.Topic{{ID: "q", Name: "Folder Q"}, {ID: "z", Name: "Folder Z"}}
	for i := range bakingTexts {
		topics[0].Examples = append(topics[0].Examples, example(t, letterhead+bakingTexts[i]))
		topics[1].Examples = append(topics[1].Examples, example(t, letterhead+sailingTexts[i]))
	}
	alone := ai.Request{Text: letterhead, Topics: topics}
	if got := ids(classify(t, alone)); len(got) > 0 {
		t.Errorf("the letterhead alone: got topics %v, want none", got)
	}
	withLoaf := ai.Request{Text: letterhead + loaf, Topics: topics}
	if got := classifier(t).Rank(withLoaf); got[0].TopicID != "q" {
		t.Errorf("the letterhead with a text on baking: got %v, want q first", got)
	}
}

func TestInvalidExamplesAreIgnored(t *testing.T) {
	req := ai.Request{Text: loaf, Topics: trainedTopics(t, 4)}
	want := classifier(t).Rank(req)
	invalid := [][]byte{
		nil,
		{},
		[]byte("too short"),
		bytes.Repeat([]byte{3}, 228),  // half an entry at the end
		bytes.Repeat([]byte{2}, 201),  // another version
		bytes.Repeat([]byte{3}, 5001), // too many entries
	}
	for i := range req.Topics {
		req.Topics[i].Examples = slices.Concat(invalid, req.Topics[i].Examples)
	}
	if got := classifier(t).Rank(req); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v, as without the invalid examples", got, want)
	}
}

func TestExampleIsSmallAndContainsNoText(t *testing.T) {
	if got := example(t, " \n"); got != nil {
		t.Errorf("text without words: got an example of %d bytes, want none", len(got))
	}
	text := strings.Repeat("confidential salary of Ms. Zyxwvut ", 2000)
	e := example(t, text)
	if len(e) == 0 || len(e) > 613 {
		t.Errorf("got an example of %d bytes, want 1 to 613", len(e))
	}
	for word := range strings.FieldsSeq(text) {
		if len(word) > 3 && bytes.Contains(e, []byte(word)) {
			t.Fatalf("the example contains the word %q", word)
		}
	}
	if !bytes.Equal(e, example(t, text)) {
		t.Error("the same text gave two different examples")
	}
}

// What similar examples say about a topic has a weight of its own where other topics have none.
func TestNeighborTrainingMarginNeedsUnequalTraining(t *testing.T) {
	margin := func(topics []ai.Topic) float64 {
		req := ai.Request{Text: loaf, Topics: topics}
		return classifier(t).Features(req, false)[0][builtin.NeighborTrainingMargin]
	}
	topics := trainedTopics(t, 4)
	if got := margin(topics); got != 0 {
		t.Errorf("with examples of both topics: got %v, want 0", got)
	}
	topics[1].Examples = nil
	if got := margin(topics); got <= 0 {
		t.Errorf("with examples of the right topic only: got %v, want more than 0", got)
	}
}
