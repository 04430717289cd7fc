package localtest

import (
	"fmt"
	"net"
	"net/url"
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
	// cluster makes the server part of a cluster, if it is not nil.
	cluster func(*server.Options)
}

func passwords() map[string]string {
	return map[string]string{
		local.NATSMinIO: "minio-password", local.NATSAPI: "api-password",
		local.NATSWorker: "worker-password", local.NATSOperator: "operator-password",
	}
}

// NATS starts a server with an empty store, which is stopped when the test ends.
func NATS(t testing.TB) *NATSServer {
	t.Helper()
	s := &NATSServer{t: t, folder: t.TempDir(), port: server.RANDOM_PORT, Passwords: passwords()}
	t.Cleanup(s.Stop)
	s.Start()
	return s
}

// NATSCluster starts a cluster of size servers with empty stores, which are stopped when the test
// ends. A stream can have as many replicas. The URL of the returned server is that of all servers.
func NATSCluster(t testing.TB, size int) *NATSServer {
	t.Helper()
	ports := make([]int, size) // JetStream requires that each server knows the others in advance
	routes := make([]*url.URL, size)
	for i := range ports {
		ports[i] = freePort(t)
		routes[i] = &url.URL{Scheme: "nats", Host: fmt.Sprint("127.0.0.1:", ports[i])}
	}
	servers := make([]*NATSServer, size)
	urls := make([]string, size)
	for i := range servers {
		s := &NATSServer{t: t, folder: t.TempDir(), port: server.RANDOM_PORT, Passwords: passwords()}
		s.cluster = func(opts *server.Options) {
			opts.ServerName = fmt.Sprint("node", i)
			opts.Cluster = server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: ports[i]}
			opts.Routes = routes
		}
		t.Cleanup(s.Stop)
		s.Start()
		servers[i], urls[i] = s, s.URL
	}
	servers[0].URL = strings.Join(urls, ",")
	return servers[0]
}

// freePort returns a port of the loopback interface on which nothing listens.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
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
	if s.cluster != nil {
		s.cluster(opts)
	}
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
