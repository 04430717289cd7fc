package postgres_test

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"intray/infra/local/localtest"
	"intray/infra/postgres"
	"intray/infra/postgres/postgrestest"
	"intray/schema/migrations"
)

var updateSchema = flag.Bool("update", false, "write schema/schema.sql instead of comparing it")

const (
	schemaFile = "../../schema/schema.sql"
	schemaHead = `-- The schema of the database after all migrations: each table with its
-- indexes, triggers, policies and privileges, then the functions.
--
-- This file is documentation. It is generated from a migrated database, and a test compares it. Do
-- not edit it. After a change in schema/migrations, update it:
--
--     go test ./infra/postgres -run TestSchemaFile -update
--
-- The comments in schema/migrations give the reasons. The roles are the owner (CURRENT_USER below),
-- api, auth and worker. The owner's own privileges are omitted.
`
)

// TestSchemaFile compares schema/schema.sql with a migrated database.
func TestSchemaFile(t *testing.T) {
	url := localtest.PostgresMigrated(t, postgrestest.Migrate)
	want := schemaHead + describe(t, openRaw(t, url))
	if *updateSchema {
		must(t, os.WriteFile(schemaFile, []byte(want), 0o644))
		return
	}
	file, err := os.ReadFile(schemaFile)
	must(t, err)
	if string(file) != want {
		t.Errorf("schema/schema.sql differs from the migrated database; update it:\n\n\t%s\n\n%s",
			"go test ./infra/postgres -run TestSchemaFile -update", diff(t, string(file), want))
	}
}

// TestMigrateUpDownUp migrates up one version at a time, then down one version at a time, and
// checks that each step down restores the schema from before that version. Then it migrates up
// again.
func TestMigrateUpDownUp(t *testing.T) {
	url := localtest.PostgresEmpty(t)
	raw := openRaw(t, url)
	schemas := map[uint]string{0: describe(t, raw)}
	all := append([]uint{0}, versions(t)...)
	for _, v := range all[1:] {
		raw.MustExec(upFile(t, v))
		schemas[v] = describe(t, raw)
	}
	for _, v := range slices.Backward(all[:len(all)-1]) {
		must(t, postgres.MigrateDown(t.Context(), url, 1, logger()))
		checkVersion(t, url, raw, v)
		if got, want := describe(t, raw), schemas[v]; got != want {
			t.Fatalf("migrating down to version %d does not restore its schema (-want, +got):\n%s",
				v, diff(t, want, got))
		}
	}
	must(t, postgres.Migrate(t.Context(), url, logger()))
	checkVersion(t, url, raw, latest(t))
	if got, want := describe(t, raw), schemas[latest(t)]; got != want {
		t.Errorf("migrating up again results in another schema (-want, +got):\n%s", diff(t, want, got))
	}
}

// upFile returns the SQL that migrates up to the version.
func upFile(t *testing.T, version uint) string {
	t.Helper()
	names, err := fs.Glob(migrations.FS, fmt.Sprintf("%06d_*.up.sql", version))
	must(t, err)
	if len(names) != 1 {
		t.Fatalf("version %d: got files %q, want one", version, names)
	}
	text, err := migrations.FS.ReadFile(names[0])
	must(t, err)
	return string(text)
}

// diff returns the differences between two texts in the format of git diff.
func diff(t *testing.T, want, got string) string {
	t.Helper()
	folder := t.TempDir()
	must(t, os.WriteFile(filepath.Join(folder, "want"), []byte(want), 0o600))
	must(t, os.WriteFile(filepath.Join(folder, "got"), []byte(got), 0o600))
	command := exec.CommandContext(t.Context(), "git", "diff", "--no-index", "want", "got")
	command.Dir = folder
	out, err := command.CombinedOutput()
	if len(out) == 0 {
		return fmt.Sprintf("want:\n%s\ngot:\n%s\n(git diff: %v)", want, got, err)
	}
	return string(out)
}

