package local

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	mathrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// secretsFile is the name of the file in the data folder that stores the state.
const secretsFile = "secrets.json"

// A state contains what a data folder stores about its servers besides their data: the generated
// passwords and keys, and the ports they listen on. They stay the same after a restart, so that
// URLs issued before it remain valid.
type state struct {
	path string

	mu      sync.Mutex
	Ports   map[string]int    `json:"ports"`
	Secrets map[string]string `json:"secrets"`
}

// loadState reads DIR/secrets.json. If the file does not exist, it returns an empty state.
func loadState(dir string) (*state, error) {
	s := &state{path: filepath.Join(dir, secretsFile)}
	text, err := os.ReadFile(s.path)
	if err == nil {
		err = json.Unmarshal(text, s)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the stored passwords and ports in %s: %w", s.path, err)
	}
	if s.Ports == nil {
		s.Ports = map[string]int{}
	}
	if s.Secrets == nil {
		s.Secrets = map[string]string{}
	}
	return s, nil
}

// ReadSecret returns a secret that is stored in a data folder. name is its name, such as
// "postgres_api". The error wraps fs.ErrNotExist if there is none.
func ReadSecret(dir, name string) (string, error) {
	s, err := loadState(dir)
	if err != nil {
		return "", err
	}
	if v, ok := s.Secrets[name]; ok {
		return v, nil
	}
	return "", fmt.Errorf("read the secret %s in %s: %w", name, s.path, fs.ErrNotExist)
}

// ReadPort returns the port that a data folder stores for the named part, or 0 if it stores none.
func ReadPort(dir, name string) (int, error) {
	s, err := loadState(dir)
	if err != nil {
		return 0, err
	}
	return s.Ports[name], nil
}

// secret returns the stored secret called name, or generates and stores it on first use. A secret
// has at least 256 random bits and consists of letters and digits. The first character is a letter,
// because NATS reads a value that begins with a digit as a number.
func (s *state) secret(name string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.Secrets[name]; ok {
		return v, nil
	}
	v := "k" + rand.Text() + rand.Text()
	s.Secrets[name] = v
	return v, s.save()
}

// port returns the port on which the named part is to listen: the configured one if it is not 0, or
// the stored one, or a free one, which port then stores. It returns an error if another program
// listens on the port.
func (s *state) port(ctx context.Context, name string, configured int) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stored := s.Ports[name]
	switch {
	case configured != 0:
		if err := awaitPort(ctx, configured); err != nil {
			return 0, fmt.Errorf("port %d for %s is used by another program (%w): "+
				"stop that program or choose another port", configured, name, err)
		}
		return configured, nil
	case stored != 0:
		if err := awaitPort(ctx, stored); err != nil {
			return 0, fmt.Errorf("port %d, which %s stores for %s, is used by another program (%w): "+
				"stop that program, or remove the port from that file to get another one, after which "+
				"URLs that were issued with the old port no longer work", stored, s.path, name, err)
		}
		return stored, nil
	}
	port, err := s.freePort(ctx)
	if err != nil {
		return 0, fmt.Errorf("find a port for %s: %w", name, err)
	}
	s.Ports[name] = port
	return port, s.save()
}

// freePort returns a free port below the range from which Linux assigns ports to outgoing
// connections (32768 and up, see net.ipv4.ip_local_port_range). A port in that range could be in
// use by an outgoing connection at the next start.
func (s *state) freePort(ctx context.Context) (int, error) {
	taken := map[int]bool{}
	for _, p := range s.Ports {
		taken[p] = true
	}
	var err error
	for range 200 {
		port := 20000 + mathrand.IntN(12000)
		if taken[port] {
			continue
		}
		if err = checkPort(ctx, port); err == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port between 20000 and 32000: %w", err)
}

// portTimeout is how long awaitPort waits. If the previous process crashed, its children release
// their ports shortly afterwards, when they exit.
const portTimeout = time.Second

// awaitPort waits until a port is free. It returns an error if it is still in use after
// portTimeout.
func awaitPort(ctx context.Context, port int) error {
	return poll(ctx, portTimeout, func(ctx context.Context) error { return checkPort(ctx, port) })
}

// checkPort returns an error if the port is in use.
func checkPort(ctx context.Context, port int) error {
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return l.Close()
}

func (s *state) save() error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("store passwords and ports: %w", err)
	}
	return writeFile(s.path, append(text, '\n'))
}

// writeFile replaces the content of a file atomically: readers, also after a crash, see either the
// old or the new content. The file's mode is 0600.
func writeFile(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err == nil {
		err = syncFolder(filepath.Dir(path))
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// syncFolder flushes the folder to disk, so that a rename in it survives a crash of the machine.
func syncFolder(folder string) error {
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
