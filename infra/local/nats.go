package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	natsconf "intray/infra/nats"
)

// RunNATS is a NATS server that runs until ctx ends: the hidden command `intray
// nats-server`, which [Start] runs as a process of its own. The configuration's $VARIABLES
// come from the process's environment.
//
// It logs to standard error. When ctx ends, JetStream writes what is still in memory before
// RunNATS returns nil.
func RunNATS(ctx context.Context, configFile string) error {
	opts, err := server.ProcessConfigFile(configFile)
	if err != nil {
		return fmt.Errorf("read the configuration of NATS: %w", err)
	}
	opts.NoSigs = true // the caller's ctx says when to end
	s, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("start NATS: %w", err)
	}
	s.ConfigureLogger()
	s.Start()
	defer s.WaitForShutdown()
	defer s.Shutdown()
	if !s.ReadyForConnections(time.Minute) {
		return errors.New("start NATS: not ready for connections within a minute")
	}
	<-ctx.Done()
	return nil
}

// NATSConfig returns the server's configuration, infra/nats/nats.conf. What it calls by
// $NAME is [NATSVariables].
func NATSConfig() []byte { return natsconf.ServerConfig }

// The users of the NATS account; see infra/nats.
const (
	NATSMinIO    = natsconf.UserMinIO
	NATSAPI      = natsconf.UserAPI
	NATSWorker   = natsconf.UserWorker
	NATSOperator = natsconf.UserOperator
)

// natsUsers are the users with the variable that gives the configuration each one's password.
var natsUsers = map[string]string{
	NATSMinIO: "NATS_MINIO_PASSWORD", NATSAPI: "NATS_API_PASSWORD",
	NATSWorker: "NATS_WORKER_PASSWORD", NATSOperator: "NATS_OPERATOR_PASSWORD",
}

// NATSVariables returns what the configuration calls by $NAME, as NAME, separator and
// value: with "=" for the environment of the server, with ": " as lines to stand above the
// configuration itself. Strings are quoted, for the server parses values of variables as it
// does its file: a password that begins with a digit would be a number.
func NATSVariables(port int, storeDir string, passwords map[string]string, separator string) []string {
	quote := func(s string) string {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
	}
	vars := []string{
		"NATS_HOST" + separator + "127.0.0.1",
		"NATS_PORT" + separator + strconv.Itoa(port),
		"NATS_STORE_DIR" + separator + quote(storeDir),
	}
	for user, variable := range natsUsers {
		vars = append(vars, variable+separator+quote(passwords[user]))
	}
	return vars
}

// A natsServer is the message server: its folder, its port and its users' passwords.
type natsServer struct {
	dir       string // DIR/nats
	port      int
	passwords map[string]string // by user
}

func (n *natsServer) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(n.port)) }

// prepare writes the configuration to DIR/nats/nats.conf.
func (n *natsServer) prepare() error {
	if err := os.MkdirAll(n.dir, 0o700); err != nil {
		return fmt.Errorf("make the folder of NATS: %w", err)
	}
	return writeFile(n.config(), NATSConfig())
}

func (n *natsServer) config() string { return filepath.Join(n.dir, "nats.conf") }

func (n *natsServer) env() []string {
	return NATSVariables(n.port, filepath.Join(n.dir, "store"), n.passwords, "=")
}

func (n *natsServer) process(command, env []string) Process {
	return Process{
		Name:  "nats",
		Path:  command[0],
		Args:  append(command[1:len(command):len(command)], n.config()),
		Env:   append(n.env(), env...),
		Dir:   n.dir,
		Ready: n.ping,
		// A large JetStream store is read before the first connection is accepted.
		ReadyTimeout: 2 * time.Minute,
		StopTimeout:  20 * time.Second,
	}
}

// ping logs in as the operator, which NATS answers only after JetStream is there.
func (n *natsServer) ping(ctx context.Context) error {
	// A refused connection is the usual answer while it starts; it is cheaper to learn this way.
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", n.address())
	if err != nil {
		return err
	}
	_ = c.Close()
	nc, err := nats.Connect("nats://"+n.address(), nats.UserInfo(NATSOperator, n.passwords[NATSOperator]),
		nats.NoReconnect(), nats.Timeout(askTimeout))
	if err != nil {
		return err
	}
	nc.Close()
	return nil
}
