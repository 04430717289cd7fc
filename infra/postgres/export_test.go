package postgres

import "github.com/jmoiron/sqlx"

// Pool returns the connections of a DB.
func (db *DB) Pool() *sqlx.DB { return db.pool }
