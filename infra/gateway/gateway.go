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
	"strings"
	"time"

	"intray/infra/connlimit"
)

// defaultTransferTimeout is the default of Config.TransferTimeout. The sweeper relies on it: a
// document expires an hour after its last URL was issued, and by then the longest upload has ended
// (15 minutes until the URL expires, plus this timeout).
const defaultTransferTimeout = 30 * time.Minute

// Config configures a gateway.
type Config struct {
	// Upstream is MinIO's address: scheme and host[:port].
	Upstream *url.URL
	// Bucket contains the documents' objects. The gateway gives access to no other bucket.
	Bucket string
	// Log receives refusals (level Info) and MinIO's failures (level Error). If it is nil, the gateway
	// does not log.
	Log *slog.Logger
	// HeaderTimeout is how long a client may take to send the headers of a request. Default 10 s.
	HeaderTimeout time.Duration
	// StallTimeout is how long a transfer may go without sending or receiving a byte. Default 1 min.
	StallTimeout time.Duration
	// TransferTimeout is how long a request may take from the end of its headers to its last byte, in
	// each direction. Default 30 min.
	TransferTimeout time.Duration
	// Connections limits the open connections.
	Connections connlimit.Limits
	// ShutdownTimeout is how long Serve waits for transfers in flight before it closes their
	// connections. Default 20 s.
	ShutdownTimeout time.Duration
}

func (c Config) withDefaults() Config {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.HeaderTimeout = cmp.Or(c.HeaderTimeout, 10*time.Second)
	c.StallTimeout = cmp.Or(c.StallTimeout, time.Minute)
	c.TransferTimeout = cmp.Or(c.TransferTimeout, defaultTransferTimeout)
	c.ShutdownTimeout = cmp.Or(c.ShutdownTimeout, 20*time.Second)
	return c
}

// handler implements the gateway. See New.
type handler struct {
	config    Config
	proxy     *httputil.ReverseProxy
	transport *http.Transport
	parts     *partBytes
	users     *userBytes
}

// New returns an HTTP handler for the gateway. It answers GET /healthz with 200. It checks every
// other request and either forwards it to MinIO or refuses it.
//
// A caller that runs the handler in its own server must set ReadHeaderTimeout and MaxHeaderBytes,
// as Server does, and limit the number of connections.
func New(config Config) http.Handler {
	config = config.withDefaults()
	h := &handler{
		config: config, transport: newTransport(),
		parts: newPartBytes(), users: &userBytes{inProgress: map[string]int64{}},
	}
	h.proxy = &httputil.ReverseProxy{
		Rewrite:        h.rewrite,
		ModifyResponse: secure,
		Transport:      h.transport,
		FlushInterval:  -1,
		BufferPool:     &buffers{},
		ErrorHandler:   h.handleError,
		ErrorLog:       slog.NewLogLogger(config.Log.Handler(), slog.LevelError),
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
		h.refuse(w, r, refused)
		return
	}
	if r.Method == http.MethodOptions {
		answerPreflight(w)
		count(r.Method, http.StatusNoContent)
		return
	}
	if refused := h.parts.reserve(r); refused != nil {
		h.refuse(w, r, refused)
		return
	}
	if err := h.transfer(w, r); err != nil {
		h.config.Log.Error("cannot set the deadlines of a connection", "error", err)
		writeError(w, r, http.StatusInternalServerError, "InternalError",
			"The gateway failed to handle the request.")
	}
}

// refuse logs and answers a request that is not forwarded to MinIO.
func (h *handler) refuse(w http.ResponseWriter, r *http.Request, refused *refusal) {
	h.config.Log.Info("request refused", "method", r.Method, "path", shorten(r.URL.Path),
		"remote", r.RemoteAddr, "status", refused.status, "reason", refused.message)
	if refused.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", "GET, HEAD, PUT, OPTIONS")
	}
	writeError(w, r, refused.status, refused.code, refused.message)
	count(r.Method, refused.status)
}

// forwardedHeaders are the request headers that are sent to MinIO. All others are dropped, because
// an unnecessary header can only do harm: for example, MinIO would store Content-Encoding with the
// object, trust X-Real-Ip and see the cookies of the API, which browsers send to all ports of a
// host.
var forwardedHeaders = []string{
	"Accept", "Content-Length", "Content-Md5", "Content-Type", "Expect", "If-Match",
	"If-Modified-Since", "If-None-Match", "If-Range",
	"If-Unmodified-Since", "Origin", "Range", "User-Agent", "X-Amz-Checksum-Sha256",
}

