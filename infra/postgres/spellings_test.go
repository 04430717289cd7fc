package postgres_test

import (
	"bytes"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"

	"intray/infra/local/localtest"
	"intray/infra/postgres"
	"intray/schema"
)

func TestSpellingsOfOneName(t *testing.T) {
	b := setup(t)
	for _, same := range [][2]string{
		{"straße", "STRASSE"},
		{"Σίσυφος", "ΣΊΣΥΦΟΣ"},
		{"café", "CAFE\u0301"},
		{"İzmir", "i\u0307zmir"},
		{"ﬁle", "FILE"},
		{"plain", "PLAIN"},
	} {
		t.Run(same[0], func(t *testing.T) {
			address, other := same[0]+"@example.org", same[1]+"@EXAMPLE.org"
			id := b.user(t, address, schema.RoleUser)
			account, err := b.auth.AccountByEmail(t.Context(), other)
			if err != nil || account.ID != id {
				t.Errorf("account of %q: got %v and error %v, want %v", other, account.ID, err, id)
			}
			user, err := b.owner.FindUser(t.Context(), other)
			if err != nil || user.ID != id {
				t.Errorf("user %q: got %v and error %v, want %v", other, user.ID, err, id)
			}
			wantCode(t, b.owner.AddUser(t.Context(), postgres.NewUser{ID: newID(t), Email: other}),
				schema.CodeNameTaken)
			_, err = b.auth.IdentityAccount(t.Context(), postgres.Identity{
				Issuer: "https://issuer.example", Subject: same[0], Email: other,
			}, 1)
			wantCode(t, err, schema.CodeUnauthenticated)

			alice := b.api.ForUser(b.alice)
			must(t, alice.CreateTopic(t.Context(),
				schema.Topic{ID: newID(t), UserID: &b.alice, Name: same[0]}))
			must(t, b.api.ForUser(b.administrator).CreateTopic(t.Context(),
				schema.Topic{ID: newID(t), Name: same[1]})) // in a namespace of its own
			second := schema.Topic{ID: newID(t), UserID: &b.alice, Name: "second " + same[0]}
			must(t, alice.CreateTopic(t.Context(), second))
			created := alice.CreateTopic(t.Context(),
				schema.Topic{ID: newID(t), UserID: &b.alice, Name: same[1]})
			_, renamed := alice.UpdateTopic(t.Context(), schema.ScopeUser, second.ID,
				postgres.TopicPatch{Name: &same[1]})
			for _, err := range []error{created, renamed} {
				wantCode(t, err, schema.CodeNameTaken)
				if !strings.Contains(err.Error(), strconv.Quote(same[0])) {
					t.Errorf("got error %v, want it to name %q", err, same[0])
				}
			}
			must(t, b.api.ForUser(b.bob).CreateTopic(t.Context(),
				schema.Topic{ID: newID(t), UserID: &b.bob, Name: same[1]}))
		})
	}
	// ı and i are different letters.
	b.user(t, "ırmak@example.org", schema.RoleUser)
	b.user(t, "irmak@example.org", schema.RoleUser)
}

// TestMigrationOfSpellings checks that accounts and topics whose names differ only in case or
// normalization form, which earlier versions accepted, survive the migration.
func TestMigrationOfSpellings(t *testing.T) {
	url := localtest.PostgresEmpty(t)
	must(t, postgres.Migrate(t.Context(), url, logger()))
	must(t, postgres.MigrateDown(t.Context(), url, above(t, 28), logger()))
	raw := openRaw(t, url)
	type account struct {
		id    uuid.UUID
		email string
	}
	accounts := []account{{uuid.New(), "İ@x.example"}, {uuid.New(), "i\u0307@x.example"},
		{uuid.New(), "STRASSE@x.example"}, {uuid.New(), "straße@x.example"},
		{uuid.New(), "plain@x.example"}}
	for i, a := range accounts {
		raw.MustExec(`INSERT INTO users (id, email, password_hash, created_at)
			VALUES ($1, $2, 'hash', now() + make_interval(secs => $3))`, a.id, a.email, i)
		raw.MustExec(`INSERT INTO quotas (user_id, limit_bytes) VALUES ($1, 1)`, a.id)
	}
	names := []string{"Straße", "STRASSE", "strasse (2)",
		"ß" + strings.Repeat("x", 38), "SS" + strings.Repeat("x", 38)}
	for i, name := range names {
		raw.MustExec(`INSERT INTO topics (id, user_id, name, created_at)
			VALUES ($1, $2, $3, now() + make_interval(secs => $4))`,
			uuid.New(), accounts[0].id, name, i)
	}
	var log bytes.Buffer
	must(t, postgres.Migrate(t.Context(), url, slog.New(slog.NewTextHandler(&log, nil))))
	if !strings.Contains(log.String(), accounts[3].email) ||
		strings.Contains(log.String(), accounts[2].email) {
		t.Errorf("got log %s, want a notice with the newer of two accounts only", log.String())
	}

	db := openAuth(t, url) // the owner can call the functions, too
	for _, a := range accounts {
		if got, err := db.AccountByEmail(t.Context(), a.email); err != nil || got.ID != a.id {
			t.Errorf("%+q: got account %v and error %v, want %v", a.email, got.ID, err, a.id)
		}
	}
	got, err := db.AccountByEmail(t.Context(), "strassE@x.example")
	if err != nil || got.ID != accounts[2].id {
		t.Errorf("another spelling: got account %v and error %v, want the oldest, %v",
			got.ID, err, accounts[2].id)
	}
	var stored []string
	must(t, raw.Select(&stored, `SELECT name FROM topics ORDER BY created_at`))
	want := []string{"Straße", "STRASSE (3)", "strasse (2)", names[3],
		"SS" + strings.Repeat("x", 31) + " (2)"}
	if strings.Join(stored, "|") != strings.Join(want, "|") {
		t.Errorf("got the topics %q, want %q", stored, want)
	}
}

