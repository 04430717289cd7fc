package postgres

import (
	"time"

	"github.com/jmoiron/sqlx"
)

// Pool returns the connections of a DB.
func (db *DB) Pool() *sqlx.DB { return db.pool }

// SetLeaseTTL sets how long the leases of a DB last.
func (db *DB) SetLeaseTTL(d time.Duration) { db.leaseTTL = d }
