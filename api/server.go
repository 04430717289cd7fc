package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"intray/consumers/confirm"
	"intray/infra/postgres"
)

// API is the handler of all requests.
type API struct {
	echo      *echo.Echo
	publisher *publisher
	changes   *changes
	unfollow  context.CancelFunc
	following sync.WaitGroup
}

// server holds what the handlers share. It implements StrictServerInterface.
type server struct {
	db        *postgres.DB
	confirmer *confirm.Confirmer
	publisher *publisher
	changes   *changes
	tokens    *tokens
	passwords *passwords
	accounts  *limiter // failed logins by account
	addresses *limiter // failed logins by address
	reads     *limiter // requests by user, or by address without one
	writes    *limiter
	issuer    *issuer // nil: local accounts only
	// refreshKeys are made of the token keys; the first makes new tokens.
	refreshKeys []refreshKey
	config      Config
}

var _ StrictServerInterface = (*server)(nil)

// New returns the API, or an error that says what is wrong with c. It makes no
// network call. Close it when the HTTP server that it is given to has shut down.
func New(c Config) (*API, error) {
	s, err := newServer(c)
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	router, err := s.router()
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	a := &API{echo: router, publisher: s.publisher, changes: s.changes, unfollow: cancel}
	if c.Changes != nil {
		a.following.Go(func() {
			if err := s.changes.follow(ctx, c.Changes); err != nil {
				s.config.Log.Warn("documents' changes are not heard any more", "error", err)
			}
		})
	}
	return a, nil
}

func newServer(c Config) (*server, error) {
	if c.DB == nil || c.Presigner == nil || c.Objects == nil || c.Multipart == nil ||
		c.NATS == nil {
		return nil, errors.New("DB, Presigner, Objects, Multipart and NATS are needed")
	}
	c = c.withDefaults()
	keys, err := c.tokenKeys()
	if err != nil {
		return nil, err
	}
	refreshKeys, err := newRefreshKeys(keys)
	if err != nil {
		return nil, err
	}
	var issuer *issuer
	if c.OIDC.Issuer != "" {
		if issuer, err = newIssuer(c.OIDC); err != nil {
			return nil, err
		}
	}
	publisher := newPublisher(c.NATS, c.DB, c.Log)
	return &server{
		db:          c.DB,
		confirmer:   confirm.New(c.DB, c.Objects, publisher, c.Log),
		publisher:   publisher,
		changes:     newChanges(),
		tokens:      newTokens(keys, c.Sessions.AccessTokenTTL),
		passwords:   newPasswords(c.Limits.HashConcurrency),
		accounts:    newLimiter(c.Limits.FailedLoginsPerAccount),
		addresses:   newLimiter(c.Limits.FailedLoginsPerAddress),
		reads:       newLimiter(c.Limits.Reads),
		writes:      newLimiter(c.Limits.Writes),
		issuer:      issuer,
		refreshKeys: refreshKeys,
		config:      c,
	}, nil
}

// router returns the handler of all routes, with the middlewares around them.
func (s *server) router() (*echo.Echo, error) {
	operations, err := operations()
	if err != nil {
		return nil, err
	}
	e := echo.New()
	e.HTTPErrorHandler = writeProblem
	e.IPExtractor = clientAddress(s.config.TrustedProxies)
	routes := make(map[string]bool)
	e.Use(observe(s.config.Log, routes), securityHeaders)
	if len(s.config.AllowedOrigins) > 0 {
		e.Use(crossOrigin(s.config.AllowedOrigins))
	}
	e.Use(bounds(s.config.Timeouts), s.contract(operations))
	RegisterHandlers(e, NewStrictHandler(s, []StrictMiddlewareFunc{keepSubject}))
	if err := registerDocs(e); err != nil {
		return nil, err
	}
	for _, r := range e.Routes() {
		routes[r.Path] = true
	}
	return e, nil
}

// ServeHTTP answers one request. HEAD is GET: net/http knows that the client wants
// no body and sends none.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodHead {
		a.echo.ServeHTTP(w, r)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	get := r.WithContext(ctx)
	get.Method = http.MethodGet
	a.echo.ServeHTTP(headWriter{w, cancel}, get)
}

// headWriter ends a request whose answer is a stream once its head is sent.
type headWriter struct {
	http.ResponseWriter
	end context.CancelFunc
}

// FlushError implements what http.ResponseController calls.
func (w headWriter) FlushError() error {
	defer w.end()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Flush implements http.Flusher.
func (w headWriter) Flush() { _ = w.FlushError() }

// Close waits until events are published, a few seconds at most. No
// request may be running or come any more.
func (a *API) Close() {
	a.Release()
	a.unfollow()
	a.following.Wait()
	a.publisher.wait()
}

// Release ends the requests that wait for a change, and the streams of events.
// Those that come after it do not wait.
func (a *API) Release() { a.changes.end() }

const (
	// requestTimeout is the default of Timeouts.Request.
	requestTimeout = 20 * time.Second
	// maxBody is the largest request body in bytes. The largest that makes sense
	// is a topic with 50 keywords.
	maxBody = 64 << 10
	// maxHeaders is the most that a request's first line and headers may have, in
	// bytes. Up to four times as many are read, so that the refusal is a problem
	// with a sentence; beyond that net/http answers 431 in a word and hangs up.
	maxHeaders = 16 << 10
)

// Server returns an HTTP server for h, with bounds on what a slow or greedy
// client can hold. The caller sets nothing more than where it listens. Its shutdown
// releases the requests of an *API that wait.
func Server(h http.Handler, log *slog.Logger) *http.Server {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second, // of 64 KiB
		WriteTimeout:      requestTimeout + answerTime,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    4 * maxHeaders,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	if a, ok := h.(*API); ok {
		server.RegisterOnShutdown(a.Release)
	}
	return server
}

// clientAddress finds where a request comes from. A header that anybody can send
// is only believed from a trusted proxy.
func clientAddress(trusted []netip.Prefix) echo.IPExtractor {
	if len(trusted) == 0 {
		return echo.ExtractIPDirect()
	}
	options := []echo.TrustOption{
		echo.TrustLoopback(false),
		echo.TrustLinkLocal(false),
		echo.TrustPrivateNet(false),
	}
	for _, p := range trusted {
		p = p.Masked()
		options = append(options, echo.TrustIPRange(&net.IPNet{
			IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
		}))
	}
	return echo.ExtractIPFromXFFHeader(options...)
}

// securityHeaders make browsers take the answers for nothing but data, and keep
// no copy of them: they are somebody's own.
func securityHeaders(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		return next(c)
	}
}

func crossOrigin(origins []string) echo.MiddlewareFunc {
	return middleware.CORSWithConfig(middleware.CORSConfig{
		AllowOrigins: origins,
		AllowMethods: []string{http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete},
		AllowHeaders: []string{
			"Authorization",
			"Content-Type",
			"Idempotency-Key",
			"If-None-Match",
			"Prefer",
			"Last-Event-ID",
			requestIDHeader,
		},
		ExposeHeaders: []string{"ETag", "Location", "Retry-After", requestIDHeader},
		MaxAge:        3600,
	})
}
