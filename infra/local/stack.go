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

// StackFile is the name of the file in the data folder that describes the running servers.
const StackFile = "stack.json"

// Stack is the content of stack.json: the addresses of the running servers and the credentials to
// access them. Other programs read the file, so its names and types must not change.
type Stack struct {
	API     string `json:"api"`     // URL
	Gateway string `json:"gateway"` // URL
	Web     string `json:"web"`     // URL
	// NATS and Postgres are URLs that work without the certificate of the servers. Intray's own
	// programs verify it: see [CAFile] and [VerifiedPostgres].
	NATS     string     `json:"nats"`     // URL with the operator's name and password
	Postgres string     `json:"postgres"` // URL with the owner's name and password
	MinIO    StackMinIO `json:"minio"`
	Accounts []Account  `json:"accounts"`
	// PIDs are the process ids of postgres, nats, minio, api, consume and gateway.
	// [Servers.WriteStack] sets them.
	PIDs map[string]int `json:"pids"`
}

// StackMinIO is the address and the root credentials of MinIO itself, which clients reach only
// through the gateway.
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

// ReadStack reads the stack.json in a data folder. The error wraps fs.ErrNotExist if no servers are
// running there.
func ReadStack(dir string) (Stack, error) {
	var stack Stack
	text, err := os.ReadFile(filepath.Join(dir, StackFile))
	if err == nil {
		err = json.Unmarshal(text, &stack)
	}
	if err != nil {
		return Stack{}, fmt.Errorf("read the addresses of the running servers: %w", err)
	}
	return stack, nil
}

// WriteStack writes stack.json with mode 0600. From then on the file is rewritten whenever the id
// of a process changes, until [Servers.Close] removes it. WriteStack sets the fields NATS, Postgres
// and MinIO, except the bucket, if they are empty. Call it when all servers are ready.
func (s *Servers) WriteStack(stack Stack) error {
	s.stackMu.Lock()
	defer s.stackMu.Unlock()
	if stack.Postgres == "" {
		stack.Postgres = s.PlainPostgresURL()
	}
	if stack.NATS == "" {
		stack.NATS = fmt.Sprintf("nats://%s:%s@%s",
			NATSOperator, s.NATSPassword(NATSOperator), s.nats.address())
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

// pidsChanged rewrites stack.json if WriteStack has been called.
func (s *Servers) pidsChanged() {
	s.stackMu.Lock()
	defer s.stackMu.Unlock()
	if s.stack == nil {
		return
	}
	if err := s.writeStack(); err != nil {
		s.out.printf("%v", err)
	}
}

func (s *Servers) removeStack() error {
	s.stackMu.Lock()
	defer s.stackMu.Unlock()
	s.stack = nil
	err := os.Remove(filepath.Join(s.config.Dir, StackFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove stack.json: %w", err)
	}
	return nil
}
