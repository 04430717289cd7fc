package api

import (
	"fmt"
	"log/slog"
	"net/http"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
)

// Bare says which steps of a request are taken before its handler.
type Bare struct {
	// User is whom the handler works for where requests are not authenticated;
	// uuid.Nil binds the database to nobody.
	User         uuid.UUID
	Authenticate bool
	Validate     bool
}

// NewBare returns a handler that only answers GET /api/documents/{id}, as the API
// does but for the steps that b leaves out. It is for measuring what each step
// costs, and must never be reached by anybody else: without Authenticate it lets
// everybody in as b.User. It needs no more of c than DB, TokenKey and Log.
func NewBare(c Config, b Bare) (http.Handler, error) {
	keys, err := c.tokenKeys()
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	operations, err := operations()
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	const path = "/api/documents/:id"
	s := &server{db: c.DB, tokens: newTokens(keys, c.Sessions.withDefaults().AccessToken), config: c}
	steps := func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(ctx echo.Context) error {
			who := caller{id: b.User}
			if b.Authenticate {
				var err error
				if who, err = s.authenticate(ctx.Request().Context(), ctx.Request().Header); err != nil {
					return err
				}
			}
			*callerOf(ctx.Request().Context()) = who
			if b.Validate {
				if err := operations[http.MethodGet+" "+path].validate(ctx); err != nil {
					return err
				}
			}
			return next(ctx)
		}
	}
	e := echo.New()
	e.HTTPErrorHandler = writeProblem
	e.Use(observe(c.Log, map[string]bool{path: true}), securityHeaders, bounds, steps)
	wrapper := ServerInterfaceWrapper{Handler: NewStrictHandler(s, nil)}
	e.GET(path, wrapper.GetDocument)
	return e, nil
}
