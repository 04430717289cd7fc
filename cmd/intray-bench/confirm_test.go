package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"intray/bench"
	"intray/cmd/internal/stacktest"
	"intray/infra/minio"
	"intray/infra/nats"
	"intray/infra/postgres"
	"intray/schema"
)

// benchConfirm starts a small `intray-bench confirm`.
func benchConfirm(
	t *testing.T, s *stacktest.Stack, out, progress *bytes.Buffer, args ...string,
) *exec.Cmd {
	t.Helper()
	args = append([]string{"confirm", "--data", s.Dir, "--users", "3"}, args...)
	command := exec.Command(stacktest.Program(t, "intray-bench"), args...)
	command.Stdout, command.Stderr = out, progress
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	return command
}

// openObjects returns the stack's bucket, with all rights.
func openObjects(t *testing.T, s *stacktest.Stack) *minio.Objects {
	t.Helper()
	objects, err := minio.NewObjects(minio.Config{
		Endpoint: s.MinIO.Endpoint, Bucket: s.MinIO.Bucket,
		Key: minio.Key{Access: s.MinIO.RootUser, Secret: s.MinIO.RootPassword},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(objects.Close)
	return objects
}

// expectNothingLeft fails if a measurement left a user, a document, an object or a paused consumer
// behind.
func expectNothingLeft(t *testing.T, s *stacktest.Stack) {
	t.Helper()
	db, err := postgres.Open(s.Postgres, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	users, err := db.Users(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range users {
		if strings.HasSuffix(u.Email, bench.Domain) {
			t.Errorf("got the user %s, want none left", u.Email)
		}
	}
	objects := openObjects(t, s)
	for o, err := range objects.List(t.Context(), "", "") {
		t.Errorf("got the object %s, %v, want none left", o.Key, err)
	}
	server, err := url.Parse(s.NATS)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := server.User.Password()
	conn, err := nats.Connect(t.Context(), nats.Options{
		URL: "nats://" + server.Host, User: nats.UserOperator, Password: password,
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for stream, name := range map[string]string{
		schema.StreamBucket: schema.ConsumerConfirm, schema.StreamDocuments: schema.ConsumerClassify,
	} {
		consumer, err := conn.JetStream().Consumer(t.Context(), stream, name)
		if err != nil {
			t.Fatal(err)
		}
		if consumer.CachedInfo().Paused {
			t.Errorf("got consumer %s paused, want it running", name)
		}
	}
}

// testConfirm checks the report of small measurements, and that they leave nothing behind.
func testConfirm(t *testing.T, s *stacktest.Stack) {
	t.Run("reports and leaves nothing behind", func(t *testing.T) {
		var out, progress bytes.Buffer
		command := benchConfirm(t, s, &out, &progress,
			"--documents", "60", "--folder", "20", "--single", "10", "--uploads", "20",
			"--rows", "30", "--json")
		if err := command.Wait(); err != nil {
			t.Fatalf("got %v, want no error\n%s", err, &progress)
		}
		var r bench.ConfirmReport
		if err := json.Unmarshal(out.Bytes(), &r); err != nil {
			t.Fatalf("got %s, want a report: %v", &out, err)
		}
		for name, value := range map[string]float64{
			"put": r.PutRate, "dense HEAD": r.Dense.Head, "dense": r.Dense.Rate, "memory": r.Dense.Memory,
			"scattered HEAD": r.Scattered.Head, "scattered": r.Scattered.Rate, "one by one": r.OneByOne,
			"floor": r.Floor.P50, "one at a time": r.OneAtATime.P99, "burst": r.Burst.P50, "last": r.Last,
		} {
			if value <= 0 {
				t.Errorf("%s: got %v, want more than 0", name, value)
			}
		}
		got := []int{r.Documents, r.Users, r.Folder, r.Rows, r.OneAtATime.N, r.Burst.N, r.Floor.N}
		if want := []int{60, 3, 20, 30, 4, 20, 10}; !slices.Equal(got, want) {
			t.Errorf("got the numbers %v, want %v", got, want)
		}
		expectNothingLeft(t, s)
	})

	t.Run("leaves nothing behind when it is interrupted", func(t *testing.T) {
		testConfirmInterrupted(t, s)
	})

	t.Run("refuses to run concurrently", func(t *testing.T) {
		db, err := postgres.Open(s.Postgres, postgres.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		acquired, err := db.WithLease(t.Context(), "bench", func(context.Context) error {
			var out, progress bytes.Buffer
			err := benchConfirm(t, s, &out, &progress, "--documents", "10").Wait()
			if err == nil || !strings.Contains(progress.String(), "another benchmark") {
				t.Errorf("got %v and %q, want it to name another benchmark", err, &progress)
			}
			return nil
		})
		if err != nil || !acquired {
			t.Fatalf("WithLease: got %t, %v, want the lease", acquired, err)
		}
	})
}

func testConfirmInterrupted(t *testing.T, s *stacktest.Stack) {
	var out, progress bytes.Buffer
	command := benchConfirm(t, s, &out, &progress,
		"--documents", "5000", "--single", "0", "--uploads", "0")
	objects := openObjects(t, s)
	stacktest.Await(t, time.Minute, "objects", func() error {
		page, err := objects.Page(t.Context(), schema.ObjectPrefix, "", 50)
		if err != nil || len(page) < 50 {
			return errors.Join(err, fmt.Errorf("got %d objects, want 50", len(page)))
		}
		return nil
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
