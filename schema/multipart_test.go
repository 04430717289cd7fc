package schema

import (
	"testing"

	"pgregory.net/rapid"
)

// TestPartsAreValidForS3 checks that the parts of a file of any size are within the limits of S3
// and add up to the file.
func TestPartsAreValidForS3(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := MultipartUpload{Size: rapid.Int64Range(1, MaxMultipartSize).Draw(t, "size")}
		u.PartSize = PartSize(u.Size)
		n := u.PartCount()
		if n < 1 || n > MaxParts {
			t.Fatalf("got %d parts, want 1 to %d", n, MaxParts)
		}
		if u.PartSize < 5<<20 || u.PartSize > 5<<30 || u.PartSize%(1<<20) != 0 {
			t.Fatalf("got parts of %d bytes, want whole MiB from 5 MiB to 5 GiB", u.PartSize)
		}
		var sum int64
		for number := 1; number <= n; number++ {
			length := u.PartLength(number)
			if length < 1 || length > u.PartSize || (number < n && length != u.PartSize) {
				t.Fatalf("part %d of %d has %d bytes, want at most %d", number, n, length, u.PartSize)
			}
			sum += length
		}
		if sum != u.Size {
			t.Fatalf("the parts have %d bytes in total, want %d", sum, u.Size)
		}
	})
}

// TestPartSize checks the values that the API documents for clients.
func TestPartSize(t *testing.T) {
	for size, want := range map[int64]int64{
		1:                8 << 20,
		8 << 20:          8 << 20,
		5 << 30:          8 << 20,
		800 * 8 << 20:    8 << 20,
		800*8<<20 + 1:    9 << 20,
		MaxMultipartSize: 5 << 30,
	} {
		if got := PartSize(size); got != want {
			t.Errorf("PartSize(%d): got %d, want %d", size, got, want)
		}
	}
}
