package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	natsconf "intray/infra/nats"
)

// RunNATS runs a NATS server in this process until ctx is done. It is the implementation of the
// hidden command `intray nats-server`, which [Start] runs as a separate process. The $VARIABLES in
// the configuration file are replaced by the values of the environment variables with these names.
//
// The server logs to standard error. When ctx is done, JetStream writes to disk what it holds in
// memory, and RunNATS returns nil.
func RunNATS(ctx context.Context, configFile string) error {
	opts, err := server.ProcessConfigFile(configFile)
	if err != nil {
		return fmt.Errorf("read the configuration of NATS in %s: %w", configFile, err)
	}
	opts.NoSigs = true // ctx stops the server, not a signal
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

// NATSConfig returns the content of the server's configuration file, infra/nats/nats.conf.
// [NATSVariables] returns the values of the variables that it refers to as $NAME.
func NATSConfig() []byte { return natsconf.ServerConfig }

// The users of NATS; see infra/nats.
const (
	NATSMinIO    = natsconf.UserMinIO
	NATSAPI      = natsconf.UserAPI
	NATSWorker   = natsconf.UserWorker
	NATSOperator = natsconf.UserOperator
)

// natsUsers maps each user to the variable that holds the user's password in the configuration.
var natsUsers = map[string]string{
	NATSMinIO: "NATS_MINIO_PASSWORD", NATSAPI: "NATS_API_PASSWORD",
	NATSWorker: "NATS_WORKER_PASSWORD", NATSOperator: "NATS_OPERATOR_PASSWORD",
}

// NATSVariables returns the variables that the configuration refers to as $NAME, each as its name,
// the separator and its value. With the separator "=" they are environment variables of the server.
// With ": " they are lines of the configuration file itself, to be placed above the rest. Strings
// are quoted, because the server parses the values of variables like the configuration file, and
// would read an unquoted password that begins with a digit as a number.
func NATSVariables(
	port int, storeDir string, passwords map[string]string, separator string,
) []string {
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

// quote returns a string of the configuration file.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// A natsServer describes the NATS server.
type natsServer struct {
	dir       string // DIR/nats
	port      int
	passwords map[string]string // by user
	// cert is the certificate of the server, and ca the path of the file in which clients find it.
	cert certificate
	ca   string
}

func (n *natsServer) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(n.port)) }

// prepare writes the configuration to DIR/nats/nats.conf, and the certificate. The server accepts
// clients without TLS too, because programs connect with the URL in stack.json alone.
func (n *natsServer) prepare() error {
	if err := os.MkdirAll(n.dir, 0o700); err != nil {
		return fmt.Errorf("create the folder of NATS: %w", err)
	}
	if err := n.cert.write(n.dir, nil); err != nil {
		return err
	}
	tls := fmt.Sprintf("\nallow_non_tls: true\ntls { cert_file: %s, key_file: %s }\n",
		quote(certFile(n.dir)), quote(keyFile(n.dir)))
	return writeFile(n.config(), append(slices.Clip(NATSConfig()), tls...))
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
		// JetStream reads its whole store before the server accepts the first connection.
		ReadyTimeout: 2 * time.Minute,
		StopTimeout:  20 * time.Second,
	}
}

// ping connects as the operator. NATS accepts the connection only after JetStream is available.
func (n *natsServer) ping(ctx context.Context) error {
	// While the server starts, connections are usually refused. A plain TCP connection detects this
	// at a lower cost than the NATS client.
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", n.address())
	if err != nil {
		return err
	}
	_ = c.Close()
	nc, err := nats.Connect("nats://"+n.address(),
		nats.UserInfo(NATSOperator, n.passwords[NATSOperator]), nats.RootCAs(n.ca),
		nats.NoReconnect(), nats.Timeout(probeTimeout))
	if err != nil {
		return err
	}
	nc.Close()
	return nil
}
