package localtest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"intray/infra/local"
)

// A Private is a set of servers that only one test uses, so that it can stop and reconfigure them.
// They end with the test.
type Private struct {
	t        testing.TB
	servers  *local.TestServers
	folder   string
	messages strings.Builder
}

// NewPrivate returns an empty set of servers.
func NewPrivate(t testing.TB) *Private {
	t.Helper()
	p := &Private{t: t}
	// t.TempDir is not used, because the servers' user cannot access its parents.
	folder, err := os.MkdirTemp("", "intray-private-")
	if err == nil && os.Geteuid() == 0 {
		err = os.Chmod(folder, 0o711) //nolint:gosec // the servers' user must be able to pass through it
	}
	if err != nil {
		t.Fatalf("localtest: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	p.folder = folder
	p.servers = local.NewTestServers(local.Config{
		CacheDir: local.DefaultCacheDir(
			os.Geteuid(), os.Getenv("XDG_CACHE_HOME"), os.Getenv("HOME")),
		PGBin: os.Getenv("PG_BIN"), Environ: os.Environ(), Out: &p.messages,
	})
	t.Cleanup(p.servers.Close)
	return p
}

// Postgres starts a PostgreSQL server with the settings, such as "max_connections=10".
func (p *Private) Postgres(settings ...string) *local.TestPostgres {
	p.t.Helper()
	ctx, cancel := p.timeout()
	defer cancel()
	s, err := p.servers.NewPostgres(ctx, p.dir("postgres"), settings...)
	p.started(err)
	p.t.Cleanup(func() { <-s.Signal(syscall.SIGQUIT) })
	return s
}

// Standby starts a hot standby of the server, which it restarts.
func (p *Private) Standby(of *local.TestPostgres) *local.TestPostgres {
	p.t.Helper()
	ctx, cancel := p.timeout()
	defer cancel()
	s, err := of.NewStandby(ctx, p.dir("standby"))
	p.started(err)
	p.t.Cleanup(func() { <-s.Signal(syscall.SIGQUIT) })
	return s
}

// Pooler starts a PgBouncer in front of the server, with the passwords of roles and the settings,
// such as "pool_mode = session".
func (p *Private) Pooler(
	server *local.TestPostgres, passwords map[string]string, settings ...string,
) *local.TestPooler {
	p.t.Helper()
	ctx, cancel := p.timeout()
	defer cancel()
	dir := p.dir("pooler")
	if err := os.Mkdir(dir, 0o700); err != nil {
		p.t.Fatalf("localtest: %v", err)
	}
	s, err := p.servers.NewPooler(ctx, dir, server, passwords, settings...)
	p.started(err)
	p.t.Cleanup(func() { <-s.Signal(syscall.SIGKILL) })
	return s
}

// dir returns the path of a new folder, which does not exist yet.
func (p *Private) dir(kind string) string {
	return filepath.Join(p.folder, newName(kind))
}

func (p *Private) started(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatalf("localtest: %v\n%s", err, &p.messages)
	}
}

// timeout is long enough for a download of the programs.
func (p *Private) timeout() (context.Context, context.CancelFunc) {
	return context.WithTimeout(p.t.Context(), 10*time.Minute)
}