// describe returns the database's tables and functions as SQL. The result is the same for
// PostgreSQL 15 to 18. It fails the test if the database has objects of a kind that it does not
// support.
func describe(t *testing.T, raw *sqlx.DB) string {
	t.Helper()
	d := &describer{t: t, raw: raw}
	if unknown := d.lines(unknownObjects); len(unknown) > 0 {
		t.Fatalf("got objects that describe does not support: %v; extend describe", unknown)
	}
	d.section("Schema")
	d.all(grantsOnSchema)
	d.section("Tables")
	for _, table := range d.lines(`
		SELECT c.oid::regclass::text FROM pg_class AS c
		WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
			AND c.relname <> 'schema_migrations'
		ORDER BY c.relname`) {
		d.table(table)
	}
	d.section("Functions")
	for _, oid := range d.lines(`
		SELECT p.oid::text FROM pg_proc AS p WHERE p.pronamespace = 'public'::regnamespace
		ORDER BY p.proname, pg_get_function_identity_arguments(p.oid) COLLATE "C"`) {
		d.function(oid)
	}
	return d.text.String()
}

// A describer reads PostgreSQL's catalogs and writes SQL.
type describer struct {
	t    *testing.T
	raw  *sqlx.DB
	text strings.Builder
}

func (d *describer) lines(query string, args ...any) (lines []string) {
	d.t.Helper()
	if err := d.raw.SelectContext(d.t.Context(), &lines, query, args...); err != nil {
		d.t.Fatalf("%s: %v", query, err)
	}
	return lines
}

func (d *describer) section(title string) { fmt.Fprintf(&d.text, "\n---- %s\n\n", title) }

// all writes the statements that a query returns, wrapped at 100 columns.
func (d *describer) all(query string, args ...any) {
	const width = 100
	for _, statement := range d.lines(query, args...) {
		words, column := strings.Fields(statement), 0
		for i, word := range words {
			switch {
			case i == 0:
			case column+len(word) >= width && !strings.HasPrefix(statement, "COMMENT"):
				d.text.WriteString("\n    ")
				column = 4
			default:
				d.text.WriteString(" ")
				column++
			}
			d.text.WriteString(word)
			column += len(word)
		}
		d.text.WriteString(";\n")
	}
}

func (d *describer) table(name string) {
	parts := append(d.lines(columnsOfTable, name), d.lines(constraintsOfTable, name)...)
	fmt.Fprintf(&d.text, "CREATE TABLE %s (\n    %s\n)%s;\n", name, strings.Join(parts, ",\n    "),
		strings.Join(d.lines(optionsOfTable, name), ""))
	for _, query := range []string{
		commentsOfTable, indexesOfTable, triggersOfTable, securityOfTable, policiesOfTable,
		grantsOnTable,
	} {
		d.all(query, name)
	}
	d.text.WriteString("\n")
}

var functionHead = regexp.MustCompile(`^CREATE OR REPLACE (FUNCTION|PROCEDURE) public\.`)

func (d *describer) function(oid string) {
	for _, definition := range d.lines(`SELECT pg_get_functiondef($1::oid)`, oid) {
		definition = functionHead.ReplaceAllString(strings.TrimSpace(definition), "CREATE $1 ")
		fmt.Fprintf(&d.text, "%s;\n", definition)
	}
	d.all(commentOfFunction, oid)
	d.all(grantsOnFunction, oid)
	d.text.WriteString("\n")
}

