package api

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"intray/infra/postgres"
	"intray/schema"
)

// caller is the client that makes a request. Its id is uuid.Nil for operations that require no
// token.
type caller struct {
	id      uuid.UUID
	role    schema.Role // the role in the token, which may differ from the one in the database
	session uuid.UUID   // uuid.Nil for a token that belongs to no session
	address string
	// requestID identifies the request.
	requestID string
}

type callerKey struct{}

// withCaller returns a copy of r whose context carries its caller.
func withCaller(r *http.Request, who caller) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), callerKey{}, who))
}

// callerOf returns the caller that ctx carries, or the zero caller if it carries none.
func callerOf(ctx context.Context) caller {
	who, _ := ctx.Value(callerKey{}).(caller)
	return who
}

// userDB returns the database restricted to the rows that the caller may access.
func (s *server) userDB(ctx context.Context) *postgres.DB { return s.db.ForUser(callerOf(ctx).id) }
