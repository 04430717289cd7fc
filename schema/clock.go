package schema

import "time"

// Now returns the current time as [StoredTime] gives it.
func Now() time.Time { return StoredTime(time.Now()) }

// StoredTime returns t in UTC and as precise as PostgreSQL stores it. PostgreSQL keeps microseconds,
// so a time that is compared with a stored one must not hold more.
func StoredTime(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
