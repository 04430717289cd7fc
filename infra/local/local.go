// Package local runs Intray's servers on one machine, each as a process of its own:
// PostgreSQL, NATS and MinIO, and with [Servers.Run] whatever else belongs to the system.
// The command `intray up` and the tests use it.
//
// [Start] finds or fetches the programs, makes their data folders, starts them concurrently
// and returns when all of them are ready. From then on a process that dies is started
// again. [Servers.Close] ends them in the reverse of the order in which they were added.
// When the starter itself is killed, the kernel ends them (see spawner).
//
// It is for Linux: parent death signals, ambient capabilities and Debian's packages have no
// like elsewhere.
//
// The package reads no environment variables: what it needs of them is in [Config].
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

// A Config says where and how the servers run.
type Config struct {
	// Dir is the data folder; it is made if it is not there. Required; see [DefaultDir].
	Dir string
	// CacheDir is where fetched and built programs are kept for all data folders of the user.
	// Required; see [DefaultCacheDir].
	CacheDir string
	// PGBin is the folder of PostgreSQL's programs ($PG_BIN). Default: Debian's, then PATH,
	// then fetched.
	PGBin string
	// MinIOBin is MinIO's program ($MINIO_BIN). Default: built from source once into CacheDir.
	MinIOBin string
	// NATSCommand runs [RunNATS] on the configuration file whose name is appended to it.
	// Default: Executable, "nats-server", "--config".
	NATSCommand []string
	// NATSEnv is added to the environment of that command.
	NATSEnv []string
	// Executable is the path of the running program. Required.
	Executable string
	// Ports are the ports to listen on, by name: postgres, nats, minio, and those that the
	// caller asks [Servers.Port] for. One that is 0 or missing is a free one, kept in Dir.
	Ports map[string]int
	// Volatile gives up the data in a crash of the machine, not in one of a process: PostgreSQL
	// leaves out fsync. For tests, which make databases by the dozen.
	Volatile bool
	// Environ is the environment (os.Environ()) in which programs are looked up and go and
	// apt-get run.
	Environ []string
	// Out is told, one line at a time, what is being done. Default: nobody.
	Out io.Writer
	// Terminal says that Out is a terminal, on which progress is shown in place.
	Terminal bool
}

// Servers are the running PostgreSQL, NATS and MinIO, and the processes that were added to them.
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
	stack   *Stack // what stack.json says, or nil while there is none
}

// Start brings up PostgreSQL, NATS and MinIO, and returns when all of them are ready: the
// database and its owner are there, JetStream answers, MinIO serves. It provisions nothing
// beyond that. The caller must Close what it returns.
//
// ctx bounds the start only. Errors are meant to be shown to the person who typed the command.
func Start(ctx context.Context, config Config) (_ *Servers, err error) {
	if config.Out == nil {
		config.Out = io.Discard
	}
	if config.Dir, err = filepath.Abs(config.Dir); err != nil {
		return nil, fmt.Errorf("find the data folder: %w", err)
	}
	if err := makeFolder(config.Dir); err != nil {
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
	if err = checkSpace(config.Dir, minFree, "the servers' data"); err != nil {
		return nil, err
	}
	if s.state, err = loadState(config.Dir); err != nil {
		return nil, err
	}
	s.supervisor = newSupervisor(filepath.Join(config.Dir, "log"), s.out.say, s.pidsChanged)
	if err = s.describe(ctx); err != nil {
		return nil, err
	}
	return s, s.startAll(ctx)
}

// makeFolder makes the data folder. Root's may be passed by everybody, for PostgreSQL's
// user must get to its own; what is in it is for its owner only.
func makeFolder(dir string) error {
	mode := os.FileMode(0o700)
	if os.Geteuid() == 0 {
		mode = 0o711
	}
	if err := os.MkdirAll(dir, mode); err != nil {
		return fmt.Errorf("make the data folder: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "log"), 0o700); err != nil {
		return fmt.Errorf("make the data folder: %w", err)
	}
	return nil
}

// describe settles ports, passwords and folders of the servers.
func (s *Servers) describe(ctx context.Context) error {
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
	user, err := unprivileged()
	if err != nil {
		return err
	}
	s.postgres = &postgres{
		dir: filepath.Join(s.config.Dir, "postgres"), port: ports["postgres"], user: user, volatile: s.config.Volatile,
		superPassword: secrets["postgres_superuser"], ownerPassword: secrets["postgres_owner"],
	}
	s.nats = &natsServer{dir: filepath.Join(s.config.Dir, "nats"), port: ports["nats"], passwords: map[string]string{}}
	for u := range natsUsers {
		s.nats.passwords[u] = secrets["nats_"+u]
	}
	dir := filepath.Join(s.config.Dir, "minio")
	s.minio = &minioServer{dir: dir, port: ports["minio"], settings: MinIOSettings{
		RootUser: "intray-root", RootPassword: secrets["minio_root"],
		NATSAddress: s.nats.address(), NATSUser: NATSMinIO, NATSPassword: s.nats.passwords[NATSMinIO],
		QueueDir: filepath.Join(dir, "queue"),
	}}
	return nil
}

// startAll finds the programs and starts the three concurrently. They are added one after
// the other, which settles the order of stopping: MinIO first, so that what it still has to
// say reaches NATS.
func (s *Servers) startAll(ctx context.Context) (err error) {
	fetch := &fetcher{config: s.config, out: s.out, spawn: s.supervisor.spawn}
	if s.postgres.programs, err = fetch.findPostgres(ctx, clusterVersion(s.postgres.data())); err != nil {
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
		s.minio.process(s.out.say),
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
	s.out.say("%s is ready after %v", c.Name(), time.Since(began).Round(time.Millisecond))
	return nil
}
