// Package local runs Intray's servers on one machine, each as a process of its own: PostgreSQL,
// NATS and MinIO, and the processes that are added with [Servers.Run]. The command `intray up` and
// the tests use it.
//
// [Start] finds, downloads or builds the programs, creates their data folders, starts the servers
// concurrently and returns when all of them are ready. From then on, a process that exits is
// started again. [Servers.Close] ends the processes in the reverse of the order in which they were
// added. If the calling process is killed, the kernel ends the servers (see the type spawner).
//
// The package requires Linux: it uses parent death signals, ambient capabilities and Debian's
// packages.
//
// The package does not read environment variables. [Config] contains the values that it needs.
package local

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// A Config configures the servers.
type Config struct {
	// Dir is the data folder, which is created if it does not exist. Required; see [DefaultDir].
	Dir string
	// CacheDir is the folder for downloaded and built programs, which all data folders of a user
	// share. Required; see [DefaultCacheDir].
	CacheDir string
	// PGBin is the folder of PostgreSQL's programs ($PG_BIN). Default: the newest version that
	// Debian's packages have installed, or the one in PATH, or one that is downloaded into CacheDir.
	PGBin string
	// MinIOBin is the path of MinIO's program ($MINIO_BIN). Default: it is built from source once,
	// into CacheDir.
	MinIOBin string
	// NATSCommand is a command that calls [RunNATS]. The path of the configuration file is appended
	// to it. Default: Executable, "nats-server", "--config".
	NATSCommand []string
	// NATSEnv is added to the environment of NATSCommand.
	NATSEnv []string
	// Executable is the path of the running program. Required.
	Executable string
	// Ports are the ports to listen on, by name: postgres, nats, minio, and the names that the caller
	// passes to [Servers.Port]. For a port that is 0 or missing, a free port is chosen and stored in
	// Dir.
	Ports map[string]int
	// Volatile turns off PostgreSQL's fsync. The database then survives a crash of a process but not
	// one of the machine. It is for tests, which create many databases.
	Volatile bool
	// Environ is the environment (os.Environ()) whose PATH is searched for programs and in which go
	// and apt-get run.
	Environ []string
	// Out receives messages for the user, one line each. Default: they are discarded.
	Out io.Writer
	// Terminal reports whether Out is a terminal, on which progress is shown in place.
	Terminal bool
}

// Servers are the running PostgreSQL, NATS and MinIO servers and the processes that were added to
// them.
type Servers struct {
	config     Config
	out        *output
	lock       *folderLock
	state      *state
	supervisor *supervisor
	postgres   *postgres
	nats       *natsServer
	minio      *minioServer

	closeOnce sync.Once

	stackMu sync.Mutex
	stack   *Stack // the content of stack.json, or nil while there is no file
}

