package api

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"

	"intray/infra/connlimit"
	"intray/infra/postgres"
	"intray/schema"
)

const (
	// auditInterval is the time between two batches of the audit trail. A process that is killed loses
	// what it has not written yet.
	auditInterval = 500 * time.Millisecond
	// auditTimeout bounds the attempt to write a batch.
	auditTimeout = 5 * time.Second
	// maxAuditBatch is the maximum number of events in a batch.
	maxAuditBatch = 1000
	// maxAuditEvents is the maximum number of events that wait for PostgreSQL, and maxFailedSignIns
	// that of failed sign-ins, which are summed up.
	maxAuditEvents, maxFailedSignIns = 10_000, 1000
)

// auditTrail writes events that belong to no transaction in batches, so that no request waits for
// them or fails because of them: download URLs, failed sign-ins, and sign-ins at an OIDC issuer.
// All other events are recorded by the transactions that they are about.
type auditTrail struct {
	auth *postgres.Auth
	log  *slog.Logger
	// issued contains the issuer's tokens whose sign-in was recorded, by their SHA-256.
	issued *lru.Cache[[sha256.Size]byte, struct{}]

	mu     sync.Mutex
	events []schema.NewAuditEvent
	failed map[failedSignIn]schema.NewAuditEvent
	lost   int // events that were dropped since the last batch

	stop    context.CancelFunc
	stopped chan struct{}
}

// failedSignIn identifies the failed sign-ins that are summed up.
type failedSignIn struct {
	account string
	address netip.Prefix
	minute  time.Time // of this process; the database computes the stored one
}

// newAuditTrail starts writing batches until close is called.
func newAuditTrail(auth *postgres.Auth, log *slog.Logger) *auditTrail {
	issued, err := lru.New[[sha256.Size]byte, struct{}](maxCachedTokens)
	if err != nil {
		panic(err) // the size is not positive
	}
	ctx, cancel := context.WithCancel(context.Background())
	a := &auditTrail{
		auth: auth, log: log, issued: issued, failed: make(map[failedSignIn]schema.NewAuditEvent),
		stop: cancel, stopped: make(chan struct{}),
	}
	go a.run(ctx)
	return a
}

// close writes what was recorded before and stops.
func (a *auditTrail) close() {
	a.stop()
	<-a.stopped
}

// run writes a batch every auditInterval, and the rest when ctx is canceled.
func (a *auditTrail) run(ctx context.Context) {
	defer close(a.stopped)
	next := time.NewTicker(auditInterval)
	defer next.Stop()
	failing := false
	for done := false; !done; {
		select {
		case <-next.C:
		case <-ctx.Done():
			done = true
		}
		err := a.writeAll()
		switch {
		case err != nil && !failing:
			a.log.Warn("the audit trail cannot be written; events wait", "error", err)
		case err == nil && failing:
			a.log.Info("the audit trail can be written again")
		}
		failing = err != nil
		if done && err != nil {
			a.log.Error("events of the audit trail were lost", "events", a.waiting(), "error", err)
		}
	}
}

// writeAll writes batches until no event waits. If the database is unavailable, it returns an error
// and the events continue to wait.
func (a *auditTrail) writeAll() error {
	for {
		batch, lost := a.take()
		if lost > 0 {
			a.log.Error("events of the audit trail were lost because too many wait", "events", lost)
		}
		if len(batch) == 0 {
			return nil
		}
		ctx, cancel := context.WithTimeout(context.Background(), auditTimeout)
		err := a.auth.RecordEvents(ctx, batch)
		cancel()
		switch {
		case errors.Is(err, postgres.ErrUnavailable), errors.Is(err, postgres.ErrAborted):
			a.putBack(batch)
			return err
		case err != nil: // it would fail again
			a.log.Error("events of the audit trail were lost", "events", len(batch), "error", err)
		}
	}
}

// take removes the next batch, and returns it with the number of events that were dropped.
func (a *auditTrail) take() (batch []schema.NewAuditEvent, lost int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	batch = slices.Collect(maps.Values(a.failed))
	clear(a.failed)
	n := min(len(a.events), max(0, maxAuditBatch-len(batch)))
	batch = append(batch, a.events[:n]...)
	if a.events = a.events[n:]; len(a.events) == 0 {
		a.events = nil
	}
	lost, a.lost = a.lost, 0
	return batch, lost
}

