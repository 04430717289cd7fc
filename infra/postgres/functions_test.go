package postgres_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"intray/infra/postgres/postgrestest"
)

// A statement that was injected into a query of the API has the privileges of the role api. These
// are all functions that it can call, each with the reason why the role cannot become another user
// with it. A new function needs a reason.
var functionsOfAPI = map[string]string{
	"admin_change_user(uuid,bigint,text,text)": "require_admin checks the proven user's row",
	"admin_user(uuid)":                         "require_admin checks the proven user's row",
	"admin_users(uuid,integer)":                "require_admin checks the proven user's row",
	"case_fold(text)":                          "reads nothing",
	"case_fold_unicode(text)":                  "reads nothing",
	"create_documents(uuid[],bigint,bytea[],uuid[],text[],text[],bigint[],bytea[],boolean[],text[]," +
		"bigint,boolean)": "" +
		"each document belongs to the user of a valid proof",
	"current_user_id()":       "checks the proof; returns nothing about another user",
	"current_user_is_admin()": "about the proven user only",
	"document_counts(uuid,text[],bigint)": "runs with the caller's privileges, so the policies " +
		"apply whatever user is named",
	"document_is_consistent(text,text,bigint,bigint,timestamp with time zone,bigint,bigint,text)": "" +
		"reads nothing",
	"document_object_key(uuid)":             "reads nothing",
	"document_view(uuid,bigint,bytea,uuid)": "reads documents of the user of a valid proof only",
	"lock_topics(uuid)": "an advisory lock, which every role can take; it can delay others, and " +
		"shows nothing",
	"original_document(uuid,uuid,bytea)": "runs with the caller's privileges, so the policies apply " +
		"whatever user is named",
	"remove_topic_from_documents(uuid,integer)": "the topic must be the proven user's, or a system " +
		"topic if the user is an administrator",
	"retrying_documents(uuid[])":          "about documents of the proven user only",
	"set_current_user(uuid,bigint,bytea)": "checks the proof",
	"unfinished_upload_bytes(uuid,uuid)":  "runs with the caller's privileges",
}

// functionsOfAuth are all functions that the role auth can call. Each can be called for any user.
var functionsOfAuth = map[string]string{
	"account_by_email(text)":                            "",
	"change_password(uuid,text,text,uuid,inet)":         "",
	"end_session(bytea,inet)":                           "",
	"identity_account(text,text,uuid,text,bigint,inet)": "",
	"record_audit_events(jsonb)":                        "",
	"proof_key()":                                       "",
	"refresh_session(bytea,bytea,bytea,bytea,double precision,double precision,inet)": "",
	"start_session(uuid,uuid,text,bytea,bytea,double precision,inet)":                 "",
	"user_password_hash(uuid)": "",
}

func TestFunctionsOfRoles(t *testing.T) {
	b := setup(t)
	for role, want := range map[string]map[string]string{
		"api": functionsOfAPI, "auth": functionsOfAuth,
	} {
		var got []string
		must(t, b.raw.Select(&got, `
			SELECT p.oid::regprocedure::text FROM pg_proc AS p
			JOIN pg_namespace AS n ON n.oid = p.pronamespace
			WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
				AND has_schema_privilege($1, n.oid, 'USAGE')
				AND has_function_privilege($1, p.oid, 'EXECUTE')`, role))
		for _, f := range got {
			if _, ok := want[f]; !ok {
				t.Errorf("role %s can call %s, which has no reason in this test", role, f)
			}
			delete(want, f)
		}
		if len(want) > 0 {
			t.Errorf("role %s cannot call %v", role, slices.Sorted(maps.Keys(want)))
		}
		// The role's other privileges come from itself and from PUBLIC only.
		if n := count(t, b.raw, `
			SELECT count(*) FROM pg_roles AS r WHERE rolname = $1 AND (rolsuper OR rolbypassrls
				OR rolcreaterole OR rolcreatedb OR rolreplication
				OR EXISTS (SELECT FROM pg_auth_members AS m WHERE m.member = r.oid)
				OR EXISTS (SELECT FROM pg_class AS c WHERE c.relowner = r.oid))`, role); n > 0 {
			t.Errorf("role %s has attributes, is a member of a role or owns a table, want none", role)
		}
	}
}

// TestAuthRoleReadsNoTable checks that the role auth can do nothing but call its functions.
func TestAuthRoleReadsNoTable(t *testing.T) {
	b, documents := setupRows(t)
	must(t, postgrestest.Migrate(t.Context(), b.url)) // see TestAPIRoleReadsNoSecret
	var tables []string
	must(t, b.raw.Select(&tables, `
		SELECT relname FROM pg_class
		WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'm', 'p', 'f')`))
	if !slices.Contains(tables, "documents") || len(tables) < 20 {
		t.Fatalf("got tables %v, want all", tables)
	}
	for _, table := range tables {
		for _, statement := range []string{
			`SELECT FROM ` + table, `INSERT INTO ` + table + ` DEFAULT VALUES`, `DELETE FROM ` + table,
			`TRUNCATE ` + table,
		} {
			wantInsufficientPrivilege(t, statement, execStatement(b.rawAuth, statement))
		}
	}
	if n := count(t, b.raw, `
		SELECT count(*) FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
		WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
			AND c.relkind = 'r'
			AND has_column_privilege('auth', c.oid, a.attnum, 'SELECT, INSERT, UPDATE, REFERENCES')`,
	); n > 0 {
		t.Errorf("role auth has privileges for %d columns, want none", n)
	}
	proof := b.proof(t, b.alice)
	for _, statement := range []string{
		`SELECT set_current_user($1, $2, $3)`,
		`SELECT document_view($1, $2, $3, '` + documents[b.alice].ID.String() + `')`,
	} {
		wantInsufficientPrivilege(t, statement, execStatement(b.rawAuth, statement, proof...))
	}
	for _, statement := range []string{`SELECT current_user_id()`, `CREATE TEMPORARY TABLE t ()`} {
		wantInsufficientPrivilege(t, statement, execStatement(b.rawAuth, statement))
	}
}