// Start starts PostgreSQL, NATS and MinIO, and returns when all of them are ready: the database and
// its owner exist, JetStream is available and MinIO serves requests. Start creates no tables,
// streams or buckets. The caller must call Close on the result.
//
// ctx bounds the start only. Error messages are written for the user of the command.
func Start(ctx context.Context, config Config) (_ *Servers, err error) {
	if config.Out == nil {
		config.Out = io.Discard
	}
	if config.Dir, err = filepath.Abs(config.Dir); err != nil {
		return nil, fmt.Errorf("resolve the path of the data folder: %w", err)
	}
	if err := createFolder(config.Dir); err != nil {
		return nil, err
	}
	s := &Servers{config: config, out: &output{to: config.Out, terminal: config.Terminal}}
	if s.lock, err = lockFolder(config.Dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if err = s.removeStack(); err != nil {
		return nil, err
	}
	if err = checkSpace(config.Dir, minFreeSpace, "the servers' data"); err != nil {
		return nil, err
	}
	if s.state, err = loadState(config.Dir); err != nil {
		return nil, err
	}
	s.supervisor = newSupervisor(filepath.Join(config.Dir, "log"), s.out.printf, s.pidsChanged)
	if err = s.configure(ctx); err != nil {
		return nil, err
	}
	return s, s.startAll(ctx)
}

// createFolder creates the data folder and its folder log. If this process runs as root, everybody
// may search the data folder, because PostgreSQL's user must be able to access the folder postgres
// in it. The folders in it are accessible to their owners only.
func createFolder(dir string) error {
	mode := os.FileMode(0o700)
	if os.Geteuid() == 0 {
		mode = 0o711
	}
	if err := os.MkdirAll(dir, mode); err != nil {
		return fmt.Errorf("create the data folder: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "log"), 0o700); err != nil {
		return fmt.Errorf("create the data folder: %w", err)
	}
	return nil
}

// configure determines the ports, passwords and folders of the servers.
func (s *Servers) configure(ctx context.Context) error {
	ports, secrets := map[string]int{}, map[string]string{}
	for _, name := range []string{"postgres", "nats", "minio"} {
		port, err := s.Port(ctx, name)
		if err != nil {
			return err
		}
		ports[name] = port
	}
	for _, name := range []string{"postgres_superuser", "postgres_owner", "minio_root",
		"nats_" + NATSMinIO, "nats_" + NATSAPI, "nats_" + NATSWorker, "nats_" + NATSOperator} {
		secret, err := s.Secret(name)
		if err != nil {
			return err
		}
		secrets[name] = secret
	}
	user, err := postgresUser()
	if err != nil {
		return err
	}
	cert, err := s.createCertificate()
	if err != nil {
		return err
	}
	s.postgres = &postgres{
		cert: &cert, ca: s.CA(),
		dir: filepath.Join(s.config.Dir, "postgres"), port: ports["postgres"], user: user,
		volatile:      s.config.Volatile,
		superPassword: secrets["postgres_superuser"], ownerPassword: secrets["postgres_owner"],
	}
	s.nats = &natsServer{
		cert: cert, ca: s.CA(),
		dir: filepath.Join(s.config.Dir, "nats"), port: ports["nats"], passwords: map[string]string{},
	}
	for u := range natsUsers {
		s.nats.passwords[u] = secrets["nats_"+u]
	}
	dir := filepath.Join(s.config.Dir, "minio")
	s.minio = &minioServer{dir: dir, port: ports["minio"], settings: MinIOSettings{
		RootUser: "intray-root", RootPassword: secrets["minio_root"],
		NATSAddress: s.nats.address(), NATSCA: s.CA(),
		NATSUser: NATSMinIO, NATSPassword: s.nats.passwords[NATSMinIO],
		QueueDir: filepath.Join(dir, "queue"),
	}}
	return nil
}

// startAll finds the programs and starts the three servers concurrently. MinIO is added last, so
// that it is stopped first and can still send its events to NATS.
func (s *Servers) startAll(ctx context.Context) (err error) {
	fetch := &fetcher{config: s.config, out: s.out, spawn: s.supervisor.spawn}
	version := clusterVersion(s.postgres.data())
	if s.postgres.programs, err = fetch.findPostgres(ctx, version); err != nil {
		return err
	}
	if s.minio.program, err = fetch.findMinIO(ctx); err != nil {
		return err
	}
	command := s.config.NATSCommand
	if len(command) == 0 {
		command = []string{s.config.Executable, "nats-server", "--config"}
	}
	var children [3]*Child
	for i, p := range []Process{
		s.postgres.process(),
		s.nats.process(command, s.config.NATSEnv),
		s.minio.process(s.out.printf),
	} {
		if children[i], err = s.supervisor.add(p.withDefaults(s.config.Dir)); err != nil {
			return err
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := s.postgres.prepare(ctx, fetch); err != nil {
			return err
		}
		if err := s.startOne(ctx, children[0]); err != nil {
			return err
		}
		return s.postgres.provision(ctx)
	})
	g.Go(func() error {
		if err := s.nats.prepare(); err != nil {
			return err
		}
		return s.startOne(ctx, children[1])
	})
	g.Go(func() error {
		if err := s.minio.prepare(); err != nil {
			return err
		}
		return s.startOne(ctx, children[2])
	})
	return g.Wait()
}

func (s *Servers) startOne(ctx context.Context, c *Child) error {
	began := time.Now()
	if err := c.start(ctx); err != nil {
		return err
	}
	s.out.printf("%s is ready after %v", c.Name(), time.Since(began).Round(time.Millisecond))
	return nil
}
