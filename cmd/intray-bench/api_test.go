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

// TestBenchAPIMeasuresAndLeavesNothing runs small ones: what they say, what they
// leave, and how they end.
func TestBenchAPIMeasuresAndLeavesNothing(t *testing.T) {
	s := stacktest.Up(t)
	small := []string{"api", "--data", s.Dir, "--round", "30ms", "--rounds", "2", "--rows", "30"}

	out, errs, code := stacktest.Run(t, nil, "intray-bench", append(small, "--json")...)
	if code != 0 {
		t.Fatalf("status %d: %s", code, errs)
	}
	var r bench.APIReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if len(r.Steps) != 6 || r.Rounds != 2 || r.Steps[0].OfFloor != 1 {
		t.Errorf("%+v", r)
	}
	for _, step := range append(r.Steps, r.URLs) {
		if step.Rate <= 0 || step.OfFloor <= 0 {
			t.Errorf("%+v", step)
		}
	}
	nothingIsLeft(t, s)

	if out, errs, code := stacktest.Run(t, nil, "intray-bench", small...); code != 0 || !strings.Contains(out, bench.StepURLs) || !strings.Contains(errs, "users: ") {
		t.Errorf("status %d: %s%s", code, out, errs)
	}
	if _, errs, code := stacktest.Run(t, nil, "intray-bench", append(small, "--rounds", "0")...); code != 2 || !strings.Contains(errs, "at least one round") {
		t.Errorf("no rounds: status %d: %s", code, errs)
	}
	if _, errs, code := stacktest.Run(t, nil, "intray-bench", "api", "--data", t.TempDir()); code != 3 {
		t.Errorf("no stack: status %d: %s", code, errs)
	}

	t.Run("also when it is interrupted", func(t *testing.T) {
		path := stacktest.Program(t, "intray-bench")
		command := exec.Command(path, "api", "--data", s.Dir, "--rounds", "100000")
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		db, err := postgres.Open(t.Context(), s.Postgres, postgres.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		stacktest.Await(t, time.Minute, "its users", func() error {
			users, err := db.Users(t.Context())
			for _, u := range users {
				if strings.HasSuffix(u.Email, bench.Domain) {
					return err
				}
			}
			return errors.Join(err, errors.New("none"))
		})
		if err := command.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		var exit *exec.ExitError
		if err := command.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
			t.Errorf("it ended with %v", err)
		}
		nothingIsLeft(t, s)
	})
}
