package postgres_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"pgregory.net/rapid"

	"intray/infra/postgres"
)

// proofOf makes a proof as docs/adr/0036-user-proofs.md describes it.
func proofOf(key []byte, user uuid.UUID, expires time.Time) string {
	message := fmt.Sprintf("%s %010d", user, expires.Unix())
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(message))
	return message + " " + hex.EncodeToString(mac.Sum(nil))
}

// proofKey returns the key that makes proofs.
func (b *bundle) proofKey(t *testing.T) []byte {
	t.Helper()
	var key []byte
	must(t, b.raw.Get(&key, `SELECT proof_key()`))
	return key
}

func (b *bundle) rotateKey(t *testing.T) {
	t.Helper()
	b.raw.MustExec(`SELECT rotate_proof_key()`)
}

// TestAPIRoleBindsOnlyWithAProof checks that no statement of the role api, in a transaction of
// alice, reaches a document of bob without a valid proof of bob.
func TestAPIRoleBindsOnlyWithAProof(t *testing.T) {
	b, documents := setupRows(t)
	now := time.Now()
	replaced := proofOf(b.proofKey(t), b.bob, now.Add(time.Minute))
	b.rotateKey(t)
	b.rotateKey(t)
	key := b.proofKey(t)
	alices := proofOf(key, b.alice, now.Add(time.Minute))
	bobs := proofOf(key, b.bob, now.Add(time.Minute))
	refused := map[string]string{
		"empty":                 "",
		"id alone":              b.bob.String(),
		"no MAC":                bobs[:48],
		"MAC of zeros":          bobs[:48] + strings.Repeat("0", 64),
		"shortened":             bobs[:len(bobs)-1],
		"extended":              bobs + "0",
		"alice's MAC":           b.bob.String() + alices[36:],
		"expired":               proofOf(key, b.bob, now.Add(-time.Minute)),
		"later expiry":          proofOf(key, b.bob, now.Add(time.Hour))[:48] + bobs[48:],
		"another key":           proofOf(make([]byte, 32), b.bob, now.Add(time.Minute)),
		"empty key":             proofOf(nil, b.bob, now.Add(time.Minute)),
		"key that was replaced": replaced,
		"backslashes":           strings.Repeat(`\`, 112),
		"not ASCII":             strings.Repeat("é", 112),
	}
	attempts := []struct {
		statement string
		args      func(proof string) []any
	}{
		{`SELECT set_current_user($1)`, func(p string) []any { return []any{p} }},
		{`SELECT set_config('intray.proof', $1, true)`, func(p string) []any { return []any{p} }},
		{`SELECT set_config('intray.proof', $1, false)`, func(p string) []any { return []any{p} }},
		{`SELECT set_config('intray.user_id', left($1, 36), true)`,
			func(p string) []any { return []any{p} }},
		{`SELECT document FROM document_view($1, $2) WHERE (document).id IS NOT NULL`,
			func(p string) []any { return []any{p, documents[b.bob].ID} }},
		{`SELECT create_documents(ARRAY[$1], ARRAY[$2::uuid], '{f}', '{t}', '{1}', '{""}',
			'{false}', '{""}', 10, true)`, func(p string) []any { return []any{p, newID(t)} }},
		{`SELECT create_documents(ARRAY[$3, $1], ARRAY[$2::uuid, gen_random_uuid()], '{f,f}', '{t,t}',
			'{1,1}', '{"",""}', '{false,false}', '{"",""}', 10, true)`,
			func(p string) []any { return []any{p, newID(t), alices} }},
	}
	bobsRows := `SELECT count(*) FROM documents WHERE user_id = '` + b.bob.String() + `'`
	want := count(t, b.raw, bobsRows)
	try := func(t *testing.T, statement string, args ...any) (rows int, err error) {
		t.Helper()
		b.asUser(t, b.alice, func(tx *sqlx.Tx) {
			tx.MustExec(`SAVEPOINT attempt`)
			result, execErr := tx.Exec(statement, args...)
			if err = execErr; err != nil {
				tx.MustExec(`ROLLBACK TO attempt`)
			} else if strings.Contains(statement, "document_view") {
				n, _ := result.RowsAffected()
				rows = int(n)
				return
			}
			rows = count(t, tx, bobsRows)
		})
		return rows, err
	}
	for name, proof := range refused {
		for _, a := range attempts {
			rows, err := try(t, a.statement, a.args(proof)...)
			if rows > 0 {
				t.Errorf("%s: %s: got %d rows of bob, want none", name, a.statement, rows)
			}
			if !strings.Contains(a.statement, "set_config") && !isRefused(err) {
				t.Errorf("%s: %s: got error %v, want IN403", name, a.statement, err)
			}
		}
	}
	if n := count(t, b.raw, bobsRows); n != want {
		t.Errorf("got %d documents of bob, want still %d", n, want)
	}
	// With a valid proof, the same statements succeed.
	for _, a := range attempts[:2] {
		if rows, err := try(t, a.statement, a.args(bobs)...); rows != want || err != nil {
			t.Errorf("valid: %s: got %d rows and error %v, want %d", a.statement, rows, err, want)
		}
	}
	for _, a := range attempts[4:] {
		if _, err := try(t, a.statement, a.args(bobs)...); err != nil {
			t.Errorf("valid: %s: got error %v, want none", a.statement, err)
		}
	}
}

func isRefused(err error) bool { return err != nil && strings.Contains(err.Error(), "IN403") }

// TestOnlyExactProofsAreValid checks that the database accepts what the process makes, and nothing
// else, and that no text makes it fail.
func TestOnlyExactProofsAreValid(t *testing.T) {
	b := setup(t)
	now := time.Now()
	valid, err := b.auth.Prove(t.Context(), b.alice, now)
	must(t, err)
	if want := proofOf(b.proofKey(t), b.alice, now.Add(postgres.ProofTTL)); valid != want {
		t.Errorf("got proof %q, want %q", valid, want)
	}
	proven := func(proof string) (user uuid.NullUUID) {
		must(t, b.raw.Get(&user, `SELECT proven_user($1)`, proof))
		return user
	}
	if got := proven(valid); got.UUID != b.alice {
		t.Errorf("got user %v of a valid proof, want %v", got, b.alice)
	}
	texts := rapid.OneOf(
		rapid.Custom(func(t *rapid.T) string { // one byte of the proof replaced
			at := rapid.IntRange(0, len(valid)-1).Draw(t, "at")
			return valid[:at] + string(rapid.Rune().Draw(t, "rune")) + valid[at+1:]
		}),
		rapid.StringN(112, 112, -1), rapid.String(),
	)
	rapid.Check(t, func(rt *rapid.T) {
		text := texts.Filter(func(s string) bool {
			return s != valid && !strings.Contains(s, "\x00")
		}).Draw(rt, "text")
		if got := proven(text); got.Valid {
			rt.Fatalf("got user %v of %q, want none", got.UUID, text)
		}
	})
}

// TestRotatingTheProofKey checks that nobody notices it, not even a transaction that is running.
func TestRotatingTheProofKey(t *testing.T) {
	b, documents := setupRows(t)
	alice := b.api.ForUser(b.alice)
	use := func() {
		t.Helper()
		_, err := alice.Document(t.Context(), documents[b.alice].ID)
		must(t, err)
		_, err = alice.Me(t.Context())
		must(t, err)
		_, _, err = alice.CreateDocument(t.Context(), newDocument(t, b.alice, 1), "", 1000)
		must(t, err)
	}
	use()
	for range 3 {
		b.asUser(t, b.alice, func(tx *sqlx.Tx) {
			b.rotateKey(t)
			if n := count(t, tx, `SELECT count(*) FROM documents`); n == 0 {
				t.Error("got no documents in a running transaction, want alice's")
			}
		})
		use()
		b.rotateKey(t)
		b.rotateKey(t)
		_, _, err := alice.CreateDocument(t.Context(), newDocument(t, b.alice, 1), "", 1000)
		must(t, err)
		b.rotateKey(t)
		b.rotateKey(t)
		_, err = alice.Me(t.Context())
		must(t, err)
		b.rotateKey(t)
		b.rotateKey(t)
		use()
	}
	if n := count(t, b.raw, `SELECT count(*) FROM proof_keys`); n != 2 {
		t.Errorf("got %d keys, want 2", n)
	}
}

// TestProofsAreNotInStatements checks that the role api, which can read the texts of its own
// sessions' statements, finds no proof in them.
func TestProofsAreNotInStatements(t *testing.T) {
	b, documents := setupRows(t)
	alice := b.api.ForUser(b.alice)
	for name, use := range map[string]func() error{
		"Document": func() error {
			_, err := alice.Document(t.Context(), documents[b.alice].ID)
			return err
		},
		"CreateDocument": func() error {
			_, _, err := alice.CreateDocument(t.Context(), newDocument(t, b.alice, 1), "", 1000)
			return err
		},
		"Me": func() error { _, err := alice.Me(t.Context()); return err },
		"Transition": func() error {
			_, err := alice.Transition(t.Context(), []uuid.UUID{documents[b.alice].ID}, confirm)
			return err
		},
	} {
		must(t, use())
		var statements []string
		must(t, b.rawAPI.Select(&statements, `
			SELECT query FROM pg_stat_activity WHERE usename = 'api' AND datname = current_database()
			UNION ALL SELECT statement FROM pg_prepared_statements`))
		for _, s := range statements {
			if regexp.MustCompile(`[0-9a-f]{64}|[0-9a-f]{8}-`).MatchString(s) {
				t.Errorf("%s: got the statement %q, want none with a proof", name, s)
			}
		}
	}
}

func TestDBWithoutAuthBindsToNobody(t *testing.T) {
	b := setup(t)
	db := openWith(t, b.apiURL, postgres.Options{})
	_, err := db.ForUser(b.alice).Me(t.Context())
	if err == nil || !strings.Contains(err.Error(), "Options.Auth") {
		t.Errorf("got error %v, want one that names Options.Auth", err)
	}
}
