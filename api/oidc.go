package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
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
	// MinRefetchInterval is the least time between two requests for the same thing,
	// such as its keys, whatever tokens come. Default: 10 s.
	MinRefetchInterval time.Duration
}

const (
	// issuerTimeout bounds one request to the issuer.
	issuerTimeout = 5 * time.Second
	// keysTTL is after how long the issuer's keys are read again although they
	// still fit: one that was withdrawn must not live on.
	keysTTL = 10 * time.Minute
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

	mu     sync.Mutex
	keys   *oidc.RemoteKeySet
	readAt time.Time
}

func newIssuer(c OIDC) (*issuer, error) {
	u, err := url.Parse(c.Issuer)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return nil, fmt.Errorf("the OIDC issuer %q is not a URL", c.Issuer)
	}
	if c.Audience == "" {
		return nil, errors.New("an OIDC issuer needs an audience: " +
			"without one, tokens for other services would be good here")
	}
	if c.MinRefetchInterval == 0 {
		c.MinRefetchInterval = 10 * time.Second
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true // it is asked every few minutes
	client := &http.Client{Timeout: issuerTimeout, Transport: newFetchCache(transport, c.MinRefetchInterval)}
	return &issuer{config: c, client: client}, nil
}

// signs reports whether the token is signed as the issuer signs. It is not believed
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
	remote, err := i.current()
	if err != nil {
		return nil, err
	}
	keys := &keySet{remote: remote}
	verifier := oidc.NewVerifier(i.config.Issuer, keys,
		&oidc.Config{ClientID: i.config.Audience, SupportedSigningAlgs: issuerAlgorithms})
	verified, err := verifier.Verify(ctx, token)
	if keys.away != nil {
		return nil, keys.away
	}
	return verified, err
}

// current returns the issuer's keys, which its discovery document names.
func (i *issuer) current() (*oidc.RemoteKeySet, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.keys != nil && time.Since(i.readAt) < keysTTL {
		return i.keys, nil
	}
	// It outlives the request: go-oidc reads the keys with it later.
	ctx := oidc.ClientContext(context.Background(), i.client)
	provider, err := oidc.NewProvider(ctx, i.config.Issuer)
	if err != nil {
		return nil, fmt.Errorf("read the issuer's discovery document: %w: %w", errIssuerAway, err)
	}
	var discovered struct {
		Keys string `json:"jwks_uri"`
	}
	if err := provider.Claims(&discovered); err != nil {
		return nil, fmt.Errorf("read the issuer's discovery document: %w: %w", errIssuerAway, err)
	}
	i.keys, i.readAt = oidc.NewRemoteKeySet(ctx, discovered.Keys), time.Now()
	return i.keys, nil
}

// keySet verifies one token, and tells an issuer that is away from a signature that
// is wrong, which go-oidc's verifier no longer does.
type keySet struct {
	remote *oidc.RemoteKeySet
	away   error // set where the issuer's keys could not be read
}

// VerifySignature implements oidc.KeySet.
func (k *keySet) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	payload, err := k.remote.VerifySignature(ctx, token)
	if errors.Is(err, errIssuerAway) || (err != nil && ctx.Err() != nil) {
		k.away = fmt.Errorf("read the issuer's keys: %w: %w", errIssuerAway, err)
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
		s.config.Log.LogAttrs(ctx, slog.LevelWarn, "the OIDC issuer does not answer",
			slog.Any("error", err))
		return caller{}, schema.Errorf(schema.CodeUnavailable, "The identity provider does not answer.")
	case errors.As(err, &expired):
		return caller{}, errExpired
	case err != nil:
		return caller{}, errNotValid
	}
	n := len([]rune(verified.Subject))
	if n == 0 || n > maxSubject || strings.ContainsFunc(verified.Subject, unicode.IsControl) {
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
	a, err := mail.ParseAddress(c.Email)
	if err != nil || a.Address != c.Email || len(c.Email) > 320 ||
		strings.ContainsFunc(c.Email, unicode.IsControl) {
		return ""
	}
	return c.Email
}
