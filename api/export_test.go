package api

import (
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
)

// Steps selects the steps that PollHandler runs before the handler.
type Steps struct {
	// User is the caller of the requests if Authenticate is not set. If it is uuid.Nil, the
	// database is not restricted to a user.
	User         uuid.UUID
	Authenticate bool
	Validate     bool
}

// PollHandler returns a handler that responds to GET /api/documents/{id} like the API, but without
// the steps that are not set. It uses only the fields DB, TokenKey and Log of c.
func PollHandler(c Config, steps Steps) (http.Handler, error) {
	keys, err := c.tokenKeys()
	if err != nil {
		return nil, err
	}
	operations, err := operations()
	if err != nil {
		return nil, err
	}
	const path = "/api/documents/:id"
	c.Timeouts = c.Timeouts.withDefaults()
	ttl := c.Sessions.withDefaults().AccessTokenTTL
	s := &server{db: c.DB, tokens: newTokens(keys, ttl, c.DB.EstimatedNow), config: c}
	takeSteps := func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(ctx echo.Context) error {
			who := caller{id: steps.User}
			if steps.Authenticate {
				r := ctx.Request()
				var err error
				if who, err = s.authenticate(r.Context(), r.Header, ""); err != nil {
					return err
				}
			}
			ctx.SetRequest(withCaller(ctx.Request(), who))
			if steps.Validate {
				if err := operations[http.MethodGet+" "+path].validate(ctx); err != nil {
					return err
				}
			}
			return next(ctx)
		}
	}
	e := echo.New()
	e.HTTPErrorHandler = writeProblem
	e.Use(
		observe(c.Log, map[string]bool{path: true}),
		securityHeaders,
		s.requestLimits,
		takeSteps,
	)
	wrapper := ServerInterfaceWrapper{Handler: NewStrictHandler(s, nil)}
	e.GET(path, wrapper.GetDocument)
	return e, nil
}

// EncodeEventID returns the event id of a position for a user.
func EncodeEventID(tokenKey []byte, user uuid.UUID, created time.Time, sequence uint64) string {
	ids, err := newEventIDs([][]byte{tokenKey}, user)
	if err != nil {
		panic(err)
	}
	return ids.encode(positionOf(created, sequence))
}

// DecodeEventID returns the position of an event id of a user.
func DecodeEventID(
	tokenKey []byte, user uuid.UUID, id string,
) (created time.Time, sequence uint64, ok bool) {
	ids, err := newEventIDs([][]byte{tokenKey}, user)
	if err != nil {
		panic(err)
	}
	p, ok := ids.decode(id)
	return time.UnixMicro(p.created), p.sequence, ok
}

// Waiting returns the number of requests that wait for a change, including event streams.
func (a *API) Waiting() (n int) {
	a.notifier.mu.Lock()
	defer a.notifier.mu.Unlock()
	for _, ofUser := range a.notifier.perUser {
		n += ofUser.count
	}
	return n
}
