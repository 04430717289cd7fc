package api

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/coreos/go-oidc/v3/oidc"

	"intray/infra/postgres"
	"intray/schema"
)

// OIDC is an identity provider whose tokens are accepted beside our own.
type OIDC struct {
	// Issuer is its URL exactly as its tokens name it, whose
	// /.well-known/openid-configuration tells the rest. Empty: there is none.
	Issuer string
	// Audience must be among those that a token is for.
	Audience string
	// RefetchAfter is the least time between two requests for the same thing,
	// such as its keys, whatever tokens come. Default: 10 s.
	RefetchAfter time.Duration
}

const (
	// issuerTimeout bounds one request to the issuer.
	issuerTimeout = 5 * time.Second
	// keysLife is after how long the issuer's keys are read again although they
	// still fit: one that was withdrawn must not live on.
	keysLife = 10 * time.Minute
	// keysKept is how long the last keys are good while the issuer is away.
	keysKept = 24 * time.Hour
	// maxSubject is OpenID Connect Core's bound for sub in characters (section 2).
	maxSubject = 255
)

// issuerAlgorithms are the signatures that are accepted, whatever discovery says.
var issuerAlgorithms = []string{oidc.RS256, oidc.ES256}

// errIssuerAway says that the issuer's keys are not known and it does not answer.
var errIssuerAway = errors.New("the OIDC issuer does not answer")

// issuer checks the tokens of an OIDC issuer. It asks the issuer for nothing
// before the first token comes, so the API starts without it.
type issuer struct {
	config OIDC
	client *http.Client

	mu       sync.Mutex
	verifier *oidc.IDTokenVerifier
	readAt   time.Time
}

func newIssuer(c OIDC) (*issuer, error) {
	u, err := url.Parse(c.Issuer)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return nil, fmt.Errorf("the OIDC issuer %q is not a URL", c.Issuer)
	}
	if c.Audience == "" {
		return nil, errors.New("an OIDC issuer needs an audience: without one, tokens for other services would be good here")
	}
	if c.RefetchAfter == 0 {
		c.RefetchAfter = 10 * time.Second
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true // it is asked every few minutes
	client := &http.Client{Timeout: issuerTimeout, Transport: &seldom{next: transport, every: c.RefetchAfter, known: map[string]fetched{}}}
	return &issuer{config: c, client: client}, nil
}

// signs says whether the token is signed as the issuer signs. It is not believed
// for that.
func (i *issuer) signs(token string) bool {
	head, _, _ := strings.Cut(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		return false
	}
	var header struct {
		Algorithm string `json:"alg"`
	}
	return json.Unmarshal(raw, &header) == nil && slices.Contains(issuerAlgorithms, header.Algorithm)
}

// verify returns a good token's claims. It fails with errIssuerAway, or with an
// error of go-oidc's.
func (i *issuer) verify(ctx context.Context, token string) (*oidc.IDToken, error) {
	verifier, err := i.current()
	if err != nil {
		return nil, err
	}
	var away error
	verified, err := verifier.Verify(context.WithValue(ctx, awayKey{}, &away), token)
	if away != nil {
		return nil, away
	}
	return verified, err
}

// current returns the verifier, made of the issuer's discovery document and keys.
func (i *issuer) current() (*oidc.IDTokenVerifier, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.verifier != nil && time.Since(i.readAt) < keysLife {
		return i.verifier, nil
	}
	// It outlives the request: go-oidc reads the keys with it later.
	ctx := oidc.ClientContext(context.Background(), i.client)
	provider, err := oidc.NewProvider(ctx, i.config.Issuer)
	if err != nil {
		return nil, fmt.Errorf("read the issuer's discovery document: %w: %w", errIssuerAway, err)
	}
	var found struct {
		Keys string `json:"jwks_uri"`
	}
	if err := provider.Claims(&found); err != nil {
		return nil, fmt.Errorf("read the issuer's discovery document: %w: %w", errIssuerAway, err)
	}
	i.verifier = oidc.NewVerifier(i.config.Issuer, keySet{oidc.NewRemoteKeySet(ctx, found.Keys)},
		&oidc.Config{ClientID: i.config.Audience, SupportedSigningAlgs: issuerAlgorithms})
	i.readAt = time.Now()
	return i.verifier, nil
}

