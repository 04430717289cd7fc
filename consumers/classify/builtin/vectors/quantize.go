package vectors

import "math"

// appendInt8 appends the vector's direction, a byte a dimension. The scale is
// the vector's own, so that rare words with small numbers lose no precision.
func appendInt8(to []byte, vector []float64) []byte {
	var largest float64
	for _, x := range vector {
		largest = max(largest, math.Abs(x))
	}
	for _, x := range vector {
		var q int8
		if largest > 0 {
			q = int8(math.Round(x / largest * math.MaxInt8))
		}
		to = append(to, byte(q))
	}
	return to
}
