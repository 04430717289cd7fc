package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"

	"github.com/google/uuid"
	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"intray/schema"
)

// An error of the server that the same call may not meet again is about the server or about the
// statement. Callers wait for the server, but go on with other rows after an error about some.
var (
	// ErrUnavailable means that PostgreSQL did not answer or cannot execute statements now: the
	// connection was refused or lost, the server is starting or stopping, it rejected the credentials,
	// it is a standby or read-only, or it has no connection slots, disk or memory left. If the
	// connection was lost during a commit, the transaction may have been committed.
	ErrUnavailable = errors.New("postgres is unavailable")
	// ErrAborted means that PostgreSQL answers, but aborted this statement: it was not finished within
	// a timeout, was canceled, or met an I/O error. Nothing has changed. The cause may be the rows of
	// the statement, or a server that is too slow, which Writable finds out.
	ErrAborted = errors.New("postgres aborted the statement")
	// ErrLocked means that PostgreSQL aborted the statement because of other transactions: they held a
	// lock for longer than the lock timeout, or the statement deadlocked or conflicted with them. An
	// error that wraps ErrLocked also wraps ErrAborted.
	ErrLocked = fmt.Errorf("%w: other transactions hold locks that it needs", ErrAborted)
)

// A LockedError means that other transactions held locks of some documents or of their owners'
// quotas for longer than the lock timeout. It wraps ErrLocked.
type LockedError struct {
	Documents []uuid.UUID // which are locked, or whose owner's quota is
}

// Has reports whether the document is one of those that are locked. A nil LockedError has none.
func (e *LockedError) Has(document uuid.UUID) bool {
	return e != nil && slices.Contains(e.Documents, document)
}

// Error implements error.
func (e *LockedError) Error() string {
	return fmt.Sprintf("%v: %d documents are locked, the first is %s",
		ErrAborted, len(e.Documents), e.Documents[0])
}

// Unwrap makes [errors.Is] match ErrLocked.
func (e *LockedError) Unwrap() error { return ErrLocked }

// SQLSTATE codes, https://www.postgresql.org/docs/current/errcodes-appendix.html
const (
	serializationFailure  = "40001"
	deadlockDetected      = "40P01"
	foreignKeyViolation   = "23503"
	checkViolation        = "23514"
	uniqueViolation       = "23505"
	insufficientPrivilege = "42501"
	undefinedTable        = "42P01"
	lockNotAvailable      = "55P03" // lock_timeout
	queryCanceled         = "57014" // statement_timeout, or pg_cancel_backend
	transactionTimeout    = "25P04"
	cannotConnectNow      = "57P03" // the server is starting or shutting down
	userDoesNotExist      = "IN401" // defined by the function require_user
	proofRefused          = "IN403" // defined by the functions that call is_proven
)

// unavailableClasses are the classes of SQLSTATE codes that mean that PostgreSQL is unavailable,
// except queryCanceled.
var unavailableClasses = []pqerror.Class{
	"08", // connection exceptions; poolers also report their own failures with them
	"28", // invalid credentials
	"53", // insufficient resources: disk full, out of memory, too many connections
	"57", // operator intervention: shutdown, crash, dropped database, idle timeouts
}

// unavailableCodes are further codes that mean that PostgreSQL is unavailable.
var unavailableCodes = []pqerror.Code{
	"25006", // read_only_sql_transaction: a standby, or default_transaction_read_only
	"25P03", // idle_in_transaction_session_timeout
	"3D000", // invalid_catalog_name: the database is not created yet, or is being restored
}

// systemError is the class of I/O errors. They may concern one damaged page only.
const systemError pqerror.Class = "58"

// wrap adds the operation to an error, and ErrUnavailable, ErrAborted or ErrLocked if the error
// means one of them. An expired deadline of ctx means that PostgreSQL is unavailable. If the caller
// canceled ctx, the result is context.Canceled instead. A *schema.Error is returned unchanged.
func wrap(ctx context.Context, err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	operation := fmt.Sprintf(format, args...)
	switch {
	case errors.As(err, new(*schema.Error)):
		return err
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("%s: %w", operation, context.Canceled)
	case unavailable(err), ctx.Err() != nil && hasCode(err, queryCanceled):
		return fmt.Errorf("%s: %w: %w", operation, ErrUnavailable, err)
	case locked(err):
		return fmt.Errorf("%s: %w: %w", operation, ErrLocked, err)
	case aborted(err):
		return fmt.Errorf("%s: %w: %w", operation, ErrAborted, err)
	default:
		return fmt.Errorf("%s: %w", operation, err)
	}
}

// unavailable reports whether err means that PostgreSQL is unavailable.
func unavailable(err error) bool {
	if errors.As(err, new(*connectError)) {
		return true
	}
	var e *pq.Error
	if errors.As(err, &e) {
		return slices.Contains(unavailableCodes, e.Code) ||
			(slices.Contains(unavailableClasses, e.Code.Class()) && e.Code != queryCanceled)
	}
	return errors.Is(err, driver.ErrBadConn) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, context.DeadlineExceeded) || errors.As(err, new(net.Error))
}

// locked reports whether err means that other transactions hold locks.
func locked(err error) bool {
	return hasCode(err, lockNotAvailable, deadlockDetected, serializationFailure)
}

// aborted reports whether err means that the server aborted a statement for another reason.
func aborted(err error) bool {
	var e *pq.Error
	return hasCode(err, queryCanceled, transactionTimeout) ||
		(errors.As(err, &e) && e.Code.Class() == systemError)
}

// hasCode reports whether err has one of the SQLSTATE codes.
func hasCode(err error, codes ...pqerror.Code) bool {
	var e *pq.Error
	return errors.As(err, &e) && slices.Contains(codes, e.Code)
}

// violates reports whether err is a violation of the unique index, or of the check or the limit of
// a trigger, with the name.
func violates(err error, constraint string) bool {
	var e *pq.Error
	return errors.As(err, &e) && (e.Code == uniqueViolation || e.Code == checkViolation) &&
		e.Constraint == constraint
}
