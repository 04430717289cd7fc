package main_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	miniogo "github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"intray/cmd/internal/stacktest"
)

// An impostor listens on the port of a server that has ended, as any user of the machine could. It
// records what arrives.
type impostor struct {
	net.Listener
	t    *testing.T
	pids map[string]int // the stack's processes
	all  sync.WaitGroup

	mu          sync.Mutex
	connections map[string]int // by the process that connected
	received    bytes.Buffer   // all bytes
	understood  bytes.Buffer   // what clients sent without TLS, or over TLS with its certificate
}

// impersonate listens on the address and answers each connection with serve, whose last argument
// counts the connections. It stops when the test ends.
func impersonate(
	t *testing.T, s *stack, address string, serve func(*impostor, net.Conn, int),
) *impostor {
	t.Helper()
	i := &impostor{t: t, pids: s.PIDs, connections: map[string]int{}}
	stacktest.Await(t, time.Minute, address+" to be free", func() (err error) {
		i.Listener, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
		return err
	})
	i.all.Go(func() {
		for n := 0; ; n++ {
			conn, err := i.Accept()
			if err != nil {
				return
			}
			i.all.Go(func() {
				defer func() { _ = conn.Close() }()
				_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
				i.count(conn)
				serve(i, recorder{conn, i}, n)
			})
		}
	})
	t.Cleanup(func() { _ = i.Close(); i.all.Wait() })
	return i
}

// recorder records what arrives.
type recorder struct {
	net.Conn
	i *impostor
}

func (r recorder) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.i.mu.Lock()
	defer r.i.mu.Unlock()
	r.i.received.Write(p[:n])
	return n, err
}

// understand records all that a client sends, and answers each read with answer.
func (i *impostor) understand(conn net.Conn, answer string) {
	buffer := make([]byte, 1<<16)
	for {
		n, err := conn.Read(buffer)
		i.mu.Lock()
		i.understood.Write(buffer[:n])
		i.mu.Unlock()
		if err != nil {
			return
		}
		if _, err := io.WriteString(conn, answer); err != nil {
			return
		}
	}
}

