package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"intray/cmd/internal/stacktest"
	"intray/schema"
)

// auditEvents returns the events that "intray audit list --json" lists, newest first.
func (s *stack) auditEvents(t *testing.T, flags ...string) (events []schema.AuditEvent) {
	t.Helper()
	out := s.operator(t, 0, append([]string{"audit", "list", "--json"}, flags...)...)
	for line := range strings.Lines(out) {
		var e schema.AuditEvent
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("parse %s: %v", line, err)
		}
		events = append(events, e)
	}
	return events
}

// TestAuditCommands makes changes as an operator, and lists them.
func TestAuditCommands(t *testing.T) {
	s := up(t)
	ann := []string{"--actor", "ann", "--reason", "as asked"}
	s.operator(t, 0, append([]string{"users", "set", "bob@intray.local", "--quota", "5"}, ann...)...)
	s.operator(t, 0, append([]string{"reconcile", "--fix", "--settle", "1ms"}, ann...)...)
	if _, err := s.database(t).Exec(`INSERT INTO dead_letters
			(stream, sequence, consumer, subject, data, reason, attempts, first_at)
		VALUES ('BUCKET', 1, 'confirm', 'bucket.created.direct', '', 'test', 1, now())`); err != nil {
		t.Fatal(err)
	}
	s.operator(t, 0, "deadletters", "drop", "--consumer", "confirm", "--actor", "ann",
		"--audit-reason", "as asked")
	for kind, details := range map[schema.AuditKind]string{
		schema.AuditQuotaChanged:       `"to":5`,
		schema.AuditRepairStarted:      `"delete_unknown":false`,
		schema.AuditRepairEnded:        `"left":0`,
		schema.AuditDeadLettersDropped: `"consumer":"confirm"`,
	} {
		events := s.auditEvents(t, "--kind", string(kind), "--since", "1h")
		if len(events) != 1 || events[0].Actor == nil || *events[0].Actor != "ann" {
			t.Errorf("%s: got %+v, want one event by ann", kind, events)
			continue
		}
		got := strings.ReplaceAll(string(events[0].Details), " ", "")
		if !strings.Contains(got, details) || !strings.Contains(got, `"reason":"asasked"`) {
			t.Errorf("%s: got details %s, want %s and the reason", kind, got, details)
		}
	}
	if got := s.auditEvents(t, "--kind", "provisioned"); len(got) == 0 {
		t.Error("got no event provisioned, want that of the start")
	}

	body := map[string]string{"email": "bob@intray.local", "password": "a wrong password"}
	for range 3 {
		status, _, err := s.Client(t).Call("POST", "/api/auth/login", body, nil)
		if err != nil || status != http.StatusUnauthorized {
			t.Fatalf("login: got status %d, error %v, want 401", status, err)
		}
	}
	stacktest.Await(t, 20*time.Second, "3 failed sign-ins", func() error {
		count := int64(0)
		for _, e := range s.auditEvents(t, "--kind", "sign_in_failed", "--user", "BOB@intray.local") {
			count += e.Count
		}
		if count != 3 {
			return fmt.Errorf("got %d, want 3", count)
		}
		return nil
	})

	t.Run("table", func(t *testing.T) {
		out := s.operator(t, 0, "audit", "list", "--user", "bob@intray.local")
		expectText(t, out, "TIME", "sign_in_failed", "quota_changed", "127.0.0.1", "as asked")
		expectText(t, s.operator(t, 0, "audit", "list", "--limit", "1"), "There are more")
		expectText(t, s.operator(t, 0, "audit", "list", "--user", "nobody@x.org"), "No events.")
	})
	t.Run("wrong usage", func(t *testing.T) {
		for _, flags := range []string{
			"--kind login", "--limit -1", "--since 1h --until 2h", "--since yesterday",
		} {
			s.operator(t, 2, append([]string{"audit", "list"}, strings.Fields(flags)...)...)
		}
	})
}
