package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/url"
	"os/exec"
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
func benchConfirm(t *testing.T, s *stacktest.Stack, out, progress *bytes.Buffer, args ...string) *exec.Cmd {
	t.Helper()
	path := stacktest.Program(t, "intray-bench")
	command := exec.Command(path, append([]string{"confirm", "--data", s.Dir, "--users", "3"}, args...)...)
	command.Stdout, command.Stderr = out, progress
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	return command
}

// nothingIsLeft fails if a benchmark left a user, a document, an object or a
// pause behind.
func nothingIsLeft(t *testing.T, s *stacktest.Stack) {
	t.Helper()
	db, err := postgres.Open(t.Context(), s.Postgres, postgres.Options{})
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
			t.Errorf("the user %s is left", u.Email)
		}
	}
	objects, err := minio.NewObjects(minio.Config{
		Endpoint: s.MinIO.Endpoint, Bucket: s.MinIO.Bucket, Key: minio.Key{Access: s.MinIO.RootUser, Secret: s.MinIO.RootPassword},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer objects.Close()
	for o, err := range objects.List(t.Context(), "", "") {
		t.Errorf("the object %s is left, %v", o.Key, err)
	}
	server, err := url.Parse(s.NATS)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := server.User.Password()
	conn, err := nats.Connect(t.Context(), nats.Options{
		URL: "nats://" + server.Host, User: nats.UserOperator, Password: password, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for stream, name := range map[string]string{schema.StreamBucket: schema.ConsumerConfirm, schema.StreamDocuments: schema.ConsumerClassify} {
		consumer, err := conn.JetStream().Consumer(t.Context(), stream, name)
		if err != nil {
			t.Fatal(err)
		}
		if consumer.CachedInfo().Paused {
			t.Errorf("%s is still paused", name)
		}
	}
}

func TestBenchConfirmMeasuresAndLeavesNothing(t *testing.T) {
	s := stacktest.Up(t)
	var out, progress bytes.Buffer
	command := benchConfirm(t, s, &out, &progress,
		"--documents", "60", "--folder", "20", "--single", "10", "--uploads", "20", "--rows", "30", "--json")
	if err := command.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, &progress)
	}
	var r bench.Report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v: %s", err, &out)
	}
	for name, value := range map[string]float64{
		"put": r.PutRate, "dense HEAD": r.Dense.Head, "dense": r.Dense.Rate, "memory": r.Dense.Memory,
		"scattered HEAD": r.Scattered.Head, "scattered": r.Scattered.Rate, "one by one": r.OneByOne,
		"floor": r.Floor.P50, "one at a time": r.OneAtATime.P99, "burst": r.Burst.P50, "last": r.Last,
	} {
		if value <= 0 {
			t.Errorf("%s is %v", name, value)
		}
	}
	if r.OneAtATime.N != 4 || r.Burst.N != 20 || r.Floor.N != 10 {
		t.Errorf("%+v", r)
	}
	nothingIsLeft(t, s)

	t.Run("also when it is interrupted", func(t *testing.T) {
		var out, progress bytes.Buffer
		command := benchConfirm(t, s, &out, &progress, "--documents", "5000", "--single", "0", "--uploads", "0")
		stacktest.Await(t, time.Minute, "objects", func() error {
			objects, err := minio.NewObjects(minio.Config{
				Endpoint: s.MinIO.Endpoint, Bucket: s.MinIO.Bucket, Key: minio.Key{Access: s.MinIO.RootUser, Secret: s.MinIO.RootPassword},
			})
			if err != nil {
				return err
			}
			defer objects.Close()
			if page, err := objects.Page(t.Context(), schema.ObjectPrefix, "", 50); err != nil || len(page) < 50 {
				return errors.Join(err, errors.New("few objects"))
			}
			return nil
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

	t.Run("not beside another", func(t *testing.T) {
		db, err := postgres.Open(t.Context(), s.Postgres, postgres.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		release, ok, err := db.TryLock(t.Context(), "bench")
		if err != nil || !ok {
			t.Fatalf("the lock is taken, %v", err)
		}
		defer release()
		var out, progress bytes.Buffer
		command := benchConfirm(t, s, &out, &progress, "--documents", "10")
		if err := command.Wait(); err == nil || !strings.Contains(progress.String(), "another benchmark") {
			t.Errorf("%v: %s", err, &progress)
		}
	})
}