// grants returns a query for GRANT statements. on is an SQL expression for the object that the
// privileges are granted on. from is a query for access control lists, with the columns object,
// owner, acl, and attribute and number of the column, if the list belongs to a column.
func grants(on, from string) string {
	return `
	WITH privileges AS (
		SELECT o.object, a.privilege_type,
			CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS grantee,
			a.privilege_type || coalesce(
				' (' || string_agg(quote_ident(o.attribute), ', ' ORDER BY o.number) || ')', '')
				AS privilege
		FROM (` + from + `) AS o, aclexplode(o.acl) AS a
		WHERE a.grantee <> o.owner
		GROUP BY o.object, a.grantee, a.privilege_type, o.attribute IS NULL
	), of_grantee AS (
		SELECT object, grantee, string_agg(privilege, ', '
			ORDER BY array_position('{SELECT,INSERT,UPDATE,DELETE}', privilege_type), privilege) AS list
		FROM privileges GROUP BY object, grantee
	)
	SELECT 'GRANT ' || list || ' ON ' || ` + on + ` ||
		' TO ' || string_agg(grantee, ', ' ORDER BY grantee COLLATE "C")
	FROM of_grantee GROUP BY object, list ORDER BY min(grantee COLLATE "C") COLLATE "C"`
}

var (
	grantsOnSchema = grants(`'SCHEMA ' || object`, `
		SELECT nspname AS object, nspowner AS owner, nspacl AS acl, NULL::text AS attribute, 0 AS number
		FROM pg_namespace WHERE nspname = 'public'`)

	grantsOnTable = grants(`object`, `
		SELECT c.oid::regclass::text AS object, c.relowner AS owner, c.relacl AS acl,
			NULL::text AS attribute, 0 AS number
		FROM pg_class AS c WHERE c.oid = $1::regclass
		UNION ALL
		SELECT c.oid::regclass::text, c.relowner, a.attacl, a.attname::text, a.attnum::int
		FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
		WHERE c.oid = $1::regclass AND NOT a.attisdropped`)

	grantsOnFunction = grants(`'FUNCTION ' || object`, `
		SELECT p.oid::regprocedure::text AS object, p.proowner AS owner,
			coalesce(p.proacl, acldefault('f', p.proowner)) AS acl,
			NULL::text AS attribute, 0 AS number
		FROM pg_proc AS p WHERE p.oid = $1::oid`)
)

