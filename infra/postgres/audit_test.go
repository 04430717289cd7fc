package postgres_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"intray/infra/postgres"
	"intray/schema"
)

// auditEvents returns the events that the filter selects, oldest first.
func (b *bundle) auditEvents(t *testing.T, f postgres.AuditFilter) (events []schema.AuditEvent) {
	t.Helper()
	for e, err := range b.owner.AuditEvents(t.Context(), f) {
		must(t, err)
		events = append(events, e)
	}
	slices.Reverse(events)
	return events
}

// describeEvent returns the kind, actor, account, address and details of an event in one line.
func describeEvent(e schema.AuditEvent) string {
	text := func(s *string) string {
		if s == nil {
			return "-"
		}
		return *s
	}
	return fmt.Sprintf("%s by %s about %s from %s %s",
		e.Kind, text(e.Actor), text(e.Account), text(e.Address), e.Details)
}

func TestAuditKinds(t *testing.T) {
	b := setup(t)
	for _, kind := range schema.AuditKinds {
		b.raw.MustExec(`INSERT INTO audit_events (kind) VALUES ($1)`, kind)
	}
	var stored int
	must(t, b.raw.Get(&stored, `
		SELECT (length(d) - length(replace(d, '::text', ''))) / length('::text')
		FROM pg_constraint AS c, pg_get_constraintdef(c.oid) AS d
		WHERE conname = 'audit_events_kind_check'`))
	if stored != len(schema.AuditKinds) {
		t.Errorf("got %d kinds in the database, want %d", stored, len(schema.AuditKinds))
	}
}

