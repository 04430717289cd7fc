package builtin

// background is the mean direction of documents in general, times backgroundScale: that
// of the tuning halves of package bench's sets, each of which weighs the same.
var background = [...]int8{
	-8, 28, 11, 8, 17, -7, -14, 2, -3, 1, 21, -15, 15, -8, 1, -6, 5, 8, -8, 9,
	0, -15, 0, -6, -3, -22, 4, -7, -3, 2, 9, 43, -25, -16, 20, 11, -5, -10, -3, -9,
	-7, -32, -2, -13, 2, -11, -8, -7, -10, -53, 23, 4, 9, 50, 13, -123, -3, -18, 127, 16,
	-4, 28, -25, -5, 48, -1, 0, 3, 28, -6, -5, 7, 4, -15, 15, 6, -4, 2, -39, -7,
	29, -3, -24, 0, -85, 8, 14, -22, 3, -4, -11, 9, 2, -10, -21, 8, -7, -23, 51, 4,
}

const backgroundScale = 327.5
