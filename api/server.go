package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"golang.org/x/time/rate"

	"intray/consumers/confirm"
	"intray/infra/postgres"
)

// API is the HTTP handler of the whole API. New creates it.
type API struct {
	echo          *echo.Echo
	page          http.Handler // nil if there is none
	publisher     *publisher
	notifier      *notifier
	audit         *auditTrail
	stopFollowing context.CancelFunc
	following     sync.WaitGroup
}

// server holds what the handlers share. It implements StrictServerInterface.
type server struct {
	db        *postgres.DB
	auth      *postgres.Auth
	confirmer *confirm.Confirmer
	publisher *publisher
	notifier  *notifier
	audit     *auditTrail
	tokens    *tokens
	passwords *passwords
	hashing   *hashQueue
	signIns   *signInLimits
	reads     *limiter // by user, or by client address for requests without a token
	writes    *limiter
	issuer    *issuer // nil if only local accounts can sign in
	// tokenKeys are the keys whose tokens are accepted, starting with the one that signs.
	tokenKeys [][]byte
	// refreshKeys are derived from the token keys. The first one makes new refresh tokens.
	refreshKeys []refreshKey
	// deviceKeys are derived from the token keys, too. The first one makes new device cookies.
	deviceKeys []deviceKey
	uploadItem *openapi3.Schema // of the items of CreateUploadURLs
	config     Config
}

var _ StrictServerInterface = (*server)(nil)

// New returns the API that c describes, or an error if c is incomplete or inconsistent. It makes
// no network calls. The caller must call Close after the HTTP server has shut down.
func New(c Config) (*API, error) {
	s, err := newServer(c)
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	router, err := s.router()
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	s.audit = newAuditTrail(c.Auth, s.config.Log)
	ctx, cancel := context.WithCancel(context.Background())
	a := &API{
		echo:          router,
		page:          c.Page,
		publisher:     s.publisher,
		notifier:      s.notifier,
		audit:         s.audit,
		stopFollowing: cancel,
	}
	if c.Changes != nil {
		a.following.Go(func() {
			if err := s.notifier.follow(ctx, c.Changes); err != nil {
				s.config.Log.Warn("stopped following document events", "error", err)
			}
		})
		a.following.Go(func() {
			if err := s.notifier.followHints(ctx, c.Changes); err != nil {
				s.config.Log.Warn("stopped following hints", "error", err)
			}
		})
	}
	return a, nil
}

func newServer(c Config) (*server, error) {
	if c.DB == nil || c.Auth == nil || c.Presigner == nil || c.Objects == nil ||
		c.Multipart == nil || c.NATS == nil {
		return nil, errors.New("DB, Auth, Presigner, Objects, Multipart and NATS are required")
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
	deviceKeys, err := newDeviceKeys(keys)
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
		db:        c.DB,
		auth:      c.Auth,
		confirmer: confirm.New(c.DB, c.Objects, publisher, c.Log),
		publisher: publisher,
		notifier:  newNotifier(),
		tokens:    newTokens(keys, c.Sessions.AccessTokenTTL, c.DB.EstimatedNow),
		passwords: newPasswords(),
		hashing: newHashQueue(hashConcurrency(
			c.Limits.HashConcurrency, runtime.GOMAXPROCS(0), debug.SetMemoryLimit(-1))),
		signIns:     newSignInLimits(c.Limits),
		reads:       newLimiter(c.Limits.Reads),
		writes:      newLimiter(c.Limits.Writes),
		issuer:      issuer,
		tokenKeys:   keys,
		refreshKeys: refreshKeys,
		deviceKeys:  deviceKeys,
		config:      c,
	}, nil
}

// router returns the handler of all routes, wrapped in the middleware.
func (s *server) router() (*echo.Echo, error) {
	operations, err := operations()
	if err != nil {
		return nil, err
	}
	if s.uploadItem, err = separateItems(operations); err != nil {
		return nil, err
	}
	e := echo.New()
	e.HTTPErrorHandler = writeProblem
	e.IPExtractor = clientAddress(s.config.TrustedProxies, s.config.Log)
	routes := make(map[string]bool)
	e.Use(compress(), observe(s.config.Log, routes), securityHeaders, joinLists)
	if len(s.config.AllowedOrigins) > 0 {
		e.Use(crossOrigin(s.config.AllowedOrigins))
	}
	e.Use(s.requestLimits, s.contract(operations))
	RegisterHandlers(e, NewStrictHandler(s, []StrictMiddlewareFunc{
		keepRequestDocument, keepAuthCookies,
	}))
	if err := registerDocs(e); err != nil {
		return nil, err
	}
	for _, r := range e.Routes() {
		routes[r.Path] = true
	}
	return e, nil
}

// ServeHTTP handles one request. A HEAD request is handled like a GET request, because net/http
// omits the body of its response. Requests for the page are neither limited nor logged: it is
// static, and one visit requests many files.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.page != nil && !isAPIPath(r.URL.Path) {
		a.page.ServeHTTP(w, r)
		return
	}
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

