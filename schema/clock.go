package schema

import "time"

// Now returns the current time, converted by [StoredTime].
func Now() time.Time { return StoredTime(time.Now()) }

// StoredTime returns t in UTC, truncated to microseconds, which is the precision that PostgreSQL
// stores. A time that is compared with a stored one must be truncated in the same way.
func StoredTime(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
