package localtest

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"intray/infra/local"
)

// A NATSServer is a NATS server for one test. It runs in the test process with the configuration
// that the deployed server has.
type NATSServer struct {
	// URL is the server's URL, without user and password. Stop and Start do not change it.
	URL string
	// Passwords are the passwords of the users [local.NATSMinIO], [local.NATSAPI],
	// [local.NATSWorker] and [local.NATSOperator].
	Passwords map[string]string

	t      testing.TB
	folder string
	port   int
	server *server.Server
}

// NATS starts a server with an empty store, which is stopped when the test ends.
func NATS(t testing.TB) *NATSServer {
	t.Helper()
	s := &NATSServer{t: t, folder: t.TempDir(), port: server.RANDOM_PORT, Passwords: map[string]string{
		local.NATSMinIO: "minio-password", local.NATSAPI: "api-password",
		local.NATSWorker: "worker-password", local.NATSOperator: "operator-password",
	}}
	t.Cleanup(s.Stop)
	s.Start()
	return s
}

// Start starts the server again after [NATSServer.Stop], on the same port and with the same store.
// It has no effect if the server is running.
func (s *NATSServer) Start() {
	s.t.Helper()
	if s.server != nil {
		return
	}
	variables := local.NATSVariables(s.port, filepath.Join(s.folder, "store"), s.Passwords, ": ")
	text := strings.Join(variables, "\n") + "\n" + string(local.NATSConfig())
	config := filepath.Join(s.folder, "nats.conf")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		s.t.Fatalf("localtest: write the configuration of NATS: %v", err)
	}
	opts, err := server.ProcessConfigFile(config)
	if err != nil {
		s.t.Fatalf("localtest: read the configuration of NATS: %v", err)
	}
	opts.NoLog, opts.NoSigs = true, true
	server, err := server.NewServer(opts)
	if err != nil {
		s.t.Fatalf("localtest: start NATS: %v", err)
	}
	server.Start()
	if !server.ReadyForConnections(time.Minute) {
		server.Shutdown()
		s.t.Fatal("localtest: start NATS: not ready for connections within a minute")
	}
	s.server, s.port = server, server.Addr().(*net.TCPAddr).Port
	s.URL = server.ClientURL()
}

// Stop stops the server, which its clients see as an outage. The messages in JetStream are kept.
func (s *NATSServer) Stop() {
	if s.server == nil {
		return
	}
	s.server.Shutdown()
	s.server.WaitForShutdown()
	s.server = nil
}
