package schema

import "github.com/google/uuid"

// DefaultQuota is a new user's limit in bytes, unless the settings say
// otherwise: 100 MiB.
const DefaultQuota = 100 << 20

// Quota is one user's limit and use. UsedBytes is at every commit the sum of
// ChargedBytes over the user's documents.
type Quota struct {
	UserID uuid.UUID `db:"user_id"`
	// LimitBytes may be lowered below UsedBytes; then nothing more fits.
	LimitBytes int64 `db:"limit_bytes"`
	UsedBytes  int64 `db:"used_bytes"`
}

// Fits reports whether size more bytes can be charged.
func (q Quota) Fits(size int64) bool {
	return size >= 0 && size <= q.LimitBytes-q.UsedBytes
}

// Left is how many bytes can still be charged, never negative.
func (q Quota) Left() int64 {
	return max(0, q.LimitBytes-q.UsedBytes)
}
