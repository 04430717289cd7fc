package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"intray/cmd/internal/stacktest"
)

// TestFrozenLeaderIsReplaced suspends the sweeping replica in the middle of a batch of object
// deletions. Within a minute another one sweeps, and the first one changes nothing afterwards.
func TestFrozenLeaderIsReplaced(t *testing.T) {
	s := up(t)
	db := s.database(t)
	count := func(query string) (n int) {
		t.Helper()
		if err := db.Get(&n, query); err != nil {
			t.Fatal(err)
		}
		return n
	}
	const due = `SELECT count(*) FROM object_deletions WHERE deleted_at IS NULL`
	first := fmt.Sprintf(":%d", s.PIDs["consume"])
	holder := func() (holder string) {
		_ = db.Get(&holder, `SELECT holder FROM leases WHERE name = 'sweep' AND expires_at > now()`)
		return holder
	}
	stacktest.Await(t, 30*time.Second, "the first replica to sweep", func() error {
		if h := holder(); !strings.HasSuffix(h, first) {
			return fmt.Errorf("got the sweeping replica %q, want %s", h, first)
		}
		return nil
	})
	const deletions = 4000
	if _, err := db.Exec(`
		INSERT INTO object_deletions (object_key)
		SELECT 'documents/0000000000/' || gen_random_uuid() FROM generate_series(1, $1)`,
		deletions); err != nil {
		t.Fatal(err)
	}
	stacktest.Await(t, time.Minute, "the first batches", func() error {
		if n := count(due); n == deletions {
			return fmt.Errorf("got %d due deletions, want fewer", n)
		}
		return nil
	})
	suspend := func(signal syscall.Signal) {
		if err := syscall.Kill(s.PIDs["consume"], signal); err != nil {
			t.Fatal(err)
		}
	}
	suspend(syscall.SIGSTOP)
	defer func() { _ = syscall.Kill(s.PIDs["consume"], syscall.SIGCONT) }()
	if n := count(due); n == 0 {
		t.Fatal("got no due deletions, want the first replica suspended among them")
	}

	stacktest.Await(t, time.Minute, "the lease of the first replica to expire", func() error {
		if h := holder(); h != "" {
			return fmt.Errorf("got the sweeping replica %q, want none", h)
		}
		return nil
	})
	found := s.check(t, 3) // the suspended consumers do not answer either
	want := "the sweeper is not running on any replica: "
	// While the other consumers are suspended too, they may cause problems of their own.
	reported := slices.ContainsFunc(found.Problems, func(problem string) bool {
		return strings.HasPrefix(problem, want) && strings.Contains(problem, first)
	})
	if found.Backlog.SweeperActive || !reported {
		t.Errorf("got sweeper active %v and the problems %q, want %q with %s",
			found.Backlog.SweeperActive, found.Problems, want, first)
	}
	consume(t, s.environment(t, "consume"), "sweep")
	stacktest.Await(t, time.Minute, "the second replica to finish", func() error {
		if n := count(due); n > 0 {
			return fmt.Errorf("got %d due deletions, want 0", n)
		}
		return nil
	})
	second := holder()
	if second == "" || strings.HasSuffix(second, first) {
		t.Errorf("got the sweeping replica %q, want the second one", second)
	}
	expectText(t, s.operator(t, 3, "status"), "sweep", second)

	// Every change of a row changes its xmin.
	const state = `SELECT count(DISTINCT xmin::text) FROM object_deletions WHERE attempts = 0`
	before := count(state)
	suspend(syscall.SIGCONT)
	stacktest.Await(t, time.Minute, "the first replica to notice", func() error {
		log, err := os.ReadFile(filepath.Join(s.Dir, "log", "consume.log"))
		if err == nil && !strings.Contains(string(log), "this replica has lost the lease") {
			err = fmt.Errorf("got log\n%s\nwant that it has lost the lease", log)
		}
		return err
	})
	if after := count(state); after != before {
		t.Errorf("got %d different transactions, want still %d", after, before)
	}
	if h := holder(); h != second {
		t.Errorf("got the sweeping replica %q, want still %q", h, second)
	}
	stacktest.Await(t, time.Minute, "the status to be healthy", func() error {
		out, _, status := stacktest.Run(t, nil, "intray", "status", "--data", s.Dir)
		if status != 0 {
			return fmt.Errorf("got exit status %d, want 0:\n%s", status, out)
		}
		return nil
	})
}
