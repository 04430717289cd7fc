package postgres

import "testing"

func TestTopicKey(t *testing.T) {
	for _, same := range [][]string{
		{"Invoices", "invoice", "INVOICE", " invoices ", "Ｉｎｖｏｉｃｅｓ"},
		{"Bank statements", "bank-statement", "Bank  Statement"},
		{"Research & Development", "research and development"},
		{"Policies", "policy"},
		{"Boxes", "box"},
		{"Straße", "STRASSE"},
		{"CVs", "cvs"},
		{"&", " & "},
	} {
		for _, other := range same[1:] {
			if topicKey(same[0]) != topicKey(other) {
				t.Errorf("%q has the key %q and %q has %q, want equal keys",
					same[0], topicKey(same[0]), other, topicKey(other))
			}
		}
	}
	for _, differ := range [][2]string{
		{"Tax", "Taxi"}, {"Glass", "Gla"}, {"Bus", "Bu"}, {"Analysis", "Analysi"}, {"Año", "Ano"},
		{"Letters", "Meters"}, {"&", "-"},
	} {
		if topicKey(differ[0]) == topicKey(differ[1]) {
			t.Errorf("%q and %q have the key %q, want different keys",
				differ[0], differ[1], topicKey(differ[0]))
		}
	}
}