// isAPIPath reports whether the page may not respond to a path. The last two are paths of the
// private listener, which must not seem to exist here.
func isAPIPath(path string) bool {
	first, _, _ := strings.Cut(strings.TrimLeft(path, "/"), "/")
	switch first {
	case "api", "healthz", "readyz", "metrics", "debug":
		return true
	}
	return false
}

// headWriter cancels a request when its response is flushed. This ends an event stream, which would
// otherwise continue after it has flushed its header.
type headWriter struct {
	http.ResponseWriter
	cancel context.CancelFunc
}

// FlushError implements the method that http.ResponseController calls.
func (w headWriter) FlushError() error {
	defer w.cancel()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Flush implements http.Flusher.
func (w headWriter) Flush() { _ = w.FlushError() }

// Close waits for events that are being published in the background, writes the rest of the audit
// trail, which takes at most a few seconds, and releases all resources. No request may be in
// progress or start later.
func (a *API) Close() {
	a.Release()
	a.stopFollowing()
	a.following.Wait()
	a.publisher.wait()
	a.audit.close()
}

// Release ends event streams and makes requests that wait for a change return. Later requests do
// not wait.
func (a *API) Release() { a.notifier.close() }

const (
	// requestTimeout is the default of Timeouts.Request.
	requestTimeout = 20 * time.Second
	// maxBody is the maximum size of a request body in bytes. The largest useful body is a topic
	// with 50 keywords.
	maxBody = 64 << 10
	// maxUploadsBody is the maximum size of the body of CreateUploadURLs. An item is at most 4 KiB,
	// even if its filename consists of 255 escaped pairs of surrogates.
	maxUploadsBody = 512 << 10
	// maxHeaders is the maximum size of the request line and the headers together, in bytes. net/http
	// reads up to four times as much, so that the API can refuse the request with a problem document.
	// If there is more, net/http itself responds with 431 and closes the connection.
	maxHeaders = 16 << 10
)

// Server returns an HTTP server for h whose timeouts and size limits protect it from clients that
// are slow or send too much. The caller only has to choose the address. If h is an *API, shutting
// the server down calls its Release method.
func Server(h http.Handler, log *slog.Logger) *http.Server {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second, // enough for the largest body
		WriteTimeout:      requestTimeout + responseTimeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    4 * maxHeaders,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	if a, ok := h.(*API); ok {
		server.RegisterOnShutdown(a.Release)
	}
	return server
}

// clientAddress returns a function that determines the address of a request's client. It uses
// X-Forwarded-For only if a trusted proxy sent it, because any client can send that header. If
// another peer sends it, the function warns at most once in ten minutes: either a client tries to
// forge its address, or a proxy is missing in trusted and all its clients count as one.
func clientAddress(trusted []netip.Prefix, log *slog.Logger) echo.IPExtractor {
	extract := extractAddress(trusted)
	warn := rate.Sometimes{Interval: 10 * time.Minute}
	return func(r *http.Request) string {
		if _, ok := r.Header[echo.HeaderXForwardedFor]; ok && !isTrusted(r.RemoteAddr, trusted) {
			warn.Do(func() {
				log.Warn("X-Forwarded-For was ignored: its sender is not in TRUSTED_PROXIES, so all "+
					"clients of a proxy at this address share one limit on sign-ins",
					"remote", r.RemoteAddr)
			})
		}
		return extract(r)
	}
}

// isTrusted reports whether the address, with its port, is in one of the networks.
func isTrusted(address string, trusted []netip.Prefix) bool {
	peer, err := netip.ParseAddrPort(address)
	return err == nil && slices.ContainsFunc(trusted, func(p netip.Prefix) bool {
		return p.Contains(peer.Addr().Unmap())
	})
}

// extractAddress returns echo's function for the address of a client behind trusted proxies.
func extractAddress(trusted []netip.Prefix) echo.IPExtractor {
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

// securityHeaders is a middleware that prevents browsers from interpreting responses as anything
// but data, and from caching them, because they belong to a single user.
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

// listHeaders are the request headers of the contract whose value is a list.
var listHeaders = []string{"If-Match", "If-None-Match", "Prefer"}

// joinLists is a middleware that joins the lines of each header that is a list. A list may be sent
// in several lines, and a proxy may split it (RFC 9110, section 5.3).
func joinLists(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Request().Header
		for _, name := range listHeaders {
			if lines := h[name]; len(lines) > 1 {
				h[name] = []string{strings.Join(lines, ", ")}
			}
		}
		return next(c)
	}
}

// crossOrigin is a middleware that lets pages of other origins call the API. It never lets them
// send credentials, so they cannot use the refresh cookie.
func crossOrigin(origins []string) echo.MiddlewareFunc {
	return middleware.CORSWithConfig(middleware.CORSConfig{
		AllowOrigins: origins,
		AllowMethods: []string{
			http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete,
		},
		AllowHeaders: []string{
			"Authorization",
			"Content-Type",
			"Idempotency-Key",
			"If-Match",
			"If-None-Match",
			"Prefer",
			"Last-Event-ID",
			requestIDHeader,
		},
		ExposeHeaders: []string{"ETag", "Location", "Retry-After", requestIDHeader},
		MaxAge:        3600,
	})
}
