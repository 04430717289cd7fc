package main

import (
	"maps"
	"strings"
	"testing"
)

// vector returns the JSON of the 102 numbers of a word, which begin with first.
func vector(first string) string { return "[" + first + strings.Repeat(",0.5", 101) + "]" }

func TestReadKeepsTheMostFrequentWords(t *testing.T) {
	source := `{"precision":8,"size":6,"words":["the",",","e-mail","42","tax","rare"],"vectors":{
		"tax":` + vector("1") + `,",":` + vector("2") + `,
		"rare":` + vector("3") + `,"the":` + vector("4") + `},"unkVector":[0]}`
	words, err := read(strings.NewReader(source), 2)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, w := range words {
		got[w.Text] = w.Rank
	}
	if want := map[string]int{"tax": 4, "the": 0}; !maps.Equal(got, want) {
		t.Fatalf("got words with ranks %v, want %v", got, want)
	}
	if v := words[0].Vector; words[0].Text != "tax" || len(v) != 100 || v[0] != 1 {
		t.Errorf("got first word %q with vector %v, want tax with 100 numbers of which the first is 1",
			words[0].Text, v)
	}
}

func TestReadFailsOnInvalidSources(t *testing.T) {
	for name, source := range map[string]string{
		"empty":                ``,
		"empty object":         `{}`,
		"no vectors":           `{"words":["tax"]}`,
		"vectors before words": `{"vectors":{},"words":["tax"]}`,
		"word without vector":  `{"words":["tax"],"vectors":{}}`,
		"short vector":         `{"words":["tax"],"vectors":{"tax":[1,2]}}`,
		"vector is a string":   `{"words":["tax"],"vectors":{"tax":"x"}}`,
		"truncated":            `{"words":["tax"],"vectors":{"tax":[1,`,
	} {
		t.Run(name, func(t *testing.T) {
			if words, err := read(strings.NewReader(source), 1); err == nil {
				t.Errorf("got %v and no error, want an error", words)
			}
		})
	}
}
