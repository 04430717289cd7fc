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

// TestMain runs the tests or, depending on the variable LOCAL_TEST_ROLE, a helper process that the
// tests start: the NATS server, or a process that starts the servers and is then killed.
func TestMain(m *testing.M) {
	switch role := os.Getenv("LOCAL_TEST_ROLE"); role {
	case "":
		if err := localtest.BecomeSubreaper(); err != nil {
			exit(err)
		}
		goleak.VerifyTestMain(m, goleak.Cleanup(func(status int) {
			if sharedFolder != "" {
				_ = os.RemoveAll(sharedFolder)
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
		select {} // until the process is killed
	default:
		exit(fmt.Errorf("unknown LOCAL_TEST_ROLE %q", role))
	}
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// config returns a configuration that runs the servers in dir with the programs on this machine or
// in the user's cache.
func config(dir string) local.Config {
	cache := local.DefaultCacheDir(os.Geteuid(), os.Getenv("XDG_CACHE_HOME"), os.Getenv("HOME"))
	return local.Config{
		Dir: dir, CacheDir: cache,
		PGBin: os.Getenv("PG_BIN"), MinIOBin: os.Getenv("MINIO_BIN"),
		Executable:  "/proc/self/exe",
		NATSCommand: []string{"/proc/self/exe"}, NATSEnv: []string{"LOCAL_TEST_ROLE=nats"},
		Environ: os.Environ(), Out: os.Stderr,
	}
}

// start runs the servers until the test ends. The returned buffer collects their messages.
func start(t *testing.T, c local.Config) (*local.Servers, *messageBuffer) {
	t.Helper()
	messages := &messageBuffer{}
	c.Out = messages
	s, err := local.Start(t.Context(), c)
	if err != nil {
		t.Fatalf("%v\n%s", err, messages)
	}
	t.Cleanup(s.Close)
	return s, messages
}

// sharedFolder contains the data folder that all tests use, because each test would otherwise take
// a second to create a database cluster. Its mode is 0700, so that PostgreSQL's user cannot access
// it without a capability when root runs the tests.
var sharedFolder string

// dataFolder returns the data folder that the tests use one after the other.
func dataFolder(t *testing.T) string {
	t.Helper()
	if sharedFolder == "" {
		var err error
		if sharedFolder, err = os.MkdirTemp("", "intray-local-"); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(sharedFolder, "data")
}

// wantError fails the test unless the message of err contains each of the parts.
func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("got error %v, want one that contains %q", err, part)
		}
	}
}
