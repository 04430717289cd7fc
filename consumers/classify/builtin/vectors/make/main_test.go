package main

import (
	"strings"
	"testing"
)

// vector is the JSON of a word's 102 numbers, the first of which is given.
func vector(first string) string { return "[" + first + strings.Repeat(",0.5", 101) + "]" }

func TestReadKeepsTheMostFrequentWordsThatATokenizerYields(t *testing.T) {
	source := `{"precision":8,"size":6,"words":["the",",","e-mail","42","tax","rare"],"vectors":{
		"tax":` + vector("1") + `,",":` + vector("2") + `,"rare":` + vector("3") + `,"the":` + vector("4") + `},"unkVector":[0]}`
	words, err := read(strings.NewReader(source), 2)
	if err != nil {
		t.Fatal(err)
	}
	if len(words) != 2 || words[0].Text != "tax" || words[0].Rank != 4 || words[1].Text != "the" || words[1].Rank != 0 {
		t.Fatalf("got %v", words)
	}
	if v := words[0].Vector; len(v) != 100 || v[0] != 1 {
		t.Errorf("vector %v", v)
	}
}

func TestReadRefusesWhatItDoesNotUnderstand(t *testing.T) {
	for _, source := range []string{
		``, `{}`, `{"words":["tax"]}`, `{"vectors":{},"words":["tax"]}`, `{"words":["tax"],"vectors":{}}`,
		`{"words":["tax"],"vectors":{"tax":[1,2]}}`, `{"words":["tax"],"vectors":{"tax":"x"}}`, `{"words":["tax"],"vectors":{"tax":[1,`,
	} {
		words, err := read(strings.NewReader(source), 1)
		if err == nil {
			t.Errorf("%.60s: got %v and no error", source, words)
		}
	}
}
