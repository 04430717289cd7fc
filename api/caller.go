package api

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"intray/infra/postgres"
	"intray/schema"
)

// caller is who makes a request. Its id is uuid.Nil where no token is needed.
type caller struct {
	id      uuid.UUID
	role    schema.Role // as the token says; the database has the last word
	session uuid.UUID   // uuid.Nil for a token that belongs to none
	address string
}

type callerKey struct{}

// withCaller returns r with its caller.
func withCaller(r *http.Request, who caller) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), callerKey{}, who))
}

// callerOf returns the caller of a request, the zero caller where there is none.
func callerOf(ctx context.Context) caller {
	who, _ := ctx.Value(callerKey{}).(caller)
	return who
}

// userDB returns the database as far as the caller may see it.
func (s *server) userDB(ctx context.Context) *postgres.DB { return s.db.ForUser(callerOf(ctx).id) }