// TestAPIRoleReadsNoSecret tries what only the role auth and the owner may, and ways around that.
func TestAPIRoleReadsNoSecret(t *testing.T) {
	b := setup(t)
	// The privileges on a database are not those of the template that it was created from.
	must(t, postgrestest.Migrate(t.Context(), b.url))
	b.start(t, "f")
	for _, statement := range []string{
		`SELECT password_hash FROM users`,
		`SELECT FROM sessions`,
		`SELECT FROM user_identities`,
		`SELECT FROM proof_keys`,
		`SELECT proof_key()`,
		`SELECT rotate_proof_key()`,
		`SELECT new_proof_key()`,
		`SELECT is_proven(NULL, 1, NULL)`,
		`SELECT user_password_hash(current_user_id())`,
		`SELECT change_password(current_user_id(), '', '', NULL, NULL)`,
		`SELECT account_by_email('alice@example.org')`,
		`SELECT identity_account('', '', gen_random_uuid(), 'x', 1, NULL)`,
		`SELECT start_session(gen_random_uuid(), current_user_id(), '', '', '', 1, NULL)`,
		`SELECT refresh_session('', '', '', '', 1, 1, NULL)`,
		`SELECT end_session('', NULL)`,
		`SELECT FROM audit_events`,
		`SELECT audit('signed_in', NULL, NULL, '{}')`,
		`SELECT act_as(NULL, NULL)`,
		`SELECT record_audit_events('[]')`,
		`SELECT record_repair('repair_started', '{}')`,
		`SELECT prune_audit_events(now(), 1)`,
		`SELECT retrying_documents(gen_random_uuid(), '{}')`,
		`SET ROLE auth`,
		`SET SESSION AUTHORIZATION auth`,
		`SELECT FROM pg_authid`,
		`SELECT FROM pg_statistic`,
		`SELECT pg_read_file('PG_VERSION')`,
		`COPY (SELECT 1) TO PROGRAM 'true'`,
		// With a table or a function of its own, a statement could see what later transactions of other
		// users in the same session do.
		`CREATE TEMPORARY TABLE documents ()`,
		`CREATE TABLE public.documents2 ()`,
		`CREATE SCHEMA s`,
		`CREATE FUNCTION public.f() RETURNS integer LANGUAGE sql AS 'SELECT 1'`,
		`CREATE FUNCTION pg_temp.f() RETURNS integer LANGUAGE sql AS 'SELECT 1'`,
		`CREATE OR REPLACE FUNCTION current_user_id() RETURNS uuid LANGUAGE sql AS 'SELECT NULL'`,
		`ALTER TABLE documents DISABLE ROW LEVEL SECURITY`,
		`CREATE TRIGGER t AFTER INSERT ON documents EXECUTE FUNCTION document_inserted()`,
	} {
		b.asUser(t, b.alice, func(tx *sqlx.Tx) {
			wantInsufficientPrivilege(t, statement, execStatement(tx, statement))
		})
	}
	// The statistics of columns would show values.
	if n := count(t, b.rawAPI, `
		SELECT count(*) FROM pg_stats WHERE schemaname = 'public'
			AND tablename IN ('sessions', 'user_identities', 'proof_keys', 'audit_events')`); n > 0 {
		t.Errorf("got %d statistics of tables that the role api cannot read, want none", n)
	}
}

// TestRetryingDocumentsOfOthersAreHidden calls a function that runs with the owner's privileges.
func TestRetryingDocumentsOfOthersAreHidden(t *testing.T) {
	b := setup(t)
	d := b.create(t, b.bob, "f", 1)
	b.raw.MustExec(`
		INSERT INTO document_attempts (document_id, stream, consumer, at, attempt, reason, next_at)
		VALUES ($1, 'BUCKET', 'confirm', now(), 1, 'r', now() + interval '1 min')`, d.ID)
	for user, want := range map[uuid.UUID]int{b.bob: 1, b.alice: 0, uuid.Nil: 0} {
		b.asUser(t, user, func(tx *sqlx.Tx) {
			n := count(t, tx, `SELECT count(*) FROM retrying_documents(ARRAY[$1::uuid])`, d.ID)
			if n != want {
				t.Errorf("as user %s: got %d documents, want %d", user, n, want)
			}
		})
	}
}
