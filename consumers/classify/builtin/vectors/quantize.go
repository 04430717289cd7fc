package vectors

import "math"

// appendInt8 appends the vector's direction, one byte for each dimension. Each vector is scaled by
// its own largest number, so that the small numbers of rare words lose no precision.
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