// count determines which process of the stack has connected.
func (i *impostor) count(conn net.Conn) {
	name := "another"
	inode := socketInode(conn.RemoteAddr().(*net.TCPAddr).Port)
	for component, pid := range i.pids {
		links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		for _, link := range links {
			if to, err := os.Readlink(link); err == nil && to == "socket:["+inode+"]" {
				name = component
			}
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.connections[name]++
}

// socketInode returns the inode of the TCP socket with a local port.
func socketInode(port int) string {
	text, _ := os.ReadFile("/proc/net/tcp")
	suffix := fmt.Sprintf(":%04X", port)
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 9 && strings.HasSuffix(f[1], suffix) {
			return f[9]
		}
	}
	return ""
}

// await waits until each of the components has connected several times, so that it has met every
// kind of answer.
func (i *impostor) await(t *testing.T, act func(), components ...string) {
	t.Helper()
	stacktest.Await(t, 3*time.Minute, "connections to the impostor", func() error {
		act()
		i.mu.Lock()
		defer i.mu.Unlock()
		for _, c := range components {
			if i.connections[c] < 6 {
				return fmt.Errorf("got connections %v", i.connections)
			}
		}
		return nil
	})
}

// serveNATS pretends to be NATS: without TLS, with TLS if the client wants it, or with TLS in any
// case.
func serveNATS(own *tls.Config) func(*impostor, net.Conn, int) {
	return func(i *impostor, conn net.Conn, n int) {
		info := map[string]any{
			"server_id": "x", "server_name": "intray", "version": "2.15.2", "proto": 1, "headers": true,
			"max_payload": 1 << 20, "auth_required": true, "nonce": "AAAAAAAAAAAAAAA",
			"tls_available": n%3 == 1, "tls_required": n%3 == 2,
		}
		text, err := json.Marshal(info)
		if err != nil {
			i.t.Error(err)
			return
		}
		if _, err := fmt.Fprintf(conn, "INFO %s\r\n", text); err != nil {
			return
		}
		if n%3 == 0 {
			i.understand(conn, "PONG\r\n")
			return
		}
		server := tls.Server(conn, own)
		i.understand(server, "PONG\r\n")
	}
}

// servePostgres pretends to be PostgreSQL, which asks for the password in clear text: without TLS,
// or with it.
func servePostgres(own *tls.Config) func(*impostor, net.Conn, int) {
	return func(i *impostor, conn net.Conn, n int) {
		const sslRequest = 80877103
		const askForPassword = "R\x00\x00\x00\x08\x00\x00\x00\x03"
		var first [8]byte
		if _, err := io.ReadFull(conn, first[:]); err != nil {
			return
		}
		if binary.BigEndian.Uint32(first[4:]) != sslRequest {
			i.mu.Lock()
			i.understood.Write(first[:])
			i.mu.Unlock()
			if _, err := io.WriteString(conn, askForPassword); err != nil {
				return
			}
			i.understand(conn, askForPassword)
			return
		}
		answer := "N"
		if n%2 == 1 {
			answer = "S"
		}
		if _, err := io.WriteString(conn, answer); err != nil {
			return
		}
		if n%2 == 1 {
			conn = tls.Server(conn, own)
		}
		i.understand(conn, askForPassword)
	}
}

// serveMinIO pretends to be MinIO, and refuses everything.
func serveMinIO(i *impostor, conn net.Conn, _ int) {
	i.understand(conn, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

// secrets returns the passwords and keys of a stack, by name.
func secrets(t *testing.T, dir string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "secrets.json"))
	if err != nil {
		t.Fatal(err)
	}
	var stored struct {
		Secrets map[string]string `json:"secrets"`
	}
	if err := json.Unmarshal(text, &stored); err != nil || len(stored.Secrets) < 15 {
		t.Fatalf("got %d secrets, %v", len(stored.Secrets), err)
	}
	// The names of access keys are no secret: every presigned URL contains one.
	maps.DeleteFunc(stored.Secrets, func(name, _ string) bool {
		return strings.HasSuffix(name, "_name")
	})
	return stored.Secrets
}

// expectNoSecrets checks that no secret arrived, neither as it is nor in base64.
func (i *impostor) expectNoSecrets(t *testing.T, secrets map[string]string) {
	t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	for name, secret := range secrets {
		short := secret[:20] // secrets are shortened to the length that their server accepts
		for _, form := range []string{short, base64.StdEncoding.EncodeToString([]byte(short))[:20]} {
			if bytes.Contains(i.received.Bytes(), []byte(form)) ||
				bytes.Contains(i.understood.Bytes(), []byte(form)) {
				t.Errorf("the impostor received the secret %s", name)
			}
		}
	}
}

// expectNothingUnderstood checks that clients ended the connection before they sent anything.
func (i *impostor) expectNothingUnderstood(t *testing.T) {
	t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.understood.Len() > 0 {
		t.Errorf("the impostor received %q; want nothing before its certificate is verified",
			i.understood.Bytes()[:min(200, i.understood.Len())])
	}
}

// Whoever listens on the port of a stopped server learns no password, whatever it answers.
func TestImpostorsLearnNoSecrets(t *testing.T) {
	s := up(t)
	secrets := secrets(t, s.Dir)
	forged := httptest.NewUnstartedServer(http.NotFoundHandler())
	forged.StartTLS()
	own := forged.TLS.Clone()
	own.NextProtos = nil
	forged.Close()

	// The supervisor would restart the servers.
	if err := s.Command.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Command.Process.Signal(syscall.SIGCONT) })
	take := func(
		component, port string, end syscall.Signal, serve func(*impostor, net.Conn, int),
	) *impostor {
		if err := syscall.Kill(s.PIDs[component], end); err != nil {
			t.Fatal(err)
		}
		return impersonate(t, s, net.JoinHostPort("127.0.0.1", port), serve)
	}
	ports := storedPorts(t, s.Dir)
	operators := func(t *testing.T, impostor *impostor, commands ...string) {
		for _, command := range commands {
			// Each command meets every answer. All fail, and what they print does not matter.
			for range 3 {
				stacktest.Run(t, nil, "intray", append(strings.Fields(command), "--data", s.Dir)...)
			}
		}
		impostor.expectNoSecrets(t, secrets)
	}

	t.Run("NATS", func(t *testing.T) {
		i := take("nats", ports["nats"], syscall.SIGKILL, serveNATS(own))
		// MinIO connects when it has an event to publish.
		i.await(t, func() { putObject(t, s) }, "api", "consume", "minio")
		operators(t, i, "status", "reconcile")
		i.expectNothingUnderstood(t)
	})
	t.Run("MinIO", func(t *testing.T) {
		i := take("minio", ports["minio"], syscall.SIGKILL, serveMinIO)
		operators(t, i, "status", "reconcile")
		stacktest.Await(t, time.Minute, "requests", func() error {
			i.mu.Lock()
			defer i.mu.Unlock()
			if !bytes.Contains(i.understood.Bytes(), []byte("AWS4-HMAC-SHA256")) {
				return errors.New("no signed request arrived")
			}
			return nil
		})
		i.expectNoSecrets(t, secrets)
		i.mu.Lock()
		defer i.mu.Unlock()
		for line := range strings.Lines(i.understood.String()) {
			if strings.Contains(line, " HTTP/1.1") || strings.HasPrefix(line, "Authorization:") {
				t.Log(strings.TrimSpace(line))
			}
		}
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		i := take("postgres", ports["postgres"], syscall.SIGQUIT, servePostgres(own))
		i.await(t, func() {}, "api", "consume")
		operators(t, i, "status", "users list")
		i.expectNothingUnderstood(t)
	})
}

// putObject begins to store an object in MinIO itself. It does not wait for the end, because MinIO
// waits for NATS.
func putObject(t *testing.T, s *stack) {
	t.Helper()
	client, err := miniogo.New(s.MinIO.Endpoint, &miniogo.Options{
		Creds: credentials.NewStaticV4(s.MinIO.RootUser, s.MinIO.RootPassword, ""),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = client.PutObject(ctx, s.MinIO.Bucket, "documents/0000000000/impostor",
		strings.NewReader("x"), 1, miniogo.PutObjectOptions{})
	if err != nil && ctx.Err() == nil {
		t.Fatal(err)
	}
}

// storedPorts returns the ports of a stack's servers.
func storedPorts(t *testing.T, dir string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "secrets.json"))
	if err != nil {
		t.Fatal(err)
	}
	var stored struct {
		Ports map[string]int `json:"ports"`
	}
	if err := json.Unmarshal(text, &stored); err != nil {
		t.Fatal(err)
	}
	ports := map[string]string{}
	for _, name := range slices.Collect(maps.Keys(stored.Ports)) {
		ports[name] = strconv.Itoa(stored.Ports[name])
	}
	return ports
}
