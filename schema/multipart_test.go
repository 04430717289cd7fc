package schema

import (
	"testing"

	"pgregory.net/rapid"
)

// TestParts: whatever the size, the parts are what S3 takes and sum up to the file.
func TestParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := MultipartUpload{Size: rapid.Int64Range(1, MaxMultipartSize).Draw(t, "size")}
		u.PartSize = PartSize(u.Size)
		n := u.Parts()
		if n < 1 || n > MaxParts {
			t.Fatalf("%d parts", n)
		}
		if u.PartSize < 5<<20 || u.PartSize > 5<<30 || u.PartSize%(1<<20) != 0 {
			t.Fatalf("a part has %d bytes", u.PartSize)
		}
		var sum int64
		for number := 1; number <= n; number++ {
			length := u.PartLength(number)
			if length < 1 || length > u.PartSize || (number < n && length != u.PartSize) {
				t.Fatalf("part %d of %d has %d bytes", number, n, length)
			}
			sum += length
		}
		if sum != u.Size {
			t.Fatalf("the parts have %d bytes together", sum)
		}
	})
}

// TestPartSize holds the function to the values that clients were told.
func TestPartSize(t *testing.T) {
	for size, want := range map[int64]int64{
		1: 8 << 20, 8 << 20: 8 << 20, 5 << 30: 8 << 20, 800 * 8 << 20: 8 << 20, 800*8<<20 + 1: 9 << 20, MaxMultipartSize: 5 << 30,
	} {
		if got := PartSize(size); got != want {
			t.Errorf("a file of %d bytes has parts of %d, want %d", size, got, want)
		}
	}
}
