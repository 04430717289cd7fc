// Package stacktest runs "intray up" for tests: the real program with all its parts, on
// a fresh data folder, and front ends that upload to it.
package stacktest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"intray/infra/local"
	"intray/infra/local/localtest"
)

// programs is where the programs under test are built, once for all tests of a package.
var programs = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "intray-programs-*") })

var (
	building sync.Mutex
	built    = make(map[string]string)
)

// Program returns the path of a command of this module, such as intray, which is built
// when it is first asked for.
func Program(t testing.TB, name string) string {
	t.Helper()
	building.Lock()
	defer building.Unlock()
	if path, ok := built[name]; ok {
		return path
	}
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, "intray/cmd/"+name)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, out)
	}
	built[name] = path
	return path
}

// Main runs the tests of a package and removes the programs that they built.
func Main(m *testing.M) {
	status := m.Run()
	if len(built) > 0 {
		if dir, err := programs(); err == nil {
			_ = os.RemoveAll(dir)
		}
	}
	os.Exit(status)
}

// Run runs a command of this module with arguments and returns what it wrote and its
// exit status. It has this process's environment without what names a system, and the
// given variables.
func Run(t testing.TB, environment []string, name string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, errs bytes.Buffer
	c := exec.CommandContext(t.Context(), Program(t, name), args...)
	c.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "DATABASE_URL=") || strings.HasPrefix(v, "MINIO_") || strings.HasPrefix(v, "NATS_")
	}), environment...)
	c.Stdout, c.Stderr = &out, &errs
	var ended *exec.ExitError
	if err := c.Run(); err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), c.ProcessState.ExitCode()
}

// Stack is a running `intray up`.
type Stack struct {
	local.Stack
	t       testing.TB
	Dir     string // the data folder
	listen  string
	Command *exec.Cmd
	Output  *bytes.Buffer
	Ended   chan struct{}

	stopped []localtest.Process // the children when Stop was called
}

// Up starts `intray up` in a fresh data folder and waits until it is ready. It
// is ended with the test.
func Up(t testing.TB) *Stack {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Stack{t: t, Dir: filepath.Join(t.TempDir(), "data"), listen: listener.Addr().String()}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Stop(syscall.SIGTERM) })
	return s
}

// Start starts the command, with more flags if they are given, and waits for
// stack.json. The very first start builds MinIO.
func (s *Stack) Start(flags ...string) {
	s.t.Helper()
	path := Program(s.t, "intray")
	s.Output = &bytes.Buffer{}
	// Stop ends it, after the test's context has ended.
	args := append([]string{"up", "--data", s.Dir, "--listen", s.listen}, flags...)
	s.Command = exec.CommandContext(context.Background(), path, args...)
	s.Command.Stdout, s.Command.Stderr = s.Output, s.Output
	if err := s.Command.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.Ended = make(chan struct{})
	go func(c *exec.Cmd, ended chan struct{}) { _ = c.Wait(); close(ended) }(s.Command, s.Ended)
	Await(s.t, 15*time.Minute, "stack.json", func() error {
		select {
		case <-s.Ended:
			s.t.Fatalf("up ended:\n%s", s.Output)
		default:
		}
		now, err := local.ReadStack(s.Dir)
		s.Stack = now
		return err
	})
}

// Stop sends the signal and waits for the end.
func (s *Stack) Stop(signal syscall.Signal) {
	s.t.Helper()
	select {
	case <-s.Ended:
		return
	default:
	}
	s.stopped = s.Children()
	_ = s.Command.Process.Signal(signal)
	select {
	case <-s.Ended:
	case <-time.After(leastLimit):
		_ = s.Command.Process.Kill()
		s.t.Errorf("up does not end within %v after %v:\n%s", leastLimit, signal, s.Output)
	}
}

// Kill sends SIGKILL to one part and waits until it is back under another id.
func (s *Stack) Kill(part string) {
	s.t.Helper()
	pid := s.PIDs[part]
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		s.t.Fatalf("kill %s: %v", part, err)
	}
	Await(s.t, time.Minute, part+" to come back", func() error {
		now, err := local.ReadStack(s.Dir)
		if err != nil {
			return err
		}
		if now.PIDs[part] == pid || now.PIDs[part] == 0 {
			return errors.New("still away")
		}
		s.Stack = now
		return nil
	})
}

// Children returns the processes below the command, PostgreSQL's own included. After
// [Stack.Stop] it returns those of them that have not ended.
func (s *Stack) Children() []localtest.Process {
	select {
	case <-s.Ended:
		return slices.DeleteFunc(slices.Clone(s.stopped), func(p localtest.Process) bool { return !p.Alive() })
	default:
		return localtest.Descendants(s.Command.Process.Pid)
	}
}

// leastLimit is how long [Await] waits at least. A condition that holds soon on an idle
// machine may need much longer on a busy one, and a limit serves only to end a test that
// fails.
const leastLimit = 2 * time.Minute

