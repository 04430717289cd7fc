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

// secretsFile holds, below the data folder, what must stay over a restart.
const secretsFile = "secrets.json"

// A state is what a data folder keeps for its servers: generated passwords and keys, and
// the ports they listen on. URLs that were issued before a restart thus stay valid after
// it.
type state struct {
	path string

	mu      sync.Mutex
	Ports   map[string]int    `json:"ports"`
	Secrets map[string]string `json:"secrets"`
}

// loadState reads DIR/secrets.json, or begins with nothing if it is not there.
func loadState(dir string) (*state, error) {
	s := &state{path: filepath.Join(dir, secretsFile)}
	text, err := os.ReadFile(s.path)
	if err == nil {
		err = json.Unmarshal(text, s)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the kept passwords and ports in %s: %w", s.path, err)
	}
	if s.Ports == nil {
		s.Ports = map[string]int{}
	}
	if s.Secrets == nil {
		s.Secrets = map[string]string{}
	}
	return s, nil
}

// ReadSecret returns a secret that the stack on a data folder keeps, such as
// "postgres_api". It fails with fs.ErrNotExist if there is none of that name.
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

// ReadPort returns the port that a data folder keeps for the part of that name, or 0 if it
// keeps none.
func ReadPort(dir, name string) (int, error) {
	s, err := loadState(dir)
	if err != nil {
		return 0, err
	}
	return s.Ports[name], nil
}

// secret returns the kept secret of that name, made on first use: 256 random bits and more,
// as letters and digits, the first a letter, for NATS reads one that begins with a digit as
// a number.
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

// port returns the port to listen on: given if it is not 0, else the kept one, else a free
// one, which is kept from then on. A port that another program holds is an error.
func (s *state) port(ctx context.Context, name string, given int) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.Ports[name]
	switch {
	case given != 0:
		if err := portFree(ctx, given); err != nil {
			return 0, fmt.Errorf("port %d for %s is taken by another program (%w): end that program or give another port", given, name, err)
		}
		return given, nil
	case kept != 0:
		if err := portFree(ctx, kept); err != nil {
			return 0, fmt.Errorf("port %d, which %s keeps for %s, is taken by another program (%w): end that program, "+
				"or take the port out of that file to get another one (URLs issued with it then end)", kept, s.path, name, err)
		}
		return kept, nil
	}
	port, err := s.freePort(ctx)
	if err != nil {
		return 0, fmt.Errorf("find a port for %s: %w", name, err)
	}
	s.Ports[name] = port
	return port, s.save()
}

// freePort looks below the range from which Linux takes ports for outgoing connections
// (32768 and up, see net.ipv4.ip_local_port_range): one of those could be in use by chance
// at the next start.
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
		if err = tryPort(ctx, port); err == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port between 20000 and 32000: %w", err)
}

// lingering is how long a port may stay taken at start: after a crash of the last starter
// its children need a moment to end.
const lingering = time.Second

func portFree(ctx context.Context, port int) error {
	return poll(ctx, lingering, func(ctx context.Context) error { return tryPort(ctx, port) })
}

func tryPort(ctx context.Context, port int) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return l.Close()
}

func (s *state) save() error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("keep passwords and ports: %w", err)
	}
	return writeFile(s.path, append(text, '\n'))
}

// writeFile replaces the file's content as a whole, so that no reader sees a part of it and
// a crash leaves either the old or the new one. Its mode is 0600.
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

// syncFolder makes a renaming in the folder survive a crash of the machine.
func syncFolder(folder string) error {
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