const (
	// unknownObjects returns the objects of kinds that describe does not support.
	unknownObjects = `
		SELECT 'schema ' || nspname FROM pg_namespace
		WHERE nspname !~ '^pg_' AND nspname NOT IN ('public', 'information_schema')
		UNION ALL
		SELECT 'extension ' || extname FROM pg_extension WHERE extname <> 'plpgsql'
		UNION ALL
		SELECT 'relation ' || oid::regclass FROM pg_class
		WHERE relnamespace = 'public'::regnamespace AND relkind NOT IN ('r', 'i')
			AND NOT (relkind = 'S' AND EXISTS (
				SELECT FROM pg_depend AS d WHERE d.objid = pg_class.oid AND d.deptype = 'i'))
		UNION ALL
		SELECT 'type ' || oid::regtype FROM pg_type
		WHERE typnamespace = 'public'::regnamespace AND typtype <> 'c' AND typelem = 0
		UNION ALL
		SELECT 'function ' || oid::regprocedure FROM pg_proc
		WHERE pronamespace = 'public'::regnamespace AND prokind NOT IN ('f', 'p')
		UNION ALL
		SELECT 'default privileges of ' || defaclrole::regrole FROM pg_default_acl
		UNION ALL
		SELECT 'rule ' || rulename FROM pg_rewrite WHERE ev_class IN (
			SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
		UNION ALL
		SELECT 'statistics ' || stxname FROM pg_statistic_ext
		UNION ALL
		SELECT 'inheritance of ' || inhrelid::regclass FROM pg_inherits`

	columnsOfTable = `
		SELECT quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod)
			|| CASE WHEN a.attcollation <> t.typcollation
				THEN ' COLLATE ' || a.attcollation::regcollation ELSE '' END
			|| CASE WHEN a.attnotnull AND a.attidentity = '' THEN ' NOT NULL' ELSE '' END
			|| CASE a.attidentity
				WHEN 'a' THEN ' GENERATED ALWAYS AS IDENTITY'
				WHEN 'd' THEN ' GENERATED BY DEFAULT AS IDENTITY' ELSE '' END
			|| CASE WHEN d.adbin IS NULL THEN ''
				WHEN a.attgenerated = '' THEN ' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid, true)
				ELSE ' GENERATED ALWAYS AS (' || pg_get_expr(d.adbin, d.adrelid, true) || ') STORED' END
		FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
		LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
		WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`

	// NOT NULL constraints, which PostgreSQL 18 also lists in pg_constraint, are described with their
	// columns.
	constraintsOfTable = `
		SELECT 'CONSTRAINT ' || quote_ident(conname) || ' ' || pg_get_constraintdef(oid, true)
		FROM pg_constraint
		WHERE conrelid = $1::regclass AND contype IN ('p', 'u', 'x', 'c', 'f')
		ORDER BY array_position('{p,u,x,c,f}'::"char"[], contype), conname`

	optionsOfTable = `
		SELECT ' WITH (' || array_to_string(reloptions, ', ') || ')'
		FROM pg_class WHERE oid = $1::regclass AND reloptions IS NOT NULL`

	commentsOfTable = `
		SELECT CASE d.objsubid WHEN 0 THEN 'COMMENT ON TABLE ' || c.oid::regclass
			ELSE 'COMMENT ON COLUMN ' || c.oid::regclass || '.' || quote_ident(a.attname) END
			|| ' IS ' || quote_literal(d.description)
		FROM pg_description AS d JOIN pg_class AS c ON c.oid = d.objoid
		LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = d.objsubid
		WHERE d.classoid = 'pg_class'::regclass AND c.oid = $1::regclass ORDER BY d.objsubid`

	indexesOfTable = `
		SELECT pg_get_indexdef(i.indexrelid, 0, true)
		FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
		WHERE i.indrelid = $1::regclass AND NOT EXISTS (
			SELECT FROM pg_constraint AS k
			WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
		ORDER BY c.relname`

	triggersOfTable = `
		SELECT pg_get_triggerdef(oid, true)
			|| CASE tgenabled WHEN 'O' THEN '' ELSE ' -- enabled: ' || tgenabled::text END
		FROM pg_trigger WHERE tgrelid = $1::regclass AND NOT tgisinternal ORDER BY tgname`

	securityOfTable = `
		SELECT 'ALTER TABLE ' || c.oid::regclass || v.what || ' ROW LEVEL SECURITY'
		FROM pg_class AS c, (VALUES (1, ' ENABLE'), (2, ' FORCE')) AS v (number, what)
		WHERE c.oid = $1::regclass
			AND CASE v.number WHEN 1 THEN c.relrowsecurity ELSE c.relforcerowsecurity END
		ORDER BY v.number`

	policiesOfTable = `
		SELECT 'CREATE POLICY ' || quote_ident(p.polname) || ' ON ' || c.oid::regclass
			|| CASE WHEN p.polpermissive THEN '' ELSE ' AS RESTRICTIVE' END
			|| CASE p.polcmd WHEN 'r' THEN ' FOR SELECT' WHEN 'a' THEN ' FOR INSERT'
				WHEN 'w' THEN ' FOR UPDATE' WHEN 'd' THEN ' FOR DELETE' ELSE '' END
			|| ' TO ' || (
				SELECT string_agg(CASE r WHEN 0 THEN 'PUBLIC' WHEN c.relowner THEN 'CURRENT_USER'
					ELSE r::regrole::text END, ', ')
				FROM unnest(p.polroles) AS r)
			|| coalesce(' USING (' || pg_get_expr(p.polqual, p.polrelid, true) || ')', '')
			|| coalesce(' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid, true) || ')', '')
		FROM pg_policy AS p JOIN pg_class AS c ON c.oid = p.polrelid
		WHERE c.oid = $1::regclass ORDER BY p.polname`

	commentOfFunction = `
		SELECT 'COMMENT ON FUNCTION ' || $1::oid::regprocedure || ' IS ' || quote_literal(d.description)
		FROM pg_description AS d WHERE d.classoid = 'pg_proc'::regclass AND d.objoid = $1::oid`
)
