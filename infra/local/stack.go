package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
)

// StackFile is the name of the file in the data folder that says how to reach the running servers.
const StackFile = "stack.json"

// Stack is what stack.json holds: where everything is and how to get in. Its shape is a
// contract with whoever drives the servers from outside.
type Stack struct {
	API      string     `json:"api"`      // URL
	Gateway  string     `json:"gateway"`  // URL
	Web      string     `json:"web"`      // URL
	NATS     string     `json:"nats"`     // URL, with the operator's name and password
	Postgres string     `json:"postgres"` // URL, of the owner's role
	MinIO    StackMinIO `json:"minio"`
	Accounts []Account  `json:"accounts"`
	// PIDs are the process ids of postgres, nats, minio, api, consume and gateway.
	// [Servers.WriteStack] sets them.
	PIDs map[string]int `json:"pids"`
}

// StackMinIO is how to reach MinIO itself, past the gateway.
type StackMinIO struct {
	Endpoint     string `json:"endpoint"` // host:port
	RootUser     string `json:"root_user"`
	RootPassword string `json:"root_password"`
	Bucket       string `json:"bucket"`
}

// Account is a development account.
type Account struct {
	Email    string `json:"email"`
	Password string `json:"password"`
	Role     string `json:"role"` // "user" or "admin"
}

// ReadStack reads the stack.json of a data folder. The error is fs.ErrNotExist if nothing
// runs there.
func ReadStack(dir string) (Stack, error) {
	var stack Stack
	text, err := os.ReadFile(filepath.Join(dir, StackFile))
	if err == nil {
		err = json.Unmarshal(text, &stack)
	}
	if err != nil {
		return Stack{}, fmt.Errorf("read how to reach the servers: %w", err)
	}
	return stack, nil
}

// WriteStack writes stack.json, mode 0600, and keeps it current from then on: it is written
// anew whenever a process gets another id, and removed by [Servers.Close]. Fields that are
// empty and known here (nats, postgres, minio's but the bucket) are filled in. Call it once
// all is ready.
func (s *Servers) WriteStack(stack Stack) error {
	s.stackMu.Lock()
	defer s.stackMu.Unlock()
	if stack.Postgres == "" {
		stack.Postgres = s.PostgresURL()
	}
	if stack.NATS == "" {
		stack.NATS = fmt.Sprintf("nats://%s:%s@%s", NATSOperator, s.NATSPassword(NATSOperator), s.nats.address())
	}
	if stack.MinIO.Endpoint == "" {
		stack.MinIO.Endpoint = s.MinIOEndpoint()
		stack.MinIO.RootUser, stack.MinIO.RootPassword = s.MinIORoot()
	}
	s.stack = &stack
	return s.writeStack()
}

func (s *Servers) writeStack() error {
	pids := s.supervisor.pids()
	if maps.Equal(pids, s.stack.PIDs) {
		return nil
	}
	s.stack.PIDs = pids
	text, err := json.MarshalIndent(s.stack, "", "  ")
	if err != nil {
		return fmt.Errorf("write stack.json: %w", err)
	}
	return writeFile(filepath.Join(s.config.Dir, StackFile), append(text, '\n'))
}

// pidsChanged writes stack.json anew, if it is there.
func (s *Servers) pidsChanged() {
	s.stackMu.Lock()
	defer s.stackMu.Unlock()
	if s.stack == nil {
		return
	}
	if err := s.writeStack(); err != nil {
		s.out.say("%v", err)
	}
}

func (s *Servers) removeStack() error {
	s.stackMu.Lock()
	defer s.stackMu.Unlock()
	s.stack = nil
	err := os.Remove(filepath.Join(s.config.Dir, StackFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the old stack.json: %w", err)
	}
	return nil
}