// Await polls until the condition holds. It fails the test after the limit, or after
// leastLimit if that is longer.
func Await(t testing.TB, limit time.Duration, what string, condition func() error) {
	t.Helper()
	limit = max(limit, leastLimit)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := condition()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waited %v for %s: %v", limit, what, err)
		case <-tick.C:
		}
	}
}

// Client is a front end.
type Client struct {
	t     testing.TB
	api   string // its URL
	HTTP  *http.Client
	token string
}

// Client returns a front end that has not logged in.
func (s *Stack) Client(t testing.TB) *Client {
	return &Client{t: t, api: s.API, HTTP: &http.Client{Timeout: 30 * time.Second}}
}

// Login logs an account in, by the first part of its address.
func (s *Stack) Login(t testing.TB, name string) *Client {
	t.Helper()
	c := s.Client(t)
	for _, a := range s.Accounts {
		if strings.HasPrefix(a.Email, name+"@") {
			var answer struct {
				AccessToken string `json:"access_token"`
			}
			c.Must("POST", "/api/auth/login", map[string]string{"email": a.Email, "password": a.Password}, &answer, http.StatusOK)
			c.token = answer.AccessToken
			return c
		}
	}
	t.Fatalf("no account %s", name)
	return nil
}

// Call makes a request and returns the status; an answer of 2xx is read into out.
func (c *Client) Call(method, path string, in, out any) (status int, problem string, err error) {
	body, err := json.Marshal(in)
	if err != nil {
		return 0, "", err
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.api+path, bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	if in == nil {
		req.Body, req.ContentLength = http.NoBody, 0
	} else {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, "", err
	}
	if resp.StatusCode >= 300 {
		return resp.StatusCode, string(text), nil
	}
	if out != nil {
		err = json.Unmarshal(text, out)
	}
	return resp.StatusCode, "", err
}

// Must makes a request and fails unless its status is want.
func (c *Client) Must(method, path string, in, out any, want int) {
	c.t.Helper()
	status, problem, err := c.Call(method, path, in, out)
	if err != nil || status != want {
		c.t.Fatalf("%s %s: status %d, want %d: %s %v", method, path, status, want, problem, err)
	}
}

// Document is what the tests read of a document.
type Document struct {
	ID     string `json:"id"`
	Size   int64  `json:"size"`
	Status string `json:"status"`
	Reason string `json:"reason"`
	Topics []struct {
		Name string `json:"name"`
	} `json:"topics"`
}

// UploadURL is an answer to a request for an upload URL.
type UploadURL struct {
	Document Document `json:"document"`
	Upload   struct {
		Method  string            `json:"method"`
		URL     string            `json:"url"`
		Headers map[string]string `json:"headers"`
	} `json:"upload"`
}

// Ask asks for an upload URL.
func (c *Client) Ask(filename, contentType string, size int) (UploadURL, error) {
	var u UploadURL
	status, problem, err := c.Call("POST", "/api/documents/upload-url",
		map[string]any{"filename": filename, "content_type": contentType, "size": size}, &u)
	if err == nil && status != http.StatusCreated {
		err = fmt.Errorf("upload-url: status %d: %s", status, problem)
	}
	return u, err
}

// Put uploads as a browser does: the URL and the headers as they were given.
func (c *Client) Put(u UploadURL, content []byte) error {
	req, err := http.NewRequestWithContext(c.t.Context(), u.Upload.Method, u.Upload.URL, bytes.NewReader(content))
	if err != nil {
		return err
	}
	for name, value := range u.Upload.Headers {
		req.Header.Set(name, value)
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("PUT: status %d: %s", resp.StatusCode, text)
	}
	return nil
}

// Upload asks and puts.
func (c *Client) Upload(filename, contentType string, content []byte) (id string) {
	c.t.Helper()
	u, err := c.Ask(filename, contentType, len(content))
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.Put(u, content); err != nil {
		c.t.Fatal(err)
	}
	return u.Document.ID
}

// Becomes polls until the document has one of the statuses.
func (c *Client) Becomes(id string, limit time.Duration, statuses ...string) Document {
	c.t.Helper()
	var d Document
	Await(c.t, limit, fmt.Sprintf("document %s to be %v", id, statuses), func() error {
		d = Document{}
		status, problem, err := c.Call("GET", "/api/documents/"+id, nil, &d)
		if err != nil || status != http.StatusOK {
			return fmt.Errorf("status %d: %s %w", status, problem, err)
		}
		for _, s := range statuses {
			if d.Status == s {
				return nil
			}
		}
		return fmt.Errorf("it is %s %s", d.Status, d.Reason)
	})
	return d
}

// Used returns the bytes charged to the user.
func (c *Client) Used() int64 {
	c.t.Helper()
	var me struct {
		Quota struct {
			UsedBytes int64 `json:"used_bytes"`
		} `json:"quota"`
	}
	c.Must("GET", "/api/me", nil, &me, http.StatusOK)
	return me.Quota.UsedBytes
}
