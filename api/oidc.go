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
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/text/unicode/norm"

	"intray/infra/postgres"
	"intray/schema"
)

// OIDC configures an OpenID Connect provider whose tokens are accepted in addition to our own.
type OIDC struct {
	// Issuer is the provider's URL, exactly as in the iss claim of its tokens. Its discovery document
	// is at /.well-known/openid-configuration below it. If it is empty, only our own tokens are
	// accepted.
	Issuer string
	// Audience must be one of the audiences of a token. It is required if Issuer is set.
	Audience string
	// ClientID is the public client with which a page signs its users in. If it is empty, pages are
	// not told how to.
	ClientID string
	// MinRefetchInterval is the minimum time between two requests for the same document of the
	// provider, such as its keys, however many tokens with unknown keys arrive. Default: 10 s.
	MinRefetchInterval time.Duration
}

const (
	// issuerTimeout bounds one request to the issuer.
	issuerTimeout = 5 * time.Second
	// keysTTL is how long the issuer's keys are used before they are fetched again, even if they
	// verify all tokens. It limits how long a key is accepted after the issuer has withdrawn it.
	keysTTL = 10 * time.Minute
	// staleKeysTTL is how long the last keys are used while the issuer does not respond.
	staleKeysTTL = 24 * time.Hour
	// maxSubject is the maximum length of the sub claim in characters (OpenID Connect Core, section
	// 2).
	maxSubject = 255
)

// issuerAlgorithms are the signature algorithms that are accepted, whatever the discovery document
// lists.
var issuerAlgorithms = []string{oidc.RS256, oidc.ES256}

// errIssuerUnavailable means that the issuer's keys are not cached and cannot be fetched.
var errIssuerUnavailable = errors.New("the OIDC issuer does not respond")

// issuer checks the tokens of an OpenID Connect provider. It sends no request before the first
// token arrives, so the API can start while the provider is down.
type issuer struct {
	config OIDC
	client *http.Client

	mu        sync.Mutex
	keys      *oidc.RemoteKeySet
	fetchedAt time.Time // of keys
}

func newIssuer(c OIDC) (*issuer, error) {
	u, err := url.Parse(c.Issuer)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return nil, fmt.Errorf("the OIDC issuer %q is not an HTTP URL", c.Issuer)
	}
	if c.Audience == "" {
		return nil, errors.New("an OIDC issuer requires an audience: " +
			"without it, tokens that were issued for other services would be accepted")
	}
	if c.MinRefetchInterval == 0 {
		c.MinRefetchInterval = 10 * time.Second
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true // there is one request every few minutes
	client := &http.Client{
		Timeout:   issuerTimeout,
		Transport: newFetchCache(transport, c.MinRefetchInterval),
	}
	return &issuer{config: c, client: client}, nil
}

// usesAlgorithmOf reports whether the token's header names a signature algorithm of the issuer. It
// does not verify the signature.
func (i *issuer) usesAlgorithmOf(token string) bool {
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

// verify returns the claims of a valid token. It fails with errIssuerUnavailable if the issuer's
// keys cannot be read, and with an error from go-oidc if the token is not valid.
func (i *issuer) verify(ctx context.Context, token string) (*oidc.IDToken, error) {
	remote, err := i.currentKeys()
	if err != nil {
		return nil, err
	}
	keys := &keySet{remote: remote}
	verifier := oidc.NewVerifier(i.config.Issuer, keys,
		&oidc.Config{ClientID: i.config.Audience, SupportedSigningAlgs: issuerAlgorithms})
	verified, err := verifier.Verify(ctx, token)
	if keys.fetchErr != nil {
		return nil, keys.fetchErr
	}
	return verified, err
}

// currentKeys returns the key set at the address that the issuer's discovery document names.
func (i *issuer) currentKeys() (*oidc.RemoteKeySet, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.keys != nil && time.Since(i.fetchedAt) < keysTTL {
		return i.keys, nil
	}
	// The request's context must not be used, because go-oidc keeps the context and fetches keys with
	// it later.
	ctx := oidc.ClientContext(context.Background(), i.client)
	provider, err := oidc.NewProvider(ctx, i.config.Issuer)
	if err != nil {
		return nil, fmt.Errorf("read the issuer's discovery document: %w: %w",
			errIssuerUnavailable, err)
	}
	var discovered struct {
		Keys string `json:"jwks_uri"`
	}
	if err := provider.Claims(&discovered); err != nil {
		return nil, fmt.Errorf("read the issuer's discovery document: %w: %w",
			errIssuerUnavailable, err)
	}
	i.keys, i.fetchedAt = oidc.NewRemoteKeySet(ctx, discovered.Keys), time.Now()
	return i.keys, nil
}

// keySet verifies one token. It records whether fetching the issuer's keys failed, because
// go-oidc's verifier returns an error that does not wrap the cause.
type keySet struct {
	remote   *oidc.RemoteKeySet
	fetchErr error // wraps errIssuerUnavailable; nil if the keys were fetched
}

// VerifySignature implements oidc.KeySet.
func (k *keySet) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	payload, err := k.remote.VerifySignature(ctx, token)
	if errors.Is(err, errIssuerUnavailable) || (err != nil && ctx.Err() != nil) {
		k.fetchErr = fmt.Errorf("read the issuer's keys: %w: %w", errIssuerUnavailable, err)
	}
	return payload, err
}

// authenticateWithIssuer returns the user that a token of the issuer identifies. If the user has no
// account yet, it creates one. The audit trail records the address of the client.
func (s *server) authenticateWithIssuer(
	ctx context.Context, token string, client netip.Addr,
) (caller, error) {
	verified, err := s.issuer.verify(ctx, token)
	var expired *oidc.TokenExpiredError
	switch {
	case errors.Is(err, errIssuerUnavailable):
		s.config.Log.LogAttrs(ctx, slog.LevelWarn, "the OIDC issuer does not respond",
			slog.Any("error", err))
		return caller{}, schema.Errorf(schema.CodeUnavailable,
			"The identity provider does not respond.")
	case errors.As(err, &expired):
		return caller{}, errTokenExpired
	case err != nil:
		return caller{}, errTokenInvalid
	}
	n := len([]rune(verified.Subject))
	if n == 0 || n > maxSubject || strings.ContainsFunc(verified.Subject, unicode.IsControl) {
		return caller{}, errTokenInvalid
	}
	account, err := s.auth.IdentityAccount(ctx, postgres.Identity{
		Issuer: verified.Issuer, Subject: verified.Subject, Email: verifiedEmail(verified),
		Client: client,
	}, s.config.DefaultQuota)
	if err != nil {
		return caller{}, err
	}
	s.audit.issuerSignIn(account.ID, client, verified.Issuer, token)
	return caller{id: account.ID, role: account.Role}, nil
}

// MaxEmailLength is the maximum length of an email address in characters.
const MaxEmailLength = 320

// verifiedEmail returns the token's email address in Unicode normalization form C, or "" if the
// address is malformed or the issuer does not state that it has verified it.
func verifiedEmail(token *oidc.IDToken) string {
	var c struct {
		Email    string `json:"email"`
		Verified any    `json:"email_verified"` // some issuers send "true" instead of true
	}
	if err := token.Claims(&c); err != nil || (c.Verified != true && c.Verified != "true") {
		return ""
	}
	email := norm.NFC.String(c.Email)
	a, err := mail.ParseAddress(email)
	if err != nil || a.Address != email || utf8.RuneCountInString(email) > MaxEmailLength ||
		strings.ContainsFunc(email, unicode.IsControl) {
		return ""
	}
	return email
}
