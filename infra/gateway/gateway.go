package gateway

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"time"
)

// defaultTransferTimeout is how long a transfer may take. The sweeper relies on it: a row expires
// an hour after its last URL was issued, which is more than the URL's 15 minutes plus this.
const defaultTransferTimeout = 30 * time.Minute

// Config configures a gateway.
type Config struct {
	// Upstream is MinIO's address, scheme and host[:port].
	Upstream *url.URL
	// Bucket is the documents' bucket, the only one that can be reached.
	Bucket string
	// Log receives refusals (at Info) and failures of MinIO (at Error). If it is nil, nothing is
	// logged.
	Log *slog.Logger
	// HeaderTimeout is how long a client may take for a request's headers. Default 10 s.
	HeaderTimeout time.Duration
	// StallTimeout is how long a client may send or take no byte of a transfer. Default 1 min.
	StallTimeout time.Duration
	// TransferTimeout bounds one request from its headers to its last byte, in either direction.
	// Default 30 min.
	TransferTimeout time.Duration
	// MaxConns is how many connections there may be at once; further ones are closed immediately.
	// Default 4096.
	MaxConns int
	// MaxConnsPerAddress is how many of them one address may have (an IPv6 /64 counts as one). A
	// proxy before the gateway is one address for all of its clients. Default 1024.
	MaxConnsPerAddress int
	// ShutdownTimeout is how long Serve waits for transfers in flight before it cuts them. Default 20 s.
	ShutdownTimeout time.Duration
}

func (c Config) withDefaults() Config {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.HeaderTimeout = cmp.Or(c.HeaderTimeout, 10*time.Second)
	c.StallTimeout = cmp.Or(c.StallTimeout, time.Minute)
	c.TransferTimeout = cmp.Or(c.TransferTimeout, defaultTransferTimeout)
	c.MaxConns = cmp.Or(c.MaxConns, 4096)
	c.MaxConnsPerAddress = cmp.Or(c.MaxConnsPerAddress, 1024)
	c.ShutdownTimeout = cmp.Or(c.ShutdownTimeout, 20*time.Second)
	return c
}

// handler is the gateway. See New.
type handler struct {
	config    Config
	proxy     *httputil.ReverseProxy
	transport *http.Transport
}

// New returns the gateway as a handler. GET /healthz answers 200 as long as the process serves.
// Every other request is checked and passed to MinIO, or refused.
//
// A caller that makes its own server must set ReadHeaderTimeout and MaxHeaderBytes, as Server does,
// and bound connections.
func New(config Config) http.Handler {
	config = config.withDefaults()
	h := &handler{config: config, transport: newTransport()}
	h.proxy = &httputil.ReverseProxy{
		Rewrite:       h.rewrite,
		Transport:     h.transport,
		FlushInterval: -1,
		BufferPool:    &buffers{},
		ErrorHandler:  h.failed,
		ErrorLog:      slog.NewLogLogger(config.Log.Handler(), slog.LevelError),
	}
	return h
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.RequestURI == "/healthz" && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "ok\n")
		return
	}
	if refused := check(r, h.config.Bucket); refused != nil {
		h.config.Log.Info("request refused", "method", r.Method, "path", logged(r.URL.Path),
			"remote", r.RemoteAddr, "status", refused.status, "reason", refused.message)
		if refused.status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", "GET, HEAD, PUT, OPTIONS")
		}
		writeError(w, r, refused.status, refused.code, refused.message)
		count(r.Method, refused.status)
		return
	}
	if err := h.transfer(w, r); err != nil {
		h.config.Log.Error("set deadlines", "error", err)
		writeError(w, r, http.StatusInternalServerError, "InternalError", "The gateway cannot bound this transfer.")
	}
}

// passed are the request headers that go to MinIO. All others are dropped: a header that a
// signature does not need can only do harm (Content-Encoding would be stored, X-Real-Ip believed).
var passed = []string{
	"Accept", "Access-Control-Request-Headers", "Access-Control-Request-Method", "Content-Length",
	"Content-Type", "Expect", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range",
	"If-Unmodified-Since", "Origin", "Range", "User-Agent", "X-Amz-Checksum-Sha256",
}

// rewrite makes the request to MinIO. Host, path and query stay byte for byte as the browser sent
// them, because the signature covers them. No X-Forwarded-* is added.
func (h *handler) rewrite(r *httputil.ProxyRequest) {
	header := make(http.Header, len(passed))
	for _, name := range passed {
		if values, ok := r.Out.Header[name]; ok {
			header[name] = values
		}
	}
	r.Out.Header = header
	r.Out.Trailer = nil
	r.Out.URL.Scheme = h.config.Upstream.Scheme
	r.Out.URL.Host = h.config.Upstream.Host
	r.Out.URL.Path, r.Out.URL.RawPath = r.In.URL.Path, r.In.URL.RawPath
	r.Out.URL.RawQuery = r.In.URL.RawQuery
	r.Out.Host = r.In.Host
}

// failed answers for a request that MinIO did not answer.
func (h *handler) failed(w http.ResponseWriter, r *http.Request, err error) {
	var clientErr error
	if stored := w.(*writer).upload.err.Load(); stored != nil {
		clientErr = *stored
	}
	path := logged(r.URL.Path)
	switch timeout := net.Error(nil); {
	case errors.Is(clientErr, os.ErrDeadlineExceeded):
		h.config.Log.Info("upload took too long", "path", path)
		w.Header().Set("Connection", "close")
		writeError(w, r, http.StatusRequestTimeout, "RequestTimeout",
			"The upload took too long. Ask for a new URL and try again.")
	case clientErr != nil, errors.Is(err, context.Canceled):
		h.config.Log.Info("client went away", "method", r.Method, "path", path)
		panic(http.ErrAbortHandler) // closes the connection; there is nobody to tell
	case errors.As(err, &timeout) && timeout.Timeout():
		h.config.Log.Error("minio does not answer", "method", r.Method, "path", path, "error", err)
		writeError(w, r, http.StatusGatewayTimeout, "GatewayTimeout",
			"The object store does not answer. Try again.")
	default:
		h.config.Log.Error("minio cannot be reached", "method", r.Method, "path", path, "error", err)
		writeError(w, r, http.StatusBadGateway, "BadGateway",
			"The object store cannot be reached. Try again.")
	}
}

// logged shortens a path that anybody may have sent.
func logged(path string) string {
	if len(path) > 200 {
		return path[:200]
	}
	return path
}
