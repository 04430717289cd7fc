package api_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"intray/api"
	"intray/infra/postgres"
	"intray/schema"
)

// auditEvents returns the events that the filter selects, oldest first.
func (b *bundle) auditEvents(f postgres.AuditFilter) (events []schema.AuditEvent) {
	b.t.Helper()
	for e, err := range b.owner.AuditEvents(b.t.Context(), f) {
		if err != nil {
			b.t.Fatal(err)
		}
		events = append(events, e)
	}
	slices.Reverse(events)
	return events
}

// awaitAudit waits until the API has written its batches: until the sum of the counts of a kind is
// n or more. It returns the events of the kind.
func (b *bundle) awaitAudit(kind schema.AuditKind, n int64) (events []schema.AuditEvent) {
	b.t.Helper()
	eventually(b.t, fmt.Sprintf("%d of %s in the audit trail", n, kind), func() bool {
		events = b.auditEvents(postgres.AuditFilter{Kind: kind})
		sum := int64(0)
		for _, e := range events {
			sum += e.Count
		}
		return sum >= n
	})
	return events
}

// expectEvent checks that one event of the kind exists, and returns it.
func (b *bundle) expectEvent(kind schema.AuditKind, actor, account, address string) {
	b.t.Helper()
	for _, e := range b.awaitAudit(kind, 1) {
		text := func(s *string) string {
			if s == nil {
				return ""
			}
			return *s
		}
		if text(e.Actor) == actor && text(e.Account) == account && text(e.Address) == address {
			return
		}
	}
	b.t.Errorf("got no %s by %q about %q from %q, want one", kind, actor, account, address)
}

