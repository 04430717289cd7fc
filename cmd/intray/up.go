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
	Data         string `type:"path" placeholder:"DIR" help:"Data folder; default: /var/lib/intray for root, else intray in XDG_DATA_HOME or ~/.local/share."`
	Listen       string `default:"127.0.0.1:8080" help:"Address of the API."`
	Maintenance  bool   `help:"Start only PostgreSQL, NATS and MinIO, so that nothing changes the database or the bucket during a backup or a restore."`
	GatewayPort  int    `help:"Port of the gateway; default: a free one, kept in the data folder. Likewise below."`
	PostgresPort int    `help:"Port of PostgreSQL."`
	NATSPort     int    `name:"nats-port" help:"Port of NATS."`
	MinIOPort    int    `name:"minio-port" help:"Port of MinIO."`
	PGBin        string `name:"pg-bin" env:"PG_BIN" placeholder:"DIR" help:"The folder of PostgreSQL's programs; default: found, or fetched."`
	MinIOBin     string `name:"minio-bin" env:"MINIO_BIN" placeholder:"FILE" help:"MinIO's program; default: built once."`
}

// Help says what the command needs and leaves behind.
func (upCommand) Help() string {
	return `Needs Go (to build MinIO at the first start, some minutes) and, where PostgreSQL is not
installed, Debian's apt-get and dpkg-deb (to fetch and unpack it; nothing is installed).
Everything listens on this machine only. Once all is ready DIR/stack.json says how to reach it,
and the development accounts are printed. Ctrl-C ends all of it; what was stored is there at the
next start.

The settings of the API, the consumers and the gateway ("intray api --help" and so on) are
passed on from the environment, except addresses, passwords and keys, which this command makes
itself. DEFAULT_AI_PROVIDER is builtin unless it is set.`
}

// Validate refuses settings that a part would refuse when everything else runs.
func (upCommand) Validate(parsed *kong.Context) error {
	for _, name := range parts {
		if err := cli.CheckSettings(command(parsed.Model, name)); err != nil {
			return err
		}
	}
	return nil
}

// Run brings everything up and waits until ctx ends.
func (c upCommand) Run(ctx context.Context, parser *kong.Kong) error {
	ctx, stop := endWithGo(ctx)
	defer stop()
	began := time.Now()
	config, err := c.config()
	if err != nil {
		return err
	}
	if err := addressFree(ctx, c.Listen); err != nil {
		return err
	}
	servers, err := local.Start(ctx, config)
	if err != nil {
		return err
	}
	defer servers.Close()
	stack := local.Stack{MinIO: local.StackMinIO{Bucket: bucket}, Accounts: []local.Account{}}
	if !c.Maintenance {
		if stack, err = c.raise(ctx, servers, parser.Model); err != nil {
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
			time.Since(began).Seconds(), stack.Web)
	}
	for _, a := range stack.Accounts {
		fmt.Fprintf(config.Out, "  %-20s %-6s %s\n", a.Email, a.Role, a.Password)
	}
	fmt.Fprintf(config.Out, "\nHow to reach each part: %s/%s. Ctrl-C ends everything.\n",
		servers.Dir(), local.StackFile)
	<-ctx.Done()
	fmt.Fprintln(config.Out, "\nEnding every part; what was stored stays.")
	return nil
}

func (c upCommand) config() (local.Config, error) {
	executable, err := os.Executable()
	if err != nil {
		return local.Config{}, fmt.Errorf("find this program's file: %w", err)
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

// addressFree fails, before anything is started, if the API could not listen.
func addressFree(ctx context.Context, address string) error {
	if _, port, err := net.SplitHostPort(address); err != nil {
		return cli.Usage(fmt.Errorf("--listen: %w; give host:port, such as 127.0.0.1:8080", err))
	} else if port == "0" {
		return cli.Usage(errors.New("--listen: give a port: clients must know it before the API starts"))
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("the API cannot listen on %s (%w): "+
			"end the program that does, or choose another address with --listen", address, err)
	}
	return l.Close()
}

// raise migrates and provisions the running servers and starts the parts of
// Intray beside them.
func (c upCommand) raise(
	ctx context.Context, servers *local.Servers, model *kong.Application,
) (local.Stack, error) {
	e, err := newEnvironment(ctx, servers, c.Listen)
	if err != nil {
		return local.Stack{}, err
	}
	log := slog.New(slog.DiscardHandler)
	began := time.Now()
	if err := postgres.Migrate(ctx, servers.PostgresURL(), log); err != nil {
		return local.Stack{}, err
	}
	if err := e.provision().provision(ctx, log); err != nil {
		return local.Stack{}, err
	}
	accounts, err := c.accounts(ctx, servers)
	if err != nil {
		return local.Stack{}, err
	}
	fmt.Printf("schema, roles, streams, bucket and keys are ready after %d ms\n",
		time.Since(began).Milliseconds())
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

// accounts makes the development accounts at the first start, with passwords
// that the data folder keeps.
func (upCommand) accounts(ctx context.Context, servers *local.Servers) ([]local.Account, error) {
	db, err := postgres.Open(ctx, servers.PostgresURL(), postgres.Options{MaxConns: 1})
	if err != nil {
		return nil, err
	}
	defer db.Close()
	users, err := db.Users(ctx)
	if err != nil {
		return nil, err
	}
	there := map[string]bool{}
	for _, u := range users {
		there[u.Email] = true
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
		if !there[a.Email] {
			user := postgres.NewUser{Email: a.Email, Role: d.role, LimitBytes: schema.DefaultQuota}
			if err := addUser(ctx, db, user, a.Password); err != nil {
				return nil, fmt.Errorf("make account %s: %w", a.Email, err)
			}
		}
		accounts = append(accounts, a)
	}
	return accounts, nil
}

// endWithGo ends the context when the go command that ran this program has
// gone: it hands SIGINT on, but not SIGTERM, and would leave the servers behind.
func endWithGo(ctx context.Context) (context.Context, context.CancelFunc) {
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
