package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/alecthomas/kong"

	"intray/cmd/internal/cli"
	"intray/infra/local"
	"intray/infra/postgres"
	"intray/schema"
)

type upCommand struct {
	Data         string `type:"path" placeholder:"DIR" help:"Data folder. Default: /var/lib/intray for root, otherwise intray in XDG_DATA_HOME or ~/.local/share."`
	Listen       string `default:"127.0.0.1:8080" help:"Address of the API."`
	Maintenance  bool   `help:"Start only PostgreSQL, NATS and MinIO, so that nothing changes the database or the bucket during a backup or a restore."`
	GatewayPort  int    `placeholder:"PORT" help:"Port of the gateway. Default of all ports: a free port, which is stored in the data folder."`
	PostgresPort int    `placeholder:"PORT" help:"Port of PostgreSQL."`
	NATSPort     int    `name:"nats-port" placeholder:"PORT" help:"Port of NATS."`
	MinIOPort    int    `name:"minio-port" placeholder:"PORT" help:"Port of MinIO."`
	PGBin        string `name:"pg-bin" env:"PG_BIN" placeholder:"DIR" help:"Folder of PostgreSQL's programs. Default: an installed version, or a downloaded one."`
	MinIOBin     string `name:"minio-bin" env:"MINIO_BIN" placeholder:"FILE" help:"MinIO's program. Default: one that is built at the first start."`

	streamSettings `group:"NATS streams:"`
}

// Help describes the requirements and the effects.
func (upCommand) Help() string {
	return `Runs a complete stack for development and trials. The first start takes a few minutes,
because it builds MinIO, which requires Go. If PostgreSQL is not installed, its packages are
downloaded and unpacked with apt-get and dpkg-deb, but not installed.

By default all components listen on this machine only. When they are ready, the command prints the
address of the API and the development accounts, and writes all addresses and credentials to
DIR/stack.json. To stop all components, press Ctrl-C. The data is kept in the data folder.

The settings of the API, the consumers and the gateway (see "intray api --help" and so on) are
passed on from the environment, except addresses, passwords and keys, which this command sets
itself. If DEFAULT_AI_PROVIDER is not set, it is builtin.`
}

// Validate returns an error if a setting is invalid for one of the servers, so that the command
// fails before it starts anything.
func (c upCommand) Validate(parsed *kong.Context) error {
	if err := c.streamSettings.Validate(); err != nil {
		return err
	}
	for _, name := range ownServers {
		if err := cli.CheckSettings(command(parsed.Model, name)); err != nil {
			return err
		}
	}
	return nil
}

// Run starts the stack, waits until ctx is canceled and stops the stack.
func (c upCommand) Run(ctx context.Context, parser *kong.Kong) error {
	ctx, stop := cancelWithGo(ctx)
	defer stop()
	startedAt := time.Now()
	config, err := c.config()
	if err != nil {
		return err
	}
	if err := checkAddress(ctx, c.Listen); err != nil {
		return err
	}
	servers, err := local.Start(ctx, config)
	if err != nil {
		return err
	}
	defer servers.Close()
	stack := local.Stack{MinIO: local.StackMinIO{Bucket: bucket}, Accounts: []local.Account{}}
	if !c.Maintenance {
		if stack, err = c.startOwnServers(ctx, servers, parser.Model); err != nil {
			return err
		}
	}
	if err := servers.WriteStack(stack); err != nil {
		return err
	}
	if c.Maintenance {
		fmt.Fprint(config.Out, "\nMaintenance: PostgreSQL, NATS and MinIO are running; "+
			"the API, the consumers and the gateway are not.\n")
	} else {
		fmt.Fprintf(config.Out, "\nReady after %.1f s: %s\n\nDevelopment accounts:\n",
			time.Since(startedAt).Seconds(), stack.Web)
	}
	for _, a := range stack.Accounts {
		fmt.Fprintf(config.Out, "  %-20s %-6s %s\n", a.Email, a.Role, a.Password)
	}
	fmt.Fprintf(config.Out, "\nAddresses and credentials: %s/%s. Press Ctrl-C to stop.\n",
		servers.Dir(), local.StackFile)
	<-ctx.Done()
	fmt.Fprintln(config.Out, "\nStopping all components. The data is kept.")
	return nil
}