// TestAuditTrail makes each call that is recorded, behind a trusted proxy.
func TestAuditTrail(t *testing.T) {
	b := setup(t, func(c *api.Config) {
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	const address = "192.0.2.9"
	from := with{"X-Forwarded-For": address}
	alice, admin := b.alice.email, b.admin.email
	login := func(email, password string) *response {
		return b.anonymous.post("/api/auth/login",
			api.Credentials{Email: email, Password: password}, from)
	}
	document := b.alice.confirmed("a.txt", []byte("x"))

	first := as[api.Token](login(alice, userPassword).is(200))
	b.expectEvent(schema.AuditSignedIn, alice, alice, address)

	login(strings.ToUpper(alice), "wrong password").fails(schema.CodeUnauthenticated)
	b.expectEvent(schema.AuditSignInFailed, "", alice, address)
	login("Nobody@example.com", "wrong password").fails(schema.CodeUnauthenticated)
	login("nul\x00@example.com", "wrong password").fails(schema.CodeUnauthenticated)
	failed := b.awaitAudit(schema.AuditSignInFailed, 3)
	b.expectEvent(schema.AuditSignInFailed, "", "nobody@example.com", address)
	for _, e := range failed {
		if (e.UserID != nil) != (*e.Account == alice) {
			t.Errorf("got %+v, want a user id only for alice", e)
		}
	}
	for _, want := range []string{`"account":"nobody@example.com"`, `"address":"` + address + `"`} {
		if log := b.log.String(); !strings.Contains(log, want) {
			t.Errorf("got a log without %s", want)
		}
	}

	b.alice.get("/api/documents/"+document.ID.String()+"/download-url?disposition=inline", from).
		is(200)
	b.expectEvent(schema.AuditDownloadURLIssued, alice, alice, address)
	download := b.awaitAudit(schema.AuditDownloadURLIssued, 1)[0]
	if *download.DocumentID != document.ID || string(download.Details) != `{"disposition": "inline"}` {
		t.Errorf("got %+v, want the document and the disposition", download)
	}

	b.admin.patch("/api/admin/users/"+b.alice.id.String(), map[string]any{"limit_bytes": 12345}, from).
		is(200)
	b.expectEvent(schema.AuditQuotaChanged, admin, alice, address)
	b.admin.post("/api/admin/topics", api.NewTopic{Name: "Shared"}, from).is(201)
	b.expectEvent(schema.AuditSystemTopicAdded, admin, "", address)

	second := as[api.Token](b.anonymous.post("/api/auth/refresh",
		api.RefreshRequest{RefreshToken: *first.RefreshToken}, from).is(200))
	third := as[api.Token](b.anonymous.post("/api/auth/refresh",
		api.RefreshRequest{RefreshToken: *second.RefreshToken}, from).is(200))
	b.anonymous.post("/api/auth/refresh",
		api.RefreshRequest{RefreshToken: *first.RefreshToken}, from).fails(schema.CodeUnauthenticated)
	b.expectEvent(schema.AuditRefreshTokenReused, "", alice, address)

	fourth := as[api.Token](login(alice, userPassword).is(200))
	b.anonymous.post("/api/auth/logout",
		api.RefreshRequest{RefreshToken: *fourth.RefreshToken}, from).is(204)
	b.expectEvent(schema.AuditSignedOut, alice, alice, address)
	b.alice.post("/api/auth/password",
		api.PasswordChange{CurrentPassword: userPassword, NewPassword: newPassword}, from).is(204)
	b.expectEvent(schema.AuditPasswordChanged, alice, alice, address)

	var all string
	if err := b.sql.Get(&all, `SELECT string_agg(e::text, ' ') FROM audit_events AS e`); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{
		userPassword, newPassword, "wrong password", "X-Amz", "http", "argon2", document.Filename,
		*first.RefreshToken, *third.RefreshToken, first.AccessToken,
	} {
		if strings.Contains(all, secret) {
			t.Errorf("got a trail with %s, want no secret, URL or filename", secret)
		}
	}
}

// TestFailedSignInsAreSummed sends a thousand wrong passwords for three accounts, one of which does
// not exist. Some of them are refused by a limit.
func TestFailedSignInsAreSummed(t *testing.T) {
	b := setup(t, func(c *api.Config) {
		c.Limits.LoginsPerAddress = api.Rate{Burst: 2000, Every: time.Second}
		c.Limits.FailedLoginsPerAddress = api.Rate{Burst: 2000, Every: time.Second}
		c.Limits.LoginsPerAccount = api.Rate{Burst: 2000, Every: time.Second}
		c.Limits.FailedLoginsPerAccount = api.Rate{Burst: 300, Every: time.Hour}
	})
	// The hash that is compared for an unknown account is expensive, so few attempts are for it.
	const total = 1000
	var attempts sync.WaitGroup
	next := make(chan int)
	for range 8 {
		attempts.Go(func() {
			for i := range next {
				email := b.alice.email
				if i%2 == 0 {
					email = b.bob.email
				}
				if i%100 == 0 {
					email = "nobody@example.com"
				}
				b.anonymous.post("/api/auth/login", api.Credentials{Email: email, Password: "wrong"})
			}
		})
	}
	for i := range total {
		next <- i
	}
	close(next)
	attempts.Wait()
	events := b.awaitAudit(schema.AuditSignInFailed, total)
	perMinute, sum := make(map[time.Time]int), int64(0)
	for _, e := range events {
		perMinute[e.At.Truncate(time.Minute)]++
		sum += e.Count
	}
	for minute, rows := range perMinute {
		if rows > 3 {
			t.Errorf("got %d rows in the minute %s, want at most 3", rows, minute)
		}
	}
	if sum != total {
		t.Errorf("got the sum %d, want %d", sum, total)
	}
}

// TestShutdownLosesNoDownloads shuts a server down immediately after the last URL.
func TestShutdownLosesNoDownloads(t *testing.T) {
	b := setup(t)
	document := b.alice.confirmed("a.txt", []byte("x"))
	server := b.listen()
	c := *b.alice
	c.base = server.base
	const total = 300
	for range total {
		c.get("/api/documents/" + document.ID.String() + "/download-url").is(200)
	}
	server.shutdown()
	if n := len(b.auditEvents(postgres.AuditFilter{Kind: schema.AuditDownloadURLIssued})); n != total {
		t.Errorf("got %d downloads in the audit trail, want %d", n, total)
	}
}

// TestDownloadsWithoutAuditTrail checks that downloads work while the trail cannot be written, and
// that their events are written later if that was an outage.
func TestDownloadsWithoutAuditTrail(t *testing.T) {
	b := setup(t)
	document := b.alice.confirmed("a.txt", []byte("x"))
	path := "/api/documents/" + document.ID.String() + "/download-url"
	// An event that can never be written holds up no others.
	b.exec(`REVOKE EXECUTE ON FUNCTION record_audit_events(jsonb) FROM auth`)
	b.alice.get(path).is(200)
	b.awaitLog("events of the audit trail were lost")
	b.exec(`GRANT EXECUTE ON FUNCTION record_audit_events(jsonb) TO auth`)

	tx := b.sql.MustBegin()
	defer func() { _ = tx.Rollback() }()
	tx.MustExec(`LOCK TABLE audit_events IN ACCESS EXCLUSIVE MODE`)
	for range 10 {
		b.alice.get(path).is(200)
	}
	b.awaitLog("the audit trail cannot be written; events wait")
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if n := len(b.awaitAudit(schema.AuditDownloadURLIssued, 10)); n != 10 {
		t.Errorf("got %d downloads, want 10", n)
	}
	b.awaitLog("the audit trail can be written again")
}

// awaitLog waits until the log contains the text.
func (b *bundle) awaitLog(text string) {
	b.t.Helper()
	eventually(b.t, "the log contains "+text, func() bool {
		return strings.Contains(b.log.String(), text)
	})
}

// TestIssuerSignInsAreRecorded presents two tokens of a new user, each of them twice.
func TestIssuerSignInsAreRecorded(t *testing.T) {
	p := newProvider(t)
	b := setup(t, withIssuer(p))
	for _, name := range []string{"first", "second"} {
		token := p.token("carol", jwt.MapClaims{"jti": name})
		b.me(token).is(200)
		b.me(token).is(200)
	}
	b.expectEvent(schema.AuditUserAdded, "carol@issuer.example", "carol@issuer.example", "127.0.0.1")
	count := 0
	for _, e := range b.awaitAudit(schema.AuditSignedIn, 3+2) { // the users of the bundle sign in, too
		if *e.Account == "carol@issuer.example" {
			count++
			if !strings.Contains(string(e.Details), p.url) {
				t.Errorf("got details %s, want the issuer", e.Details)
			}
		}
	}
	if count != 2 {
		t.Errorf("got %d sign-ins of carol, want 2", count)
	}
}
