package postgres

import (
	"context"
	"database/sql"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// Pool returns the connections of a DB.
func (db *DB) Pool() *sqlx.DB { return db.pool }

// NoteContention records a lock timeout.
func (db *DB) NoteContention() { db.contention.note() }

// SetLeaseTTL sets how long the leases of a DB last.
func (db *DB) SetLeaseTTL(d time.Duration) { db.leaseTTL = d }

// SetListenerPing sets the interval of pings on the connections of later calls of ListenDeletions.
func (db *DB) SetListenerPing(d time.Duration) { db.listenerPing = d }

// OpenObserved returns a DB like [Open] with settings for its sessions, whose connections pass each
// notice of the server to handle.
func OpenObserved(url string, settings map[string]string, handle func(*pq.Error)) (*DB, error) {
	db, err := Open(url, Options{})
	if err != nil {
		return nil, err
	}
	_ = db.pool.Close()
	config, err := pq.NewConfig(url)
	if err != nil {
		return nil, err
	}
	config.BinaryParameters = true
	config.Runtime = settings
	connector, err := pq.NewConnectorConfig(config)
	if err != nil {
		return nil, err
	}
	db.pool = sqlx.NewDb(sql.OpenDB(pq.ConnectorWithNoticeHandler(connector, handle)), "postgres")
	db.pool.SetMaxOpenConns(2)
	return db, nil
}

// ProofTTL is how long a proof is valid.
const ProofTTL = proofTTL

// SetAuth makes a DB bind to users with the proofs of auth.
func (db *DB) SetAuth(auth *Auth) { db.auth = auth }

// AuthOf returns an Auth that uses the connections of a DB with the role auth.
func AuthOf(db *DB) *Auth { return &Auth{db: db} }

// MAC returns the proof of a user that expires at a time, in seconds since 1970.
func MAC(key []byte, user uuid.UUID, expires int64) []byte { return prover{key, expires}.mac(user) }

// ObserveSessions observes two connections to the address one after the other, as verify does. If
// used is set, another statement is executed in the session of the first one in between, as by
// somebody else.
func ObserveSessions(ctx context.Context, url string, used bool) error {
	a, err := parse(url)
	if err != nil {
		return err
	}
	c, err := newConnector(a.config, timeoutDialer{}, nil)
	if err != nil {
		return err
	}
	var sessions [2]*session
	for i := range sessions {
		if sessions[i], err = open(ctx, c.pq); err != nil {
			return err
		}
		defer func() { _ = sessions[i].Close() }()
	}
	first, err := sessions[0].observe(ctx, observation{}, observation{})
	if err == nil && used {
		_, err = sessions[0].value(ctx, `SELECT 1`)
	}
	if err == nil {
		_, err = sessions[1].observe(ctx, observation{}, first)
	}
	return err
}