// TestChangesAreRecorded makes each change that a transaction records.
func TestChangesAreRecorded(t *testing.T) {
	b := setup(t)
	ctx, client := t.Context(), netip.MustParseAddr("192.0.2.7")
	operator := openWith(t, b.url, postgres.Options{Actor: "ann@host", Reason: "it's time"})
	admin := b.api.ForUser(b.administrator).From(client)
	limit, provider, role, hash := int64(5), "builtin", schema.RoleAdmin, "a hash"
	topic := schema.Topic{ID: newID(t), Name: "Taxes"}
	added := newID(t)
	const ann = `"reason": "it's time"`
	for _, c := range []struct {
		change func() error
		want   []string
	}{
		{func() error {
			_, err := admin.ChangeUser(ctx, b.alice,
				postgres.UserPatch{LimitBytes: &limit, AIProvider: &provider})
			return err
		}, []string{
			`quota_changed by admin@example.org about alice@example.org from 192.0.2.7 ` +
				`{"to": 5, "from": 104857600}`,
			`ai_settings_changed by admin@example.org about alice@example.org from 192.0.2.7 ` +
				`{"to_model": "", "from_model": "", "to_provider": "builtin", "from_provider": ""}`,
		}},
		{func() error { return admin.CreateTopic(ctx, topic) }, []string{
			`system_topic_added by admin@example.org about - from 192.0.2.7 {"name": "Taxes", ` +
				`"topic_id": "` + topic.ID.String() + `"}`,
		}},
		{func() error {
			name := "Tax"
			_, err := admin.UpdateTopic(ctx, schema.ScopeSystem, topic.ID,
				postgres.TopicPatch{Name: &name})
			return err
		}, []string{
			`system_topic_changed by admin@example.org about - from 192.0.2.7 {"name": "Tax", ` +
				`"topic_id": "` + topic.ID.String() + `"}`,
		}},
		{func() error { return admin.DeleteTopic(ctx, schema.ScopeSystem, topic.ID) }, []string{
			`system_topic_removed by admin@example.org about - from 192.0.2.7 {"name": "Tax", ` +
				`"topic_id": "` + topic.ID.String() + `"}`,
		}},
		{func() error {
			own := schema.Topic{ID: newID(t), Name: "Own", UserID: &b.alice}
			return b.api.ForUser(b.alice).CreateTopic(ctx, own)
		}, nil},
		{func() error {
			return operator.AddUser(ctx, postgres.NewUser{ID: added, Email: "new@example.org"})
		}, []string{
			`user_added by ann@host about new@example.org from - {"role": "user", ` + ann + `}`,
		}},
		{func() error {
			_, err := operator.ChangeAccount(ctx, added, postgres.AccountPatch{
				Role: &role, PasswordHash: &hash, UserPatch: postgres.UserPatch{LimitBytes: &limit}})
			return err
		}, []string{
			`password_changed by ann@host about new@example.org from - {` + ann + `}`,
			`role_changed by ann@host about new@example.org from - {"to": "admin", "from": "user", ` +
				ann + `}`,
			`quota_changed by ann@host about new@example.org from - {"to": 5, "from": 104857600, ` +
				ann + `}`,
		}},
		{func() error {
			if err := operator.DisableAccount(ctx, added); err != nil {
				return err
			}
			_, _, err := operator.RemoveUser(ctx, added, 10)
			return err
		}, []string{
			`password_changed by ann@host about new@example.org from - {"reason": "it's time", ` +
				`"removed": true}`,
			`role_changed by ann@host about new@example.org from - {"to": "user", "from": "admin", ` +
				ann + `}`,
			`user_removed by ann@host about new@example.org from - {` + ann + `}`,
		}},
		{func() error {
			_, err := operator.Pool().Exec(`SELECT rotate_proof_key()`)
			return err
		}, []string{`proof_key_rotated by ann@host about - from - {` + ann + `}`}},
		// Also a change that no command makes.
		{func() error {
			_, err := b.raw.Exec(`UPDATE quotas SET limit_bytes = 6 WHERE user_id = $1`, b.bob)
			return err
		}, []string{
			`quota_changed by ` + ownerOf(t, b) + ` about bob@example.org from - ` +
				`{"to": 6, "from": 104857600}`,
		}},
		// What changes all the time is not recorded.
		{func() error {
			_, err := b.raw.Exec(`UPDATE quotas SET used_bytes = used_bytes, limit_bytes = limit_bytes`)
			return err
		}, nil},
		{func() error {
			return operator.RecordOperation(ctx, schema.AuditDeadLettersDropped,
				map[string]any{"count": 3})
		}, []string{
			`dead_letters_dropped by ann@host about - from - {"count": 3, ` + ann + `}`,
		}},
		{func() error {
			return b.worker.RecordRepair(ctx, schema.AuditRepairStarted, map[string]any{"n": 1})
		}, []string{`repair_started by worker about - from - {"n": 1}`}},
	} {
		before := len(b.auditEvents(t, postgres.AuditFilter{}))
		must(t, c.change())
		var got []string
		for _, e := range b.auditEvents(t, postgres.AuditFilter{})[before:] {
			got = append(got, describeEvent(e))
		}
		// Events of one transaction have the same time.
		slices.Sort(got)
		slices.Sort(c.want)
		if !slices.Equal(got, c.want) {
			t.Errorf("got %s\nwant %s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

func ownerOf(t *testing.T, b *bundle) (name string) {
	t.Helper()
	must(t, b.raw.Get(&name, `SELECT current_user`))
	return name
}

func TestReplaysAreRecorded(t *testing.T) {
	b := setup(t)
	ctx := t.Context()
	r := postgres.Replay{Name: "r", Actor: "ann", Reason: "lost", Target: "confirm",
		Selection: []byte("{}")}
	must(t, b.owner.CreateReplay(ctx, r))
	_, err := b.owner.StartReplay(ctx, "r")
	must(t, err)
	for _, status := range []string{
		postgres.ReplayRunning, postgres.ReplayPaused, postgres.ReplayRunning,
	} {
		_, err := b.owner.SetReplayStatus(ctx, "r", status)
		must(t, err)
	}
	must(t, b.owner.EndReplay(ctx, "r", postgres.ReplayDone))
	var got []string
	for _, e := range b.auditEvents(t, postgres.AuditFilter{}) {
		if kind, ok := strings.CutPrefix(string(e.Kind), "replay_"); ok {
			got = append(got, kind)
			if !strings.Contains(string(e.Details), `"replay_reason": "lost"`) {
				t.Errorf("got details %s, want the reason", e.Details)
			}
		}
	}
	if want := []string{"started", "paused", "resumed", "ended"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestChangeFailsIfItCannotBeRecorded breaks the recording of changes.
func TestChangeFailsIfItCannotBeRecorded(t *testing.T) {
	b := setup(t)
	b.raw.MustExec(`ALTER TABLE audit_events ADD CONSTRAINT broken CHECK (count < 0) NOT VALID`)
	limit, role, hash, provider := int64(5), schema.RoleAdmin, "new", "builtin"
	admin := b.api.ForUser(b.administrator)
	for name, change := range map[string]func() error{
		"a quota": func() error {
			_, err := admin.ChangeUser(t.Context(), b.alice, postgres.UserPatch{LimitBytes: &limit})
			return err
		},
		"an AI provider": func() error {
			_, err := admin.ChangeUser(t.Context(), b.alice, postgres.UserPatch{AIProvider: &provider})
			return err
		},
		"a role": func() error {
			_, err := b.owner.ChangeAccount(t.Context(), b.alice, postgres.AccountPatch{Role: &role})
			return err
		},
		"a password": func() error {
			_, err := b.auth.ChangePassword(t.Context(), b.alice, "hash of alice@example.org", hash,
				uuid.Nil, testClient)
			return err
		},
	} {
		if err := change(); err == nil {
			t.Errorf("%s: got no error, want one", name)
		}
	}
	var unchanged bool
	must(t, b.raw.Get(&unchanged, `
		SELECT u.role = 'user' AND u.password_hash = 'hash of alice@example.org'
			AND u.ai_provider = '' AND q.limit_bytes = $2
		FROM users AS u JOIN quotas AS q ON q.user_id = u.id WHERE u.id = $1`,
		b.alice, schema.DefaultQuota))
	if !unchanged {
		t.Error("got a changed account, want it unchanged")
	}
}

// TestAuditTrailIsInsertOnly tries to read and change the trail with each role, and to record
// events that the role is not entitled to.
func TestAuditTrailIsInsertOnly(t *testing.T) {
	b := setup(t)
	table := []string{
		`SELECT FROM audit_events`, `INSERT INTO audit_events (kind) VALUES ('signed_in')`,
		`UPDATE audit_events SET count = 2`, `DELETE FROM audit_events`, `TRUNCATE audit_events`,
		`SELECT audit('signed_in', NULL, NULL, '{}')`,
	}
	record := func(kind string) string {
		return `SELECT record_audit_events('[{"kind": "` + kind + `", "age": 0, "id": "` +
			uuid.NewString() + `", "account": "a", "count": 1}]')`
	}
	repair := func(kind string) string { return `SELECT record_repair('` + kind + `', '{}')` }
	const prune = `SELECT prune_audit_events(now(), 10)`
	for role, c := range map[string]struct {
		db      *sqlx.DB
		allowed []string
	}{
		"api":    {b.rawAPI, nil},
		"auth":   {b.rawAuth, []string{"signed_in", "sign_in_failed", "download_url_issued"}},
		"worker": {b.rawWorker, []string{"repair_started", "repair_ended"}},
	} {
		for _, statement := range table {
			wantInsufficientPrivilege(t, role+": "+statement, execStatement(c.db, statement))
		}
		for _, kind := range schema.AuditKinds {
			statement := record(string(kind))
			if role == "worker" {
				statement = repair(string(kind))
			}
			if slices.Contains(c.allowed, string(kind)) {
				must(t, execStatement(c.db, statement))
			} else {
				wantInsufficientPrivilege(t, role+": "+statement, execStatement(c.db, statement))
			}
		}
		if role != "worker" {
			wantInsufficientPrivilege(t, role+": repair", execStatement(c.db, repair("repair_started")))
			wantInsufficientPrivilege(t, role+": prune", execStatement(c.db, prune))
		}
	}
	wantInsufficientPrivilege(t, "worker", execStatement(b.rawWorker, record("signed_in")))

	// The owner and the sweeper cannot change or delete what is not 90 days old.
	before := len(b.auditEvents(t, postgres.AuditFilter{}))
	for _, statement := range []string{
		`UPDATE audit_events SET actor = 'x' WHERE kind <> 'sign_in_failed'`, `DELETE FROM audit_events`,
	} {
		result, err := b.raw.Exec(statement)
		must(t, err)
		if n, _ := result.RowsAffected(); n != 0 {
			t.Errorf("owner: %s: got %d rows, want 0", statement, n)
		}
	}
	must(t, execStatement(b.rawWorker, prune))
	if got := len(b.auditEvents(t, postgres.AuditFilter{})); got != before || before == 0 {
		t.Errorf("got %d events, want %d", got, before)
	}
}

// TestActorCannotBeForged sets what names an operator in a session of the API.
func TestActorCannotBeForged(t *testing.T) {
	b := setup(t)
	b.asUser(t, b.administrator, func(tx *sqlx.Tx) {
		tx.MustExec(`SELECT set_config('intray.actor', 'bob', true),
			set_config('intray.reason', 'forged', true),
			set_config('intray.acting_user', $1, true)`, b.bob.String())
		tx.MustExec(`SELECT admin_change_user($1, 7, NULL, NULL)`, b.alice)
		must(t, tx.Commit())
	})
	events := b.auditEvents(t, postgres.AuditFilter{Kind: schema.AuditQuotaChanged})
	if len(events) != 1 || *events[0].ActorID != b.administrator ||
		*events[0].Actor != "admin@example.org" || strings.Contains(string(events[0].Details), "forged") {
		t.Errorf("got %+v, want one event of the administrator", events)
	}
}

// failures returns failed sign-ins of an account from the address 10.0.x.y.
func failures(account string, address, n int) schema.NewAuditEvent {
	a := netip.AddrFrom4([4]byte{10, 0, byte(address >> 8), byte(address)})
	return schema.NewAuditEvent{
		Kind: schema.AuditSignInFailed, Account: account, Happened: time.Now(), Count: int64(n),
		Address: netip.PrefixFrom(a, 32),
	}
}

// TestFailedSignInsAreBounded tries accounts that exist and invented ones, each from many
// addresses.
func TestFailedSignInsAreBounded(t *testing.T) {
	b := setup(t)
	var batch []schema.NewAuditEvent
	for i := range 100 {
		batch = append(batch, failures("ALICE@example.org", i, 2), failures("bob@example.org", 1000+i, 1))
		for j := range 3 {
			batch = append(batch, failures(fmt.Sprintf("invented%d@x.org", i), j, 1))
		}
		batch = append(batch, failures(strings.Repeat("İ", 400), i, 1))
	}
	const total = 100 * 7
	// Both batches must be of the same minute.
	for {
		var minute time.Time
		b.raw.MustExec(`TRUNCATE audit_events`)
		must(t, b.raw.Get(&minute, `SELECT date_trunc('minute', now())`))
		for i := range batch {
			batch[i].Happened = time.Now()
		}
		must(t, b.auth.RecordEvents(t.Context(), batch))
		must(t, b.auth.RecordEvents(t.Context(), batch))
		var later time.Time
		must(t, b.raw.Get(&later, `SELECT date_trunc('minute', now())`))
		if later.Equal(minute) {
			break
		}
	}
	var rows, count, ofAlice, unknown int
	must(t, b.raw.QueryRow(`
		SELECT count(*), sum(count), sum(count) FILTER (WHERE account = 'alice@example.org'),
			sum(count) FILTER (WHERE account IS NULL AND address IS NULL)
		FROM audit_events WHERE kind = 'sign_in_failed'`).Scan(&rows, &count, &ofAlice, &unknown))
	if rows > 81 || count != 2*total || ofAlice != 400 {
		t.Errorf("got %d rows with the count %d, %d of alice, want at most 81, %d and 400",
			rows, count, ofAlice, 2*total)
	}
	if unknown == 0 {
		t.Error("got no failed sign-ins without account and address, want some")
	}
	events := b.auditEvents(t, postgres.AuditFilter{UserID: b.alice, Account: "alice@example.org"})
	if len(events) < 2 {
		t.Errorf("got %d rows of alice, want some with and one without an address", len(events))
	}
}

// TestEventsAreRecordedOnce repeats a batch whose response was lost.
func TestEventsAreRecordedOnce(t *testing.T) {
	b := setup(t)
	document := newID(t)
	batch := []schema.NewAuditEvent{
		{ID: newID(t), Kind: schema.AuditDownloadURLIssued, UserID: b.alice, DocumentID: document,
			Happened: time.Now().Add(-time.Hour), Address: netip.MustParsePrefix("2001:db8::1/128"),
			Details: map[string]any{"disposition": "inline"}},
		{ID: newID(t), Kind: schema.AuditSignedIn, UserID: b.bob, Happened: time.Now()},
	}
	for range 2 {
		must(t, b.auth.RecordEvents(t.Context(), batch))
	}
	events := b.auditEvents(t, postgres.AuditFilter{Kind: schema.AuditDownloadURLIssued})
	const want = `download_url_issued by alice@example.org about alice@example.org from 2001:db8::1 ` +
		`{"disposition": "inline"}`
	if len(events) != 1 || describeEvent(events[0]) != want || *events[0].DocumentID != document {
		t.Fatalf("got %+v, want one event: %s", events, want)
	}
	if age := time.Since(events[0].At); age < 59*time.Minute || age > 61*time.Minute {
		t.Errorf("got an event that is %s old, want an hour", age)
	}
}

// TestPurgeAuditEvents purges events of all ages as if it were later.
func TestPurgeAuditEvents(t *testing.T) {
	b := setup(t)
	b.raw.MustExec(`TRUNCATE audit_events`)
	b.raw.MustExec(`INSERT INTO audit_events (kind, at)
		SELECT 'signed_in', now() - CASE WHEN i < 2500 THEN '91 days' ELSE '89 days' END::interval
		FROM generate_series(0, 2509) AS i`)
	var batches []int64
	later := time.Now().Add(100 * 24 * time.Hour)
	for n, err := range b.worker.PurgeAuditEvents(t.Context(), later) {
		must(t, err)
		batches = append(batches, n)
	}
	if want := []int64{1000, 1000, 500}; !slices.Equal(batches, want) {
		t.Errorf("got batches of %v, want %v", batches, want)
	}
	if n := count(t, b.raw, `SELECT count(*) FROM audit_events`); n != 10 {
		t.Errorf("got %d events, want the 10 that are younger", n)
	}
}

// TestAuditEventsOfFilters lists more events than one statement reads.
func TestAuditEventsOfFilters(t *testing.T) {
	b := setup(t)
	b.raw.MustExec(`TRUNCATE audit_events`)
	removed := newID(t)
	b.raw.MustExec(`INSERT INTO audit_events (kind, at, actor_id, user_id, account)
		SELECT CASE WHEN i % 3 = 0 THEN 'signed_in' ELSE 'download_url_issued' END,
			now() - make_interval(secs => i), $1::uuid, CASE WHEN i % 2 = 0 THEN $1::uuid ELSE $2 END,
			CASE WHEN i % 2 = 0 THEN 'alice@example.org' ELSE 'Gone@example.org' END
		FROM generate_series(1, 2600) AS i`, b.alice, removed)
	now := time.Now()
	for name, c := range map[string]struct {
		filter postgres.AuditFilter
		want   int
	}{
		"all":                  {postgres.AuditFilter{}, 2600},
		"a kind":               {postgres.AuditFilter{Kind: schema.AuditSignedIn}, 866},
		"a kind without any":   {postgres.AuditFilter{Kind: schema.AuditReplayPaused}, 0},
		"a user or actor":      {postgres.AuditFilter{UserID: b.alice}, 2600},
		"a removed user":       {postgres.AuditFilter{UserID: removed}, 1300},
		"an address":           {postgres.AuditFilter{Account: "gone@EXAMPLE.org"}, 1300},
		"an address or a user": {postgres.AuditFilter{UserID: b.bob, Account: "gone@example.org"}, 1300},
		"a user and a kind": {
			postgres.AuditFilter{UserID: removed, Kind: schema.AuditSignedIn}, 433},
		"a time": {postgres.AuditFilter{
			Since: now.Add(-2000*time.Second - time.Second/2),
			Until: now.Add(-500*time.Second - time.Second/2)}, 1500},
	} {
		t.Run(name, func(t *testing.T) {
			events := b.auditEvents(t, c.filter)
			if n := len(events) - c.want; n < -2 || n > 2 {
				t.Errorf("got %d events, want %d", len(events), c.want)
			}
			ids := make(map[uuid.UUID]bool)
			for i, e := range events {
				ids[e.ID] = true
				if i > 0 && e.At.Before(events[i-1].At) {
					t.Fatal("got events that are not in order")
				}
				if !json.Valid(e.Details) {
					t.Fatalf("got details %s, want JSON", e.Details)
				}
			}
			if len(ids) != len(events) {
				t.Errorf("got %d events twice", len(events)-len(ids))
			}
		})
	}
}