// config returns the configuration of the servers that Intray needs.
func (c upCommand) config() (local.Config, error) {
	executable, err := os.Executable()
	if err != nil {
		return local.Config{}, fmt.Errorf("find the path of this program: %w", err)
	}
	dir, err := cli.DataDir(c.Data)
	if err != nil {
		return local.Config{}, err
	}
	info, err := os.Stdout.Stat()
	return local.Config{
		Dir: dir, CacheDir: cli.CacheDir(), PGBin: c.PGBin, MinIOBin: c.MinIOBin,
		Executable: executable, Environ: os.Environ(),
		Ports: map[string]int{
			"gateway": c.GatewayPort, "postgres": c.PostgresPort, "nats": c.NATSPort, "minio": c.MinIOPort,
		},
		Out: os.Stdout, Terminal: err == nil && info.Mode()&os.ModeCharDevice != 0,
	}, nil
}

// checkAddress returns an error if the API cannot listen on address. It is called before anything
// is started.
func checkAddress(ctx context.Context, address string) error {
	if _, port, err := net.SplitHostPort(address); err != nil {
		return cli.Usage(fmt.Errorf("--listen must be HOST:PORT, such as 127.0.0.1:8080: %w", err))
	} else if port == "0" {
		return cli.Usage(errors.New("the port of --listen must not be 0"))
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("the API cannot listen on %s (%w); "+
			"stop the program that uses the port, or choose another address with --listen",
			address, err)
	}
	return l.Close()
}

// startOwnServers migrates the database, provisions PostgreSQL, NATS and MinIO, and starts Intray's
// own servers.
func (c upCommand) startOwnServers(
	ctx context.Context, servers *local.Servers, model *kong.Application,
) (local.Stack, error) {
	e, err := newEnvironment(ctx, servers, c.Listen)
	if err != nil {
		return local.Stack{}, err
	}
	log := slog.New(slog.DiscardHandler)
	startedAt := time.Now()
	if err := postgres.Migrate(ctx, servers.PostgresURL(), log); err != nil {
		return local.Stack{}, err
	}
	provision := e.provision()
	provision.streamSettings = c.streamSettings
	if err := provision.provision(ctx, log); err != nil {
		return local.Stack{}, err
	}
	accounts, err := c.accounts(ctx, servers)
	if err != nil {
		return local.Stack{}, err
	}
	fmt.Printf("schema, roles, streams, bucket and keys: ready after %d ms\n",
		time.Since(startedAt).Milliseconds())
	for _, p := range e.processes(model) {
		if _, err := servers.Run(ctx, p); err != nil {
			return local.Stack{}, err
		}
	}
	return local.Stack{
		API: e.apiURL(), Gateway: e.gatewayURL(), Web: e.apiURL(),
		MinIO: local.StackMinIO{Bucket: bucket}, Accounts: accounts,
	}, nil
}

var developers = []struct {
	name string
	role schema.Role
}{{"admin", schema.RoleAdmin}, {"alice", schema.RoleUser}, {"bob", schema.RoleUser}}

// accounts returns the development accounts, whose passwords are stored in the data folder. It
// adds the accounts that do not exist yet.
func (upCommand) accounts(ctx context.Context, servers *local.Servers) ([]local.Account, error) {
	audit := cli.AuditFlags{Reason: "development account of intray up"}
	db, err := postgres.Open(servers.PostgresURL(), audit.Options(postgres.Options{MaxConns: 1}))
	if err != nil {
		return nil, err
	}
	defer db.Close()
	users, err := db.Users(ctx)
	if err != nil {
		return nil, err
	}
	exists := map[string]bool{}
	for _, u := range users {
		exists[u.Email] = true
	}
	var accounts []local.Account
	for _, d := range developers {
		secret, err := servers.Secret("account_" + d.name)
		if err != nil {
			return nil, err
		}
		a := local.Account{
			Email: d.name + "@intray.local", Password: secret[:20], Role: string(d.role),
		}
		if !exists[a.Email] {
			user := postgres.NewUser{Email: a.Email, Role: d.role, LimitBytes: schema.DefaultQuota}
			if err := addUser(ctx, db, user, a.Password); err != nil {
				return nil, fmt.Errorf("add account %s: %w", a.Email, err)
			}
		}
		accounts = append(accounts, a)
	}
	return accounts, nil
}

// cancelWithGo returns a context that is also canceled when the "go run" command that started
// this program ends. That command forwards SIGINT but not SIGTERM, so without this the servers
// would keep running.
func cancelWithGo(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	parent := os.Getppid()
	name, err := os.ReadFile("/proc/" + strconv.Itoa(parent) + "/comm")
	if err != nil || string(name) != "go\n" {
		return ctx, cancel
	}
	go func() {
		ticker := time.NewTicker(200 * time.Millisecond)
		defer ticker.Stop()
		for os.Getppid() == parent {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
		cancel()
	}()
	return ctx, cancel
}
