package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"intray/schema"
)

// ErrUnavailable means that PostgreSQL did not answer or cannot execute the statement now: the
// connection was refused or lost, the server is starting or stopping, it rejected the credentials,
// it is a standby or read-only, it has no connection slots, disk or memory left, or a lock or
// statement timeout expired. The same call may succeed later. If the connection was lost during a
// commit, the transaction may have been committed.
var ErrUnavailable = errors.New("postgres is unavailable")

// SQLSTATE codes, https://www.postgresql.org/docs/current/errcodes-appendix.html
const (
	serializationFailure  = "40001"
	deadlockDetected      = "40P01"
	foreignKeyViolation   = "23503"
	checkViolation        = "23514"
	uniqueViolation       = "23505"
	insufficientPrivilege = "42501"
	undefinedTable        = "42P01"
	cannotConnectNow      = "57P03" // the server is starting or shutting down
	userDoesNotExist      = "IN401" // defined by the function require_user
)

// unavailableClasses are the classes of SQLSTATE codes all of which mean that PostgreSQL is
// unavailable.
var unavailableClasses = []pqerror.Class{
	"08", // connection exceptions; poolers also report their own failures with them
	"28", // invalid credentials
	"53", // insufficient resources: disk full, out of memory, too many connections
	"57", // operator intervention: shutdown, crash, dropped database, statement and idle timeouts
	"58", // system errors: I/O errors
}

// unavailableCodes are further codes that mean that PostgreSQL is unavailable.
var unavailableCodes = []pqerror.Code{
	"25006", // read_only_sql_transaction: a standby, or default_transaction_read_only
	"25P03", // idle_in_transaction_session_timeout
	"25P04", // transaction_timeout
	"55P03", // lock_not_available: lock_timeout
	"3D000", // invalid_catalog_name: the database is not created yet, or is being restored
	deadlockDetected,
	serializationFailure, // also a conflict with the recovery of a standby
}

// wrap adds the operation to an error, and ErrUnavailable if the error means that PostgreSQL is
// unavailable. An expired deadline means that, too. If the caller canceled ctx, the result is
// context.Canceled and not ErrUnavailable. A *schema.Error is returned unchanged.
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
	case unavailable(err):
		return fmt.Errorf("%s: %w: %w", operation, ErrUnavailable, err)
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
		return slices.Contains(unavailableClasses, e.Code.Class()) ||
			slices.Contains(unavailableCodes, e.Code)
	}
	return errors.Is(err, driver.ErrBadConn) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, context.DeadlineExceeded) || errors.As(err, new(net.Error))
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
