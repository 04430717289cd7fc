package api

import (
	"math/big"
	"regexp"
)

var (
	// unusualNumber matches what may be a number with a fraction or an exponent, or part of a string.
	unusualNumber = regexp.MustCompile(`[0-9](?:\.[0-9]|[eE])`)
	// stringOrNumber matches the strings and the numbers of a JSON text.
	stringOrNumber = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?`)
	// hugeExponent matches an exponent of three digits or more. No number with it fits into 64 bits,
	// and computing it could take long.
	hugeExponent = regexp.MustCompile(`[eE][+-]?0*[1-9][0-9]{2}`)
)

// plainIntegers returns a JSON text in which every number that is a whole number has neither a
// fraction nor an exponent: 1e3 and 1000.0 become 1000. Numbers that do not fit into 64 bits are
// left as they are.
func plainIntegers(text []byte) []byte {
	return stringOrNumber.ReplaceAllFunc(text, func(token []byte) []byte {
		if token[0] == '"' || !unusualNumber.Match(token) || hugeExponent.Match(token) {
			return token
		}
		number, ok := new(big.Rat).SetString(string(token))
		if !ok || !number.IsInt() || !number.Num().IsInt64() {
			return token
		}
		return []byte(number.Num().String())
	})
}
