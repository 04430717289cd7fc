package postgres_test

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/lib/pq"

	"intray/infra/postgres"
	"intray/infra/postgres/postgrestest"
)

const (
	fewRows = 10_000
	// walkStatements is the number of statements after which a case that walks through a whole table
	// is canceled.
	walkStatements = 20
	// depthAllowance is the number of buffers that a statement may read in addition at the larger
	// table. The indexes are one or two levels deeper there, and a statement searches several.
	depthAllowance = 48
)

// A statementCase calls methods of postgres.DB. It returns a number that is the same for every size
// of the tables, such as the number of documents that the call returned.
type statementCase struct {
	// methods are the names of the called methods, and a remark after a comma.
	methods string
	run     func(*statementRun) (int, error)
	// allowance is the number of buffers that a statement may read in addition because it reads up to
	// a constant number of rows, of which the smaller tables have fewer.
	allowance int
	// walks is set if the call reads a whole table with many statements.
	walks bool
}

// manyRows is the number of rows in each of the larger tables. The difference between a statement
// that reads more and one that does not is as clear with 100,000 rows as with 300,000, and filling
// the tables takes a third of the time.
var manyRows = flag.Int("statements.rows", 100_000,
	"the number of rows in each of the larger tables")

// A statementRun is what a statementCase needs: connections of each role whose statements are
// recorded, and the rows.
type statementRun struct {
	*fixture
	*testing.T
	ctx                context.Context
	owner, worker, api *postgres.DB
	auth               *postgres.Auth
}

// TestStatementsReadAsMuchFromLargeTables checks that no statement reads more because the tables
// are larger. It runs all statements of the package at 10,000 and at manyRows rows in each table
// (see fixture), with generic and with custom plans, and at the larger also with the statistics of
// a thousand rows. The server reports each statement with the buffers that it read, including the
// statements of functions, triggers and foreign keys. At the larger tables each may read at most
// twice as many, and depthAllowance.
//
// It fails if an exported method of DB or Auth has no case, if a piece of SQL in the package is not
// executed by any case, or if a function of the database is not called. To add a case, add a line
// with the names of the methods to userCases, sweepCases or operatorCases, and to newFixture the
// rows of a new table.
func TestStatementsReadAsMuchFromLargeTables(t *testing.T) {
	small, large := newFixture(t, fewRows), newFixture(t, *manyRows)
	executed := make(map[string]bool)
	large.super.MustExec(`VACUUM`) // updates the visibility maps, but not the statistics
	stale := measureStatements(t, large, "force_custom_plan", executed)
	small.analyze()
	large.analyze()
	for _, mode := range []string{"force_generic_plan", "force_custom_plan"} {
		few := measureStatements(t, small, mode, executed)
		many := measureStatements(t, large, mode, executed)
		compareStatements(t, mode, few, many)
		if mode == "force_custom_plan" {
			compareStatements(t, mode+" with outdated statistics", few, stale)
		}
	}
	t.Run("every method has a case", checkEveryMethodHasACase)
	t.Run("every statement was executed", func(t *testing.T) { checkEveryStatementRan(t, executed) })
	t.Run("no statement contains a proof", func(t *testing.T) {
		checkNoStatementHasAProof(t, executed)
	})
	t.Run("every function was called", func(t *testing.T) {
		var unused []string
		must(t, large.super.Select(&unused, `
			SELECT p.proname FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang
			WHERE p.pronamespace = 'public'::regnamespace AND l.lanname = 'plpgsql'
				AND NOT EXISTS (SELECT FROM pg_stat_user_functions AS f WHERE f.funcid = p.oid)`))
		if len(unused) > 0 {
			t.Errorf("functions that no case calls: got %q, want none", unused)
		}
	})
}

// A measurement is what a case returned, and the buffers of each of its statements.
type measurement struct {
	result     int
	statements map[string]reading
}

type reading struct {
	buffers int
	plan    string
}

// measureStatements runs all cases and adds the texts of their statements to executed.
func measureStatements(
	t *testing.T, f *fixture, mode string, executed map[string]bool,
) map[string]measurement {
	t.Helper()
	var mu sync.Mutex
	readings := make(map[string]reading)
	seen := make(map[string]int)
	stop := func() {}
	record := func(notice *pq.Error) {
		_, plan, ok := strings.Cut(notice.Message, "plan:\n")
		if !ok {
			return
		}
		var p struct {
			Text string `json:"Query Text"`
			Plan struct {
				Hit  int `json:"Shared Hit Blocks"`
				Read int `json:"Shared Read Blocks"`
			}
		}
		if err := json.Unmarshal([]byte(plan), &p); err != nil {
			t.Errorf("parse a plan: %v", err)
		}
		text, buffers := oneLine(p.Text), p.Plan.Hit+p.Plan.Read
		mu.Lock()
		defer mu.Unlock()
		executed[text] = true
		if seen[text]++; seen[text] == walkStatements {
			stop()
		}
		if old, ok := readings[text]; !ok || buffers > old.buffers {
			readings[text] = reading{buffers, plan}
		}
	}
	open := func(url string) *postgres.DB {
		db, err := postgres.OpenObserved(url, map[string]string{"plan_cache_mode": mode}, record)
		must(t, err)
		t.Cleanup(func() { _ = db.Close() })
		return db
	}
	auth := open(postgrestest.RoleURL(f.url, "auth"))
	run := &statementRun{
		fixture: f, T: t, ctx: t.Context(), owner: open(f.url),
		worker: open(postgrestest.RoleURL(f.url, "worker")),
		api:    open(postgrestest.RoleURL(f.url, "api")),
		auth:   postgres.AuthOf(auth),
	}
	run.api.SetAuth(run.auth)
	results := make(map[string]measurement)
	for _, c := range statementCases {
		clear(readings)
		clear(seen)
		if c.walks {
			run.ctx, stop = context.WithCancel(t.Context())
		}
		n, err := c.run(run)
		stopped := run.ctx.Err() != nil
		stop()
		run.ctx, stop = t.Context(), func() {}
		if err != nil && !stopped {
			t.Errorf("%s, %d rows, %s: %v", c.methods, f.n, mode, err)
		}
		results[c.methods] = measurement{n, maps.Clone(readings)}
	}
	for _, db := range []*postgres.DB{run.owner, run.worker, run.api, auth} {
		_ = db.Close()
	}
	return results
}

