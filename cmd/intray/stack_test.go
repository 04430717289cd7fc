package main_test

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
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"intray/infra/local"
)

// binary builds the command once for all tests of this package.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "intray-e2e-*")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "intray")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	status := m.Run()
	if path, err := binary(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(status)
}

// stack is a running `intray up`.
type stack struct {
	local.Stack
	t       testing.TB
	dir     string
	listen  string
	command *exec.Cmd
	output  *bytes.Buffer
	ended   chan struct{}
}

// up starts `intray up` in a fresh data folder and waits until it is ready. It
// is ended with the test.
func up(t testing.TB) *stack {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &stack{t: t, dir: filepath.Join(t.TempDir(), "data"), listen: listener.Addr().String()}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	s.start()
	t.Cleanup(func() { s.stop(syscall.SIGTERM) })
	return s
}

// start starts the command and waits for stack.json. The first start of all
// builds MinIO.
func (s *stack) start() {
	s.t.Helper()
	path, err := binary()
	if err != nil {
		s.t.Fatal(err)
	}
	s.output = &bytes.Buffer{}
	s.command = exec.Command(path, "up", "--data", s.dir, "--listen", s.listen)
	s.command.Stdout, s.command.Stderr = s.output, s.output
	if err := s.command.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.ended = make(chan struct{})
	go func(c *exec.Cmd, ended chan struct{}) { _ = c.Wait(); close(ended) }(s.command, s.ended)
	await(s.t, 15*time.Minute, "stack.json", func() error {
		select {
		case <-s.ended:
			s.t.Fatalf("up ended:\n%s", s.output)
		default:
		}
		s.Stack, err = local.ReadStack(s.dir)
		return err
	})
}

// stop sends the signal and waits for the end.
func (s *stack) stop(signal syscall.Signal) {
	s.t.Helper()
	select {
	case <-s.ended:
		return
	default:
	}
	_ = s.command.Process.Signal(signal)
	select {
	case <-s.ended:
	case <-time.After(time.Minute):
		_ = s.command.Process.Kill()
		s.t.Errorf("up does not end within a minute after %v:\n%s", signal, s.output)
	}
}

// kill sends SIGKILL to one part and waits until it is back under another id.
func (s *stack) kill(part string) {
	s.t.Helper()
	pid := s.PIDs[part]
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		s.t.Fatalf("kill %s: %v", part, err)
	}
	await(s.t, time.Minute, part+" to come back", func() error {
		now, err := local.ReadStack(s.dir)
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

// children are the processes below the command, PostgreSQL's own included.
func (s *stack) children() map[int]string {
	found := map[int]string{}
	stats, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range stats {
		var pid int
		if _, err := fmt.Sscanf(path, "/proc/%d/environ", &pid); err != nil || pid == s.command.Process.Pid {
			continue
		}
		command, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		cwd, _ := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
		if strings.HasPrefix(cwd, s.dir) || bytes.Contains(command, []byte(s.dir)) {
			found[pid] = string(bytes.ReplaceAll(command, []byte{0}, []byte{' '}))
		}
	}
	return found
}

// await polls until the condition holds.
func await(t testing.TB, limit time.Duration, what string, condition func() error) {
	t.Helper()
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

// client is a front end that has logged in.
type client struct {
	t     testing.TB
	api   string // its URL
	http  *http.Client
	token string
}

// login logs an account in, by the first part of its address.
func (s *stack) login(t testing.TB, name string) *client {
	t.Helper()
	c := &client{t: t, api: s.API, http: &http.Client{Timeout: 30 * time.Second}}
	for _, a := range s.Accounts {
		if strings.HasPrefix(a.Email, name+"@") {
			var answer struct {
				AccessToken string `json:"access_token"`
			}
			c.must("POST", "/api/auth/login", map[string]string{"email": a.Email, "password": a.Password}, &answer, http.StatusOK)
			c.token = answer.AccessToken
			return c
		}
	}
	t.Fatalf("no account %s", name)
	return nil
}

// call makes a request and returns the status; an answer of 2xx is read into out.
func (c *client) call(method, path string, in, out any) (status int, problem string, err error) {
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
	resp, err := c.http.Do(req)
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

func (c *client) must(method, path string, in, out any, want int) {
	c.t.Helper()
	status, problem, err := c.call(method, path, in, out)
	if err != nil || status != want {
		c.t.Fatalf("%s %s: status %d, want %d: %s %v", method, path, status, want, problem, err)
	}
}

type document struct {
	ID     string `json:"id"`
	Size   int64  `json:"size"`
	Status string `json:"status"`
	Reason string `json:"reason"`
	Topics []struct {
		Name string `json:"name"`
	} `json:"topics"`
}

type uploadURL struct {
	Document document `json:"document"`
	Upload   struct {
		Method  string            `json:"method"`
		URL     string            `json:"url"`
		Headers map[string]string `json:"headers"`
	} `json:"upload"`
}

// ask asks for an upload URL.
func (c *client) ask(filename, contentType string, size int) (uploadURL, error) {
	var u uploadURL
	status, problem, err := c.call("POST", "/api/documents/upload-url",
		map[string]any{"filename": filename, "content_type": contentType, "size": size}, &u)
	if err == nil && status != http.StatusCreated {
		err = fmt.Errorf("upload-url: status %d: %s", status, problem)
	}
	return u, err
}

// put uploads as a browser does: the URL and the headers as they were given.
func (c *client) put(u uploadURL, content []byte) error {
	req, err := http.NewRequestWithContext(c.t.Context(), u.Upload.Method, u.Upload.URL, bytes.NewReader(content))
	if err != nil {
		return err
	}
	for name, value := range u.Upload.Headers {
		req.Header.Set(name, value)
	}
	resp, err := c.http.Do(req)
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

// upload asks and puts.
func (c *client) upload(filename, contentType string, content []byte) (id string) {
	c.t.Helper()
	u, err := c.ask(filename, contentType, len(content))
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.put(u, content); err != nil {
		c.t.Fatal(err)
	}
	return u.Document.ID
}

// becomes polls until the document has one of the statuses.
func (c *client) becomes(id string, limit time.Duration, statuses ...string) document {
	c.t.Helper()
	var d document
	await(c.t, limit, fmt.Sprintf("document %s to be %v", id, statuses), func() error {
		d = document{}
		status, problem, err := c.call("GET", "/api/documents/"+id, nil, &d)
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

// used returns the bytes charged to the user.
func (c *client) used() int64 {
	c.t.Helper()
	var me struct {
		Quota struct {
			UsedBytes int64 `json:"used_bytes"`
		} `json:"quota"`
	}
	c.must("GET", "/api/me", nil, &me, http.StatusOK)
	return me.Quota.UsedBytes
}