// rewrite creates the request to MinIO. Host, path and query are the same bytes that the browser
// sent, because the signature covers them. rewrite adds no X-Forwarded-* headers.
func (h *handler) rewrite(r *httputil.ProxyRequest) {
	header := make(http.Header, len(forwardedHeaders))
	for _, name := range forwardedHeaders {
		if values, ok := r.Out.Header[name]; ok {
			header[name] = values
		}
	}
	if r.In.Method == http.MethodPut {
		// The body is read once MinIO has accepted the headers, so a request that it refuses counts
		// neither for a part nor for a user.
		header.Set("Expect", "100-continue")
	}
	r.Out.Header = header
	r.Out.Trailer = nil
	r.Out.URL.Scheme = h.config.Upstream.Scheme
	r.Out.URL.Host = h.config.Upstream.Host
	r.Out.URL.Path, r.Out.URL.RawPath = r.In.URL.Path, r.In.URL.RawPath
	r.Out.URL.RawQuery = r.In.URL.RawQuery
	r.Out.Host = r.In.Host
}

// answerPreflight answers a browser's preflight request. Pages of any origin may use a presigned
// URL, which is all that a request needs, and may send any header; check refuses those that it does
// not permit. Browsers remember the answer for each URL, for at most two hours in Chromium.
func answerPreflight(w http.ResponseWriter) {
	header := w.Header()
	header.Set("Access-Control-Allow-Origin", "*")
	header.Set("Access-Control-Allow-Methods", "GET, HEAD, PUT")
	header.Set("Access-Control-Allow-Headers", "*")
	header.Set("Access-Control-Max-Age", "7200")
	w.WriteHeader(http.StatusNoContent)
}

// returnedHeaders are the headers of MinIO's responses that are sent to the client. All others are
// dropped: MinIO's Server and X-Ratelimit-* describe it to an attacker, its
// Strict-Transport-Security would rule all subdomains of a host that is not its own, and its CORS
// headers would allow every origin to send credentials.
var returnedHeaders = []string{
	"Accept-Ranges", "Content-Disposition", "Content-Length", "Content-Range", "Content-Type",
	"Date", "Etag", "Last-Modified", "Retry-After", "X-Amz-Checksum-Sha256", "X-Amz-Request-Id",
}

// exposedHeaders are the headers that a page of another origin can read besides those that every
// page can, such as Content-Type and Content-Length.
const exposedHeaders = "Accept-Ranges, Content-Disposition, Content-Range, Date, ETag, " +
	"Retry-After, X-Amz-Checksum-Sha256, X-Amz-Request-Id"

// secure reduces the headers of MinIO's response to returnedHeaders, and adds those that keep a
// file from acting as a page of the gateway's origin, which can be the API's origin as well:
// browsers do not guess its type, and a file that is not downloaded runs no scripts, loads nothing
// and has an origin of its own. Nothing stores a document on its way, and pages of any origin can
// read the response, because they need its URL.
func secure(response *http.Response) error {
	header := make(http.Header, len(returnedHeaders))
	for _, name := range returnedHeaders {
		if values, ok := response.Header[name]; ok {
			header[name] = values
		}
	}
	header.Set("Access-Control-Allow-Origin", "*")
	header.Set("Access-Control-Expose-Headers", exposedHeaders)
	header.Set("Cache-Control", "private, no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	disposition := response.Request.URL.Query().Get("response-content-disposition")
	if !strings.HasPrefix(disposition, "attachment") {
		header.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	}
	response.Header = header
	return nil
}

// handleError answers a request if forwarding it failed.
func (h *handler) handleError(w http.ResponseWriter, r *http.Request, err error) {
	var clientErr error
	if stored := w.(*writer).upload.err.Load(); stored != nil {
		clientErr = *stored
	}
	path := shorten(r.URL.Path)
	switch timeout := net.Error(nil); {
	case errors.Is(clientErr, errAllowance):
		h.config.Log.Info("upload refused", "path", path, "reason", errAllowance)
		w.Header().Set("Retry-After", "1")
		writeError(w, r, allowanceRefusal.status, allowanceRefusal.code, allowanceRefusal.message)
	case errors.Is(clientErr, os.ErrDeadlineExceeded):
		h.config.Log.Info("upload timed out", "path", path)
		w.Header().Set("Connection", "close")
		writeError(w, r, http.StatusRequestTimeout, "RequestTimeout",
			"The upload took too long. Request a new URL and try again.")
	case clientErr != nil, errors.Is(err, context.Canceled):
		h.config.Log.Info("client closed the connection", "method", r.Method, "path", path)
		panic(http.ErrAbortHandler) // closes the connection without a response
	case errors.As(err, &timeout) && timeout.Timeout():
		h.config.Log.Error("minio did not answer in time",
			"method", r.Method, "path", path, "error", err)
		writeError(w, r, http.StatusGatewayTimeout, "GatewayTimeout",
			"The object store did not answer in time. Try again later.")
	default:
		h.config.Log.Error("minio is unreachable", "method", r.Method, "path", path, "error", err)
		writeError(w, r, http.StatusBadGateway, "BadGateway",
			"The object store is unreachable. Try again later.")
	}
}

// shorten returns the first 200 bytes of path, for the log. Clients can send paths of any length.
func shorten(path string) string {
	if len(path) > 200 {
		return path[:200]
	}
	return path
}