func compareStatements(t *testing.T, mode string, few, many map[string]measurement) {
	t.Helper()
	for _, c := range statementCases {
		small, large := few[c.methods], many[c.methods]
		if small.result != large.result {
			t.Errorf("%s, %s: got result %d at the larger tables, want %d as at the smaller",
				c.methods, mode, large.result, small.result)
		}
		for text, r := range large.statements {
			limit := 2*small.statements[text].buffers + depthAllowance + c.allowance
			if r.buffers > limit {
				t.Errorf("%s, %s: got %d buffers, want at most %d (%d at the smaller tables)\n%s\n%s",
					c.methods, mode, r.buffers, limit, small.statements[text].buffers, text,
					planSummary(r.plan))
			}
		}
	}
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// planSummary returns the lines of a plan that show what it reads.
func planSummary(plan string) string {
	var lines []string
	for line := range strings.Lines(plan) {
		for _, key := range []string{
			`"Node Type"`, `"Index Name"`, `"Relation Name"`, `"Actual Rows"`, `"Shared Hit`, `Cond"`,
			`"Filter"`, `"Rows Removed`, `"Shared Read`, `"Actual Loops"`, `"Plan Rows"`,
		} {
			if strings.Contains(line, key) && !strings.HasSuffix(line, ": 0,\n") {
				lines = append(lines, strings.TrimRight(line, ",\n"))
			}
		}
	}
	return strings.Join(lines, "\n")
}

// checkEveryMethodHasACase compares the exported methods of DB and Auth with the names in the
// cases.
func checkEveryMethodHasACase(t *testing.T) {
	covered := make(map[string]bool)
	for _, c := range statementCases {
		names, _, _ := strings.Cut(c.methods, ",")
		for name := range strings.FieldsSeq(names) {
			covered[name] = true
		}
	}
	for name := range methodsWithoutStatements {
		covered[name] = true
	}
	for _, file := range packageFiles(t) {
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv == nil || !f.Name.IsExported() {
				continue
			}
			star, ok := f.Recv.List[0].Type.(*ast.StarExpr)
			if !ok || covered[f.Name.Name] {
				continue
			}
			if name := star.X.(*ast.Ident).Name; name == "DB" || name == "Auth" {
				t.Errorf("method %s.%s has no case in statementCases", name, f.Name.Name)
			}
		}
	}
}

// isSQL matches string literals that contain a part of a statement.
var isSQL = regexp.MustCompile(`\b(SELECT|INSERT INTO|UPDATE|DELETE FROM|WHERE|ORDER BY|LIMIT)\b`)

// verbs matches the verbs of fmt in a statement.
var verbs = regexp.MustCompile(`%[sdv]`)

// checkEveryStatementRan checks that each string literal with SQL is part of an executed statement.
func checkEveryStatementRan(t *testing.T, executed map[string]bool) {
	texts := strings.Join(slices.Sorted(maps.Keys(executed)), "\n")
	for name, file := range packageFiles(t) {
		if notStatements[name] {
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			sql, err := strconv.Unquote(literal.Value)
			must(t, err)
			if !isSQL.MatchString(sql) {
				return true
			}
			for _, piece := range verbs.Split(sql, -1) {
				piece = oneLine(piece)
				if unreachableStatements[piece] == "" && !strings.Contains(texts, piece) {
					t.Errorf("%s: no case executes the statement with %q", name, piece)
				}
			}
			return true
		})
	}
}

// checkNoStatementHasAProof checks that the text of no statement contains a MAC. The role api can
// read the texts of the statements of all its sessions, but not their parameters.
func checkNoStatementHasAProof(t *testing.T, executed map[string]bool) {
	mac, bindings := regexp.MustCompile(`[0-9a-f]{96}`), 0
	for text := range executed {
		if mac.MatchString(text) {
			t.Errorf("got the statement %q, want none with a proof", text)
		}
		if strings.HasPrefix(text, "SELECT set_current_user(") {
			bindings++
		}
	}
	if bindings == 0 {
		t.Error("got no statement that calls set_current_user, want some")
	}
}

// packageFiles returns the package's files without its tests.
func packageFiles(t *testing.T) map[string]*ast.File {
	t.Helper()
	entries, err := os.ReadDir(".")
	must(t, err)
	files := make(map[string]*ast.File)
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		files[e.Name()], err = parser.ParseFile(token.NewFileSet(), e.Name(), nil, 0)
		must(t, err)
	}
	return files
}

// length returns the number of items and the error.
func length[T any](items []T, err error) (int, error) { return len(items), err }

// one returns 1 and the error.
func one[T any](_ T, err error) (int, error) { return 1, err }

// first returns the first error.
func first(errs ...error) (int, error) { return 0, cmp.Or(errs...) }