// putBack makes the events of a batch wait again.
func (a *auditTrail) putBack(batch []schema.NewAuditEvent) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range batch {
		a.addLocked(e)
	}
}

func (a *auditTrail) waiting() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.events) + len(a.failed)
}

func (a *auditTrail) add(e schema.NewAuditEvent) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.addLocked(e)
}

// addLocked adds an event. The caller must hold a.mu.
func (a *auditTrail) addLocked(e schema.NewAuditEvent) {
	if e.Kind != schema.AuditSignInFailed {
		if len(a.events) == maxAuditEvents {
			a.lost++
			return
		}
		a.events = append(a.events, e)
		return
	}
	key := failedSignIn{e.Account, e.Address, e.Happened.Truncate(time.Minute)}
	sum, ok := a.failed[key]
	if !ok && len(a.failed) >= maxFailedSignIns {
		// One more entry, for all others of the minute.
		key.account, key.address = "", netip.Prefix{}
		e.Account, e.Address = "", netip.Prefix{}
		sum, ok = a.failed[key]
	}
	if ok {
		e.Happened, e.Count = sum.Happened, sum.Count+e.Count
	}
	a.failed[key] = e
}

// downloadURL records that the user has received a download URL of a document. The URL itself is
// not stored.
func (a *auditTrail) downloadURL(ctx context.Context, document uuid.UUID, disposition string) {
	who := callerOf(ctx)
	a.addEvent(schema.NewAuditEvent{
		Kind: schema.AuditDownloadURLIssued, UserID: who.id, DocumentID: document,
		Address: hostOf(clientOf(ctx)), Details: map[string]any{"disposition": disposition},
	})
}

// issuerSignIn records that a user has presented a token of an OIDC issuer, if this process sees
// the token for the first time.
func (a *auditTrail) issuerSignIn(user uuid.UUID, client netip.Addr, issuer, token string) {
	if seen, _ := a.issued.ContainsOrAdd(sha256.Sum256([]byte(token)), struct{}{}); seen {
		return
	}
	a.addEvent(schema.NewAuditEvent{
		Kind: schema.AuditSignedIn, UserID: user, Address: hostOf(client),
		Details: map[string]any{"issuer": truncate(issuer)},
	})
}

// addEvent adds an event that happens now, with a new id.
func (a *auditTrail) addEvent(e schema.NewAuditEvent) {
	id, err := uuid.NewV7()
	if err != nil {
		a.log.Error("an event of the audit trail was lost", "error", err)
		return
	}
	e.ID, e.Happened, e.Count = id, time.Now(), 1
	a.add(e)
}

// signInFailed records and logs that a client has sent a wrong password for an account, or that its
// sign-in was refused by a limit.
func (a *auditTrail) signInFailed(ctx context.Context, account, reason string) {
	account = truncate(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, account))
	client := clientOf(ctx)
	a.log.LogAttrs(ctx, slog.LevelWarn, "sign-in failed", slog.String("account", account),
		slog.String("address", callerOf(ctx).address), slog.String("reason", reason))
	e := schema.NewAuditEvent{
		Kind: schema.AuditSignInFailed, Happened: time.Now(), Account: account, Count: 1,
	}
	if client.IsValid() {
		e.Address = connlimit.NetworkOf(client)
	}
	a.add(e)
}

// truncate returns the beginning of a text, with as many characters as an email address can have.
func truncate(text string) string {
	runes := []rune(text)
	return string(runes[:min(len(runes), MaxEmailLength)])
}

// clientOf returns the address of the client that makes a request, which is invalid if it is
// unknown.
func clientOf(ctx context.Context) netip.Addr { return parseAddress(callerOf(ctx).address) }

// parseAddress parses the address of a client. If it is malformed, the result is invalid.
func parseAddress(text string) netip.Addr {
	address, _ := netip.ParseAddr(text)
	return address.Unmap().WithZone("")
}

// hostOf returns the network that contains only the address, or the zero Prefix.
func hostOf(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }
