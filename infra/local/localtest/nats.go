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

// A NATSServer is a NATS server of one test, in its process, with the configuration of the
// real one.
type NATSServer struct {
	// URL is its address, without a user; it stays the same over Stop and Start.
	URL string
	// Passwords are the users' passwords: those of [local.NATSMinIO], [local.NATSAPI],
	// [local.NATSWorker] and [local.NATSOperator].
	Passwords map[string]string

	t      testing.TB
	folder string
	port   int
	server *server.Server
}

// NATS starts a server for the test, with its store in the test's temporary folder. It ends
// with the test.
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
		s.t.Fatal("localtest: NATS is not ready for connections")
	}
	s.server, s.port = server, server.Addr().(*net.TCPAddr).Port
	s.URL = server.ClientURL()
}

// Stop ends the server, as an outage would look to its clients; what JetStream stored stays.
func (s *NATSServer) Stop() {
	if s.server == nil {
		return
	}
	s.server.Shutdown()
	s.server.WaitForShutdown()
	s.server = nil
}
