package postgres_test

import (
	"bytes"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"pgregory.net/rapid"

	"intray/infra/postgres"
)

// A proof contains the arguments with which set_current_user binds to a user.
type proof struct {
	user    uuid.UUID
	expires int64
	mac     []byte
}

// proofOf makes a proof as docs/adr/0036-user-proofs.md describes it.
func proofOf(key []byte, user uuid.UUID, expires time.Time) proof {
	text := append(bytes.Clone(key), user[:]...)
	text = binary.BigEndian.AppendUint64(text, uint64(expires.Unix()))
	mac := sha512.Sum384(text)
	return proof{user, expires.Unix(), mac[:]}
}

func (p proof) args() []any { return []any{p.user, p.expires, p.mac} }

// setting is the value of intray.proof for the proof.
func (p proof) setting() string { return fmt.Sprintf("%s%012d%x", p.user, p.expires, p.mac) }

func (b *bundle) proofKey(t *testing.T) (key []byte) {
	t.Helper()
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
	refused := map[string]proof{
		"no MAC":                {b.bob, bobs.expires, nil},
		"empty MAC":             {b.bob, bobs.expires, []byte{}},
		"MAC of zeros":          {b.bob, bobs.expires, make([]byte, len(bobs.mac))},
		"shortened":             {b.bob, bobs.expires, bobs.mac[:47]},
		"extended":              {b.bob, bobs.expires, append(bytes.Clone(bobs.mac), 0)},
		"alice's MAC":           {b.bob, alices.expires, alices.mac},
		"expired":               proofOf(key, b.bob, now.Add(-time.Minute)),
		"later expiry":          {b.bob, bobs.expires + 3600, bobs.mac},
		"another key":           proofOf(make([]byte, 32), b.bob, now.Add(time.Minute)),
		"empty key":             proofOf(nil, b.bob, now.Add(time.Minute)),
		"key that was replaced": replaced,
	}
	attempts := []struct {
		statement string
		args      func(p proof) []any
	}{
		{`SELECT set_current_user($1, $2, $3)`, proof.args},
		{`SELECT document FROM document_view($1, $2, $3, $4) WHERE (document).id IS NOT NULL`,
			func(p proof) []any { return append(p.args(), documents[b.bob].ID) }},
		{`SELECT create_documents(ARRAY[$1::uuid], $2, ARRAY[$3::bytea], ARRAY[$4::uuid], '{f}', '{t}',
			'{1}', '{""}', '{false}', '{""}', 10, true)`,
			func(p proof) []any { return append(p.args(), newID(t)) }},
		{`SELECT create_documents(ARRAY[$4, $1]::uuid[], $2, ARRAY[$5, $3]::bytea[],
			ARRAY[gen_random_uuid(), gen_random_uuid()], '{f,f}', '{t,t}', '{1,1}', '{"",""}',
			'{false,false}', '{"",""}', 10, true)`,
			func(p proof) []any {
				own := proofOf(key, b.alice, time.Unix(p.expires, 0))
				return append(p.args(), own.user, own.mac)
			}},
	}
	settings := []string{"", b.bob.String(), strings.Repeat(`\`, 135), strings.Repeat("é", 145),
		alices.setting(), b.bob.String() + alices.setting()[36:]}
	for _, p := range refused {
		settings = append(settings, p.setting())
	}
	bobsRows := `SELECT count(*) FROM documents WHERE user_id = '` + b.bob.String() + `'`
	want := count(t, b.raw, bobsRows)
	// try returns how many rows of bob a statement shows in a transaction of alice.
	try := func(statement string, args ...any) (rows int, err error) {
		t.Helper()
		b.asUser(t, b.alice, func(tx *sqlx.Tx) {
			if _, err = tx.Exec(statement, args...); err == nil {
				rows = count(t, tx, bobsRows)
			}
		})
		return rows, err
	}
	for name, p := range refused {
		for _, a := range attempts {
			if _, err := try(a.statement, a.args(p)...); !isRefused(err) {
				t.Errorf("%s: %s: got error %v, want IN403", name, a.statement, err)
			}
		}
	}
	for _, value := range settings {
		for _, local := range []bool{true, false} {
			rows, err := try(`SELECT set_config('intray.proof', $1, $2)`, value, local)
			if rows > 0 || err != nil {
				t.Errorf("intray.proof = %q: got %d rows of bob and error %v, want none",
					value, rows, err)
			}
		}
	}
	rows, err := try(`SELECT set_config('intray.user_id', $1, true)`, b.bob.String())
	if rows > 0 || err != nil {
		t.Errorf("intray.user_id: got %d rows of bob and error %v, want none", rows, err)
	}
	if n := count(t, b.raw, bobsRows); n != want {
		t.Errorf("got %d documents of bob, want still %d", n, want)
	}

	// With a valid proof, the same statements succeed.
	for _, a := range attempts {
		if _, err := try(a.statement, a.args(bobs)...); err != nil {
			t.Errorf("valid: %s: got error %v, want none", a.statement, err)
		}
	}
	if rows, _ := try(attempts[0].statement, bobs.args()...); rows != want {
		t.Errorf("set_current_user: got %d rows of bob, want %d", rows, want)
	}
	rows, err = try(`SELECT set_config('intray.proof', $1, true)`, bobs.setting())
	if rows != want || err != nil {
		t.Errorf("valid setting: got %d rows of bob and error %v, want %d", rows, err, want)
	}
}

func isRefused(err error) bool { return err != nil && strings.Contains(err.Error(), "IN403") }

// TestOnlyExactProofsAreValid checks that the database accepts what the process makes, and that no
// other text binds to a user. With some texts, statements fail.
func TestOnlyExactProofsAreValid(t *testing.T) {
	b := setup(t)
	key, expires := b.proofKey(t), time.Now().Add(time.Minute)
	valid := proofOf(key, b.alice, expires)
	if got := postgres.MAC(key, b.alice, expires.Unix()); !bytes.Equal(got, valid.mac) {
		t.Errorf("got MAC %x, want %x", got, valid.mac)
	}
	current := func(setting string) (user uuid.NullUUID, err error) {
		tx := b.raw.MustBegin()
		defer func() { _ = tx.Rollback() }()
		tx.MustExec(`SELECT set_config('intray.proof', $1, true)`, setting)
		err = tx.Get(&user, `SELECT current_user_id()`)
		return user, err
	}
	text := valid.setting()
	if got, err := current(text); got.UUID != b.alice || err != nil {
		t.Errorf("got user %v of a valid proof and error %v, want %v", got, err, b.alice)
	}
	// One character is replaced.
	replaced := rapid.Custom(func(t *rapid.T) string {
		at := rapid.IntRange(0, len(text)-1).Draw(t, "at")
		by := rapid.OneOf(rapid.RuneFrom([]rune("0123456789abcdefABCDEF-{} ")), rapid.Rune())
		return text[:at] + string(by.Draw(t, "by")) + text[at+1:]
	})
	texts := rapid.OneOf(
		replaced, rapid.StringMatching(`[0-9a-f-]{36}[0-9]{12}[0-9a-f]{96}`), rapid.String())
	rapid.Check(t, func(rt *rapid.T) {
		s := texts.Filter(func(s string) bool {
			return s != text && !strings.Contains(s, "\x00")
		}).Draw(rt, "text")
		got, err := current(s)
		// Hexadecimal digits in upper case are the same proof.
		if err == nil && got.Valid && !strings.EqualFold(s, text) {
			rt.Fatalf("got user %v of %q, want none", got.UUID, s)
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
}

func TestDBWithoutAuthBindsToNobody(t *testing.T) {
	b := setup(t)
	db := openWith(t, b.apiURL, postgres.Options{})
	_, err := db.ForUser(b.alice).Me(t.Context())
	if err == nil || !strings.Contains(err.Error(), "Options.Auth") {
		t.Errorf("got error %v, want one that names Options.Auth", err)
	}
}
