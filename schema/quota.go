package schema

import "github.com/google/uuid"

// DefaultQuota is the limit of a new user in bytes, 100 MiB, unless the settings specify another.
const DefaultQuota = 100 << 20

// Quota is the limit and the usage of one user. At every commit, UsedBytes is the sum of
// Document.ChargedBytes over the user's documents.
type Quota struct {
	UserID uuid.UUID `db:"user_id"`
	// LimitBytes may be lowered below UsedBytes. Then no further document fits.
	LimitBytes int64 `db:"limit_bytes"`
	UsedBytes  int64 `db:"used_bytes"`
}

// Fits reports whether size additional bytes can be charged.
func (q Quota) Fits(size int64) bool {
	return size >= 0 && size <= q.LimitBytes-q.UsedBytes
}

// Remaining returns how many bytes can still be charged. It is never negative.
func (q Quota) Remaining() int64 {
	return max(0, q.LimitBytes-q.UsedBytes)
}
