package api

import (
	"net/http"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
)

// Steps are the steps that PollHandler takes before the handler of a poll.
type Steps struct {
	// User is who sends the requests where they are not authenticated; uuid.Nil binds the database
	// to nobody.
	User         uuid.UUID
	Authenticate bool
	Validate     bool
}

// PollHandler returns a handler that answers only GET /api/documents/{id}, and as the API does but
// for the steps that are left out. It uses of c only DB, TokenKey and Log.
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
	s := &server{db: c.DB, tokens: newTokens(keys, c.Sessions.withDefaults().AccessTokenTTL), config: c}
	take := func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(ctx echo.Context) error {
			who := caller{id: steps.User}
			if steps.Authenticate {
				var err error
				if who, err = s.authenticate(ctx.Request().Context(), ctx.Request().Header); err != nil {
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
	e.Use(observe(c.Log, map[string]bool{path: true}), securityHeaders, requestLimits(c.Timeouts.withDefaults()), take)
	wrapper := ServerInterfaceWrapper{Handler: NewStrictHandler(s, nil)}
	e.GET(path, wrapper.GetDocument)
	return e, nil
}

// Waiting returns how many requests wait for a change or are streams.
func (a *API) Waiting() (n int) {
	a.notifier.mu.Lock()
	defer a.notifier.mu.Unlock()
	for _, ofUser := range a.notifier.perUser {
		n += ofUser
	}
	return n
}
