package api

import (
	"strings"

	"intray/schema"
)

// commonWords are passwords, and words in them, that every list of the most common passwords has.
// Attackers try them, and what they are put together to, first (NIST SP 800-63B, section 5.1.1.2).
var commonWords = strings.Fields(`
	access admin administrator baseball batman changeme charlie computer correct daniel default
	donald dragon football freedom george guest hallo hello horse battery staple hunter iloveyou
	intray jessica jordan letmein liverpool login loveme lovely master michael monkey mustang ninja
	passw0rd password passwort pokemon princess qazwsx ranger root secret shadow solo starwars
	summer sunshine superman test thomas trustno1 user welcome whatever winter`)

// commonSequences are rows of keys and characters of which people take a part.
var commonSequences = []string{
	"01234567890", "09876543210", "abcdefghijklmnopqrstuvwxyz", "qwertyuiop", "qwertzuiop",
	"azertyuiop", "asdfghjkl", "zxcvbnm", "yxcvbnm", "1q2w3e4r5t6y7u8i9o0p",
	"1qaz2wsx3edc4rfv5tgb6yhn7ujm",
}

// shortestSequence is the length from which a part of a sequence or a repeated character is one.
const shortestSequence = 3

// longestTail is how many digits and marks at the end of a password do not count.
const longestTail = 5

// separators are the characters that people put between words.
var separators = strings.NewReplacer(" ", "", "-", "", "_", "", ".", "")

// isCommon reports whether a password consists of nothing but common words, sequences and repeated
// characters, with or without separators, whatever their case is.
func isCommon(password string) bool {
	text := separators.Replace(schema.FoldCase(password))
	ends := make([]bool, len(text)+1) // where a piece can end
	ends[0] = true
	for start := range text {
		if !ends[start] {
			continue
		}
		rest := text[start:]
		for _, word := range commonWords {
			if strings.HasPrefix(rest, word) {
				ends[start+len(word)] = true
			}
		}
		for n := shortestSequence; n <= len(rest) && isSequence(rest[:n]); n++ {
			ends[start+n] = true
		}
	}
	// A year or some digits at the end make it no better.
	for end := len(text); end > 0 && end >= len(text)-longestTail; end-- {
		if ends[end] {
			return true
		}
		if !strings.Contains("0123456789!?", text[end-1:end]) {
			return false
		}
	}
	return false
}

// isSequence reports whether s is a part of a common sequence or one repeated byte.
func isSequence(s string) bool {
	if strings.Count(s, s[:1]) == len(s) {
		return true
	}
	for _, sequence := range commonSequences {
		if strings.Contains(sequence, s) {
			return true
		}
	}
	return false
}
