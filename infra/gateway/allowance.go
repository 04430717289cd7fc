package gateway

import (
	"errors"
	"net/http"
	"strconv"
	"sync"

	"intray/infra/minio"
)

// errAllowance is the error of reading the body of an upload that has to wait until others of the
// same user have ended.
var errAllowance = errors.New("the uploads in progress of the user exceed the allowance")

// allowanceRefusal is the response to errAllowance.
var allowanceRefusal = &refusal{http.StatusServiceUnavailable, "SlowDown",
	"Other uploads of this user are in progress, and together they would exceed twice what is left " +
		"of the quota. Try again when one of them has ended."}

// userBytes counts the bytes of the uploads in progress of each user. MinIO keeps what it has
// received of an upload on disk, so an upload that is held back occupies space that no quota shows.
type userBytes struct {
	mu         sync.Mutex
	inProgress map[string]int64
}

// reservation counts one upload while it is in progress. Its methods may be called concurrently and
// more than once, and do nothing if the URL has no allowance.
type reservation struct {
	users      *userBytes
	user       string // empty if the URL has no allowance
	size       int64
	allowance  int64
	taken, end bool // guarded by users.mu
}

// reservation returns the reservation for a request that check has accepted.
func (u *userBytes) reservation(r *http.Request) *reservation {
	query := r.URL.Query()
	reserved := &reservation{users: u, size: r.ContentLength}
	if allowance, err := strconv.ParseInt(query.Get(minio.ParamAllowance), 10, 64); err == nil {
		reserved.user, reserved.allowance = query.Get(minio.ParamUser), allowance
	}
	return reserved
}

// take counts the upload from now on. It fails with errAllowance if the user's uploads in progress
// would then exceed the allowance. The only upload of a user is never refused, however large it is.
func (r *reservation) take() error {
	if r.user == "" {
		return nil
	}
	r.users.mu.Lock()
	defer r.users.mu.Unlock()
	if r.taken || r.end {
		return nil
	}
	others := r.users.inProgress[r.user]
	if others > 0 && r.size > r.allowance-others {
		return errAllowance
	}
	r.taken = true
	r.users.inProgress[r.user] = others + r.size
	return nil
}

// release ends what take has begun.
func (r *reservation) release() {
	if r.user == "" {
		return
	}
	r.users.mu.Lock()
	defer r.users.mu.Unlock()
	r.end = true
	if !r.taken {
		return
	}
	r.taken = false
	if left := r.users.inProgress[r.user] - r.size; left > 0 {
		r.users.inProgress[r.user] = left
	} else {
		delete(r.users.inProgress, r.user)
	}
}
