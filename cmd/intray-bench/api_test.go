package main_test

import (
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"intray/bench"
	"intray/cmd/internal/stacktest"
	"intray/infra/postgres"
)

// testAPI checks the report of small measurements, and that they leave nothing behind.
func testAPI(t *testing.T, s *stacktest.Stack) {
	small := []string{"api", "--data", s.Dir, "--round", "30ms", "--rounds", "2", "--rows", "30"}

	t.Run("reports and leaves nothing behind", func(t *testing.T) {
		stdout, stderr, exit := stacktest.Run(t, nil, "intray-bench", append(small, "--json")...)
		if exit != 0 {
			t.Fatalf("got exit status %d, want 0: %s", exit, stderr)
		}
		var r bench.APIReport
		if err := json.Unmarshal([]byte(stdout), &r); err != nil {
			t.Fatalf("got %s, want a report: %v", stdout, err)
		}
		if len(r.Steps) != 2 || r.Rounds != 2 || r.Steps[0].OfFloor != 1 {
			t.Errorf("got %+v, want 2 rounds, and the steps floor, whose ratio to itself is 1, and polls", r)
		}
		for _, step := range append(r.Steps, r.URLs) {
			if step.Rate <= 0 || step.OfFloor <= 0 {
				t.Errorf("got %+v, want a rate", step)
			}
		}
		expectNothingLeft(t, s)
	})

	for _, c := range []struct {
		name string
		args []string
		exit int
		want []string // on standard output or standard error
	}{
		{"a table with progress", small, 0, []string{bench.StepURLs, "users: "}},
		{"no rounds", append(small, "--rounds", "0"), 2, []string{"--rounds must be at least 1"}},
		{"no stack", []string{"api", "--data", t.TempDir()}, 3, []string{"start \"intray up\""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			stdout, stderr, exit := stacktest.Run(t, nil, "intray-bench", c.args...)
			if exit != c.exit {
				t.Errorf("got exit status %d, want %d", exit, c.exit)
			}
			for _, want := range c.want {
				if !strings.Contains(stdout+stderr, want) {
					t.Errorf("got %s%s, want %q in it", stdout, stderr, want)
				}
			}
		})
	}

	t.Run("leaves nothing behind when it is interrupted", func(t *testing.T) {
		testAPIInterrupted(t, s)
	})
}

func testAPIInterrupted(t *testing.T, s *stacktest.Stack) {
	path := stacktest.Program(t, "intray-bench")
	command := exec.Command(path, "api", "--data", s.Dir, "--rounds", "100000")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	db, err := postgres.Open(s.Postgres, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	stacktest.Await(t, time.Minute, "the users of the measurement", func() error {
		users, err := db.Users(t.Context())
		for _, u := range users {
			if strings.HasSuffix(u.Email, bench.Domain) {
				return err
			}
		}
		return errors.Join(err, errors.New("got none"))
	})
	if err := command.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := command.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("got %v, want exit status 1", err)
	}
	expectNothingLeft(t, s)
}