// TestMigrationDownOfSpellings checks that the migration down from version 29 fails with an
// explanation if the version before cannot distinguish two accounts, and renames topics that it
// cannot distinguish.
func TestMigrationDownOfSpellings(t *testing.T) {
	url := localtest.PostgresEmpty(t)
	must(t, postgres.Migrate(t.Context(), url, logger()))
	must(t, postgres.MigrateDown(t.Context(), url, above(t, 29), logger()))
	raw := openRaw(t, url)
	ids := []uuid.UUID{uuid.New(), uuid.New()}
	for i, email := range []string{"İ@x.example", "i@x.example"} {
		raw.MustExec(`INSERT INTO users (id, email, password_hash) VALUES ($1, $2, 'hash')`,
			ids[i], email)
		raw.MustExec(`INSERT INTO topics (id, user_id, name, created_at)
			VALUES ($1, $2, $3, now() + make_interval(secs => $4))`,
			uuid.New(), ids[0], []string{"İ", "i"}[i], i)
	}
	err := postgres.MigrateDown(t.Context(), url, 1, logger())
	if err == nil || !strings.Contains(err.Error(), "i@x.example, İ@x.example") ||
		!strings.Contains(err.Error(), "intray users remove") || !strings.Contains(err.Error(), "29") {
		t.Errorf("got error %v, want one that names the addresses, what to do and version 29", err)
	}
	raw.MustExec(`DELETE FROM users WHERE id = $1`, ids[1])
	var log bytes.Buffer
	must(t, postgres.MigrateDown(t.Context(), url, 1, slog.New(slog.NewTextHandler(&log, nil))))
	var names []string
	must(t, raw.Select(&names, `SELECT name FROM topics ORDER BY created_at`))
	if want := []string{"İ", "i (2)"}; !slices.Equal(names, want) ||
		!strings.Contains(log.String(), "i (2)") {
		t.Errorf("got topics %q and log %s, want %q and a notice", names, log.String(), want)
	}
}

// TestMigrationDownSaysWhatIsLost checks that migrations down log a notice about data that they
// delete, and none if there is none.
func TestMigrationDownSaysWhatIsLost(t *testing.T) {
	for version, notice := range map[uint]string{
		26: "1 explanations and the digests of 1 documents",
		27: "1 documents declared does not come back, nor do the idempotency keys of 1 deleted documents",
		33: "1 idempotency keys of lost documents",
	} {
		t.Run(strconv.Itoa(int(version)), func(t *testing.T) {
			b := setup(t)
			d := b.uploaded(t, b.alice, "a", 1)
			b.raw.MustExec(`UPDATE documents SET sha256 = $1, multipart = true`, make([]byte, 32))
			b.raw.MustExec(`INSERT INTO document_explanations (document_id, user_id, explanation)
				VALUES ($1, $2, '{}')`, d.ID, b.alice)
			b.raw.MustExec(`INSERT INTO object_deletions (object_key, user_id, idempotency_key)
				VALUES ('x', $1, 'k')`, b.alice)
			b.raw.MustExec(`INSERT INTO gone_keys VALUES ($1, 'k', $2)`, b.alice, d.ID)
			down := func() string {
				t.Helper()
				var log bytes.Buffer
				must(t, postgres.MigrateDown(t.Context(), b.url, above(t, version)+1,
					slog.New(slog.NewTextHandler(&log, nil))))
				return log.String()
			}
			if log := down(); !strings.Contains(log, notice) {
				t.Errorf("got log %s, want %q", log, notice)
			}
			b.raw.MustExec(`DELETE FROM documents`)
			must(t, postgres.Migrate(t.Context(), b.url, logger()))
			b.raw.MustExec(`DELETE FROM object_deletions`)
			if log := down(); strings.Contains(log, "notice") {
				t.Errorf("got log %s without any data, want no notice", log)
			}
		})
	}
}

func TestAIProviders(t *testing.T) {
	b := setup(t)
	check := func(provider string, want schema.Code) {
		t.Helper()
		err := b.api.CheckAIProvider(t.Context(), provider)
		if want == "" {
			must(t, err)
			return
		}
		wantCode(t, err, want)
	}
	check("anthropic", "") // no consumer has run yet

	must(t, b.worker.NoteAIProviders(t.Context(), []string{"builtin", "ollama"}))
	must(t, b.worker.NoteAIProviders(t.Context(), []string{"openai", "builtin"})) // another replica
	check("ollama", "")
	check("openai", "")
	check("builtin", "")
	check("", "")
	check("anthropic", schema.CodeInvalid)

	// While no consumer runs, nothing is forgotten.
	b.raw.MustExec(`UPDATE ai_providers SET noted_at = noted_at - interval '1 day'`)
	check("openai", "")
	must(t, b.worker.NoteAIProviders(t.Context(), []string{"builtin", "ollama"}))
	check("ollama", "")
	check("openai", schema.CodeInvalid)

	wantInsufficientPrivilege(t, "noting a provider as the API",
		b.api.NoteAIProviders(t.Context(), []string{"skynet"}))
}
