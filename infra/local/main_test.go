package local_test

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"intray/infra/local"
	"intray/infra/local/localtest"
)

// The test binary is also the starter that is killed, NATS, and children of various habits.
func TestMain(m *testing.M) {
	switch role := os.Getenv("LOCAL_TEST_ROLE"); role {
	case "":
		if err := localtest.BecomeSubreaper(); err != nil {
			exit(err)
		}
		goleak.VerifyTestMain(m, goleak.Cleanup(func(status int) {
			if kept != "" {
				_ = os.RemoveAll(kept)
			}
			os.Exit(status)
		}))
	case "nats":
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		exit(local.RunNATS(ctx, os.Args[len(os.Args)-1]))
	case "starter":
		s, err := local.Start(context.Background(), config(os.Getenv("LOCAL_TEST_DIR")))
		if err == nil {
			err = s.WriteStack(local.Stack{})
		}
		if err != nil {
			exit(err)
		}
		select {} // until it is killed
	default:
		exit(fmt.Errorf("LOCAL_TEST_ROLE is %q", role))
	}
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// config runs the servers in dir with the programs that this machine has, or has in its cache.
func config(dir string) local.Config {
	return local.Config{
		Dir: dir, CacheDir: local.DefaultCacheDir(os.Geteuid(), os.Getenv("XDG_CACHE_HOME"), os.Getenv("HOME")),
		PGBin: os.Getenv("PG_BIN"), MinIOBin: os.Getenv("MINIO_BIN"),
		Executable: "/proc/self/exe", NATSCommand: []string{"/proc/self/exe"}, NATSEnv: []string{"LOCAL_TEST_ROLE=nats"},
		Environ: os.Environ(), Out: os.Stderr,
	}
}

// start runs the servers in dir until the test ends; the lines they say go to the returned
// function.
func start(t *testing.T, c local.Config) (*local.Servers, *lines) {
	t.Helper()
	said := &lines{}
	c.Out = said
	s, err := local.Start(t.Context(), c)
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	t.Cleanup(s.Close)
	return s, said
}

// kept is the folder of all tests' data folder: making a database cluster for each would
// take a second each time. Its mode is 0700, so PostgreSQL's user cannot pass it when root
// runs the tests.
var kept string

// folder returns the data folder that the tests use one after the other.
func folder(t *testing.T) string {
	t.Helper()
	if kept == "" {
		var err error
		if kept, err = os.MkdirTemp("", "intray-local-"); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(kept, "data")
}

func contains(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("got error %v, want one that tells of %q", err, part)
		}
	}
}
