package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"intray/cmd/internal/stacktest"
	"intray/schema"
)

func TestConsumeRefusesUnknownConsumers(t *testing.T) {
	for _, args := range [][]string{{"expire"}, {"confirm", "sweep,remove"}, {"confirm", ""}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			_, stderr, got := stacktest.Run(t, nil, "intray", append([]string{"consume"}, args...)...)
			if got != 2 {
				t.Errorf("got exit status %d, want 2", got)
			}
			expectText(t, stderr, "confirm, remove, classify, sweep")
		})
	}
}

// consumerStates reads the state of the durable consumers.
type consumerStates struct{ js jetstream.JetStream }

var streamOf = map[string]string{
	schema.ConsumerConfirm:  schema.StreamBucket,
	schema.ConsumerRemove:   schema.StreamBucket,
	schema.ConsumerClassify: schema.StreamDocuments,
}

// read returns the numbers of open pull requests and of pending messages of a consumer.
func (s consumerStates) read(t *testing.T, name string) (pulls int, pending uint64) {
	t.Helper()
	c, err := s.js.Consumer(t.Context(), streamOf[name], name)
	if err != nil {
		t.Fatal(err)
	}
	return c.CachedInfo().NumWaiting, c.CachedInfo().NumPending
}

// expectNotRunning waits until no process pulls messages of the consumers.
func (s consumerStates) expectNotRunning(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		stacktest.Await(t, 10*time.Second, "no pull requests of "+name, func() error {
			if n, _ := s.read(t, name); n > 0 {
				return fmt.Errorf("got %d pull requests", n)
			}
			return nil
		})
	}
}

func TestConsumeRunsOnlyTheNamedConsumers(t *testing.T) {
	s := up(t)
	environment := s.environment(t, "consume")
	// The replica that "up" runs is suspended. Its open pull requests expire.
	if err := syscall.Kill(s.PIDs["consume"], syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(s.PIDs["consume"], syscall.SIGCONT) })
	conn, err := natsgo.Connect(s.NATS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	consumers := consumerStates{js}
	consumers.expectNotRunning(t,
		schema.ConsumerConfirm, schema.ConsumerRemove, schema.ConsumerClassify)
	alice := s.Login(t, "alice")
	var id string
	cache := t.TempDir()

	t.Run("invalid OCR languages", func(t *testing.T) {
		path := stacktest.Program(t, "intray")
		c := exec.CommandContext(t.Context(), path, "consume", schema.ConsumerClassify)
		c.Env = append(environment, "METRICS_LISTEN=127.0.0.1:0", "OCR_LANGUAGES=-c x")
		out, _ := c.CombinedOutput()
		if got := c.ProcessState.ExitCode(); got != 2 {
			t.Errorf("got exit status %d, want 2", got)
		}
		expectText(t, string(out), "OCR_LANGUAGES")
	})
	t.Run("confirm", func(t *testing.T) {
		stop := consume(t, append(environment, "CACHE_DIR="+cache), schema.ConsumerConfirm)
		alice := alice.For(t)
		id = alice.Upload("a.txt", "text/plain", []byte("An invoice over 100 euros."))
		alice.Becomes(id, 20*time.Second, "uploaded")
		stacktest.Await(t, 10*time.Second, "the event for classify", func() error {
			if _, n := consumers.read(t, schema.ConsumerClassify); n != 1 {
				return fmt.Errorf("got %d pending events for classify, want 1", n)
			}
			return nil
		})
		consumers.expectNotRunning(t, schema.ConsumerRemove, schema.ConsumerClassify)
		if files, err := os.ReadDir(cache); err != nil || len(files) > 0 {
			t.Errorf("got files %v, error %v in the cache of the PDF reader, want none", files, err)
		}
		stop()
	})
	t.Run("classify", func(t *testing.T) {
		consumers.expectNotRunning(t, schema.ConsumerConfirm)
		stop := consume(t, append(environment, "CACHE_DIR="+cache), schema.ConsumerClassify)
		alice.For(t).Becomes(id, 30*time.Second, "classified")
		consumers.expectNotRunning(t, schema.ConsumerConfirm, schema.ConsumerRemove)
		stop()
	})
}

// consume starts a replica with the named consumers and waits until it is ready. The replica runs
// until stop is called or the test ends.
func consume(t *testing.T, environment []string, names ...string) (stop func()) {
	t.Helper()
	address := unusedAddress(t)
	path := stacktest.Program(t, "intray")
	var output bytes.Buffer
	command := exec.Command(path, append([]string{"consume"}, names...)...)
	// The last value of a variable overrides earlier ones.
	command.Env = append(environment, "METRICS_LISTEN="+address)
	command.Stdout, command.Stderr = &output, &output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	stopped := false
	stop = func() {
		t.Helper()
		if stopped {
			return
		}
		stopped = true
		_ = command.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("consume %v: got %v, want exit status 0\n%s", names, err, &output)
			}
		case <-time.After(2 * time.Minute):
			_ = command.Process.Kill()
			t.Errorf("consume %v: did not end within 2 minutes after SIGTERM\n%s", names, &output)
		}
	}
	t.Cleanup(stop)
	stacktest.Await(t, 30*time.Second, "the replica to be ready", func() error {
		resp, err := http.Get("http://" + address + "/healthz")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	})
	return stop
}

// environment returns the environment of a server that "up" runs.
func (s *stack) environment(t *testing.T, server string) []string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", s.PIDs[server]))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimRight(string(text), "\x00"), "\x00")
}