// keySet tells an issuer that is away from a signature that is wrong, which
// go-oidc's verifier no longer does.
type keySet struct{ remote *oidc.RemoteKeySet }

type awayKey struct{}

// VerifySignature implements oidc.KeySet.
func (k keySet) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	payload, err := k.remote.VerifySignature(ctx, token)
	if away, asked := ctx.Value(awayKey{}).(*error); asked && (errors.Is(err, errIssuerAway) || ctx.Err() != nil) {
		*away = fmt.Errorf("read the issuer's keys: %w: %w", errIssuerAway, err)
	}
	return payload, err
}

// external returns the user that a token of the issuer's speaks for, who is made at
// first sight.
func (s *server) external(ctx context.Context, token string) (caller, error) {
	verified, err := s.issuer.verify(ctx, token)
	var expired *oidc.TokenExpiredError
	switch {
	case errors.Is(err, errIssuerAway):
		s.config.Log.LogAttrs(ctx, slog.LevelWarn, "the OIDC issuer does not answer", slog.Any("error", err))
		return caller{}, schema.Errorf(schema.CodeUnavailable, "The identity provider does not answer.")
	case errors.As(err, &expired):
		return caller{}, errExpired
	case err != nil:
		return caller{}, errNotValid
	}
	if n := len([]rune(verified.Subject)); n == 0 || n > maxSubject || strings.ContainsFunc(verified.Subject, unicode.IsControl) {
		return caller{}, errNotValid
	}
	account, err := s.db.IdentityAccount(ctx, postgres.Identity{
		Issuer: verified.Issuer, Subject: verified.Subject, Email: verifiedEmail(verified),
	}, s.config.DefaultQuota)
	if err != nil {
		return caller{}, err
	}
	return caller{id: account.ID, role: account.Role}, nil
}

// verifiedEmail is the token's email address, "" unless the issuer says that it
// has verified it.
func verifiedEmail(token *oidc.IDToken) string {
	var c struct {
		Email    string `json:"email"`
		Verified any    `json:"email_verified"` // some issuers send "true"
	}
	if err := token.Claims(&c); err != nil || (c.Verified != true && c.Verified != "true") {
		return ""
	}
	if a, err := mail.ParseAddress(c.Email); err != nil || a.Address != c.Email || len(c.Email) > 320 || strings.ContainsFunc(c.Email, unicode.IsControl) {
		return ""
	}
	return c.Email
}

// seldom makes the same GET once in a while only and gives the last answer
// otherwise. So no flood of forged tokens becomes a flood of requests to the
// issuer, and an issuer that is away for a while still has its keys.
type seldom struct {
	next  http.RoundTripper
	every time.Duration
	mu    sync.Mutex // held while it asks: the others wait for that answer
	known map[string]fetched
}

type fetched struct {
	askedAt, gotAt time.Time
	header         http.Header
	body           []byte
	err            error // of the last request; with a body, which is then older
}

// RoundTrip implements http.RoundTripper.
func (s *seldom) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	address, now := r.URL.String(), time.Now()
	f := s.known[address]
	if now.Sub(f.askedAt) >= s.every {
		f.askedAt = now
		header, body, err := s.ask(r)
		if f.err = err; err == nil {
			f.gotAt, f.header, f.body = now, header, body
		}
		s.known[address] = f
	}
	if f.err != nil && now.Sub(f.gotAt) > keysKept {
		return nil, f.err
	}
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: f.header.Clone(), Body: io.NopCloser(bytes.NewReader(f.body)), ContentLength: int64(len(f.body)), Request: r,
	}, nil
}

// maxIssuerAnswer bounds what is read of the issuer's answers, in bytes.
const maxIssuerAnswer = 1 << 20

func (s *seldom) ask(r *http.Request) (http.Header, []byte, error) {
	resp, err := s.next.RoundTrip(r)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errIssuerAway, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxIssuerAnswer))
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errIssuerAway, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("%w: it answers %s", errIssuerAway, resp.Status)
	}
	return resp.Header, body, nil
}
