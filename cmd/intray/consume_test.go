package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
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

func TestConsumeRefusesWhatIsNoConsumer(t *testing.T) {
	for _, args := range [][]string{{"expire"}, {"confirm", "sweep,remove"}, {"confirm", ""}} {
		if _, stderr, status := stacktest.Run(t, nil, "intray", append([]string{"consume"}, args...)...); status != 2 || !strings.Contains(stderr, "confirm, remove, classify, sweep") {
			t.Errorf("consume %q: status %d\n%s", args, status, stderr)
		}
	}
}

func TestConsumeRunsTheNamedConsumersOnly(t *testing.T) {
	s := up(t)
	environment := s.environment(t, "consume")
	// The replica of up itself holds still; its last pulls run out.
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
	durable := map[string]string{
		schema.ConsumerConfirm: schema.StreamBucket, schema.ConsumerRemove: schema.StreamBucket, schema.ConsumerClassify: schema.StreamDocuments,
	}
	pulls := func(name string) (waiting int, behind uint64) {
		t.Helper()
		c, err := js.Consumer(t.Context(), durable[name], name)
		if err != nil {
			t.Fatal(err)
		}
		return c.CachedInfo().NumWaiting, c.CachedInfo().NumPending
	}
	quiet := func(names ...string) {
		t.Helper()
		for _, name := range names {
			stacktest.Await(t, 10*time.Second, "nobody to pull for "+name, func() error {
				if n, _ := pulls(name); n > 0 {
					return fmt.Errorf("%d pulls", n)
				}
				return nil
			})
		}
	}
	quiet(schema.ConsumerConfirm, schema.ConsumerRemove, schema.ConsumerClassify)

	path := stacktest.Program(t, "intray")
	refused := exec.CommandContext(t.Context(), path, "consume", schema.ConsumerClassify)
	refused.Env = append(environment, "METRICS_LISTEN=127.0.0.1:0", "OCR_LANGUAGES=-c x")
	if out, _ := refused.CombinedOutput(); refused.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), "OCR_LANGUAGES") {
		t.Errorf("status %d\n%s", refused.ProcessState.ExitCode(), out)
	}

	cache := t.TempDir()
	stop := consume(t, append(environment, "CACHE_DIR="+cache), schema.ConsumerConfirm)
	c := s.Login(t, "alice")
	id := c.Upload("a.txt", "text/plain", []byte("An invoice over 100 euros."))
	c.Becomes(id, 20*time.Second, "uploaded")
	stacktest.Await(t, 10*time.Second, "the event", func() error {
		if _, n := pulls(schema.ConsumerClassify); n != 1 {
			return fmt.Errorf("%d events for classify", n)
		}
		return nil
	})
	quiet(schema.ConsumerRemove, schema.ConsumerClassify)
	if compiled, err := os.ReadDir(cache); err != nil || len(compiled) > 0 {
		t.Errorf("the PDF reader was compiled: %v, %v", compiled, err)
	}
	stop()

	quiet(schema.ConsumerConfirm)
	stop = consume(t, append(environment, "CACHE_DIR="+cache), schema.ConsumerClassify)
	c.Becomes(id, 30*time.Second, "classified")
	quiet(schema.ConsumerConfirm, schema.ConsumerRemove)
	stop()
}

// consume runs another replica of the named consumers until it is stopped, and
// returns when it serves.
func consume(t *testing.T, environment []string, names ...string) (stop func()) {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	path := stacktest.Program(t, "intray")
	var output bytes.Buffer
	command := exec.Command(path, append([]string{"consume"}, names...)...)
	command.Env = append(environment, "METRICS_LISTEN="+address) // the last one counts
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
				t.Errorf("consume %v: %v\n%s", names, err, &output)
			}
		case <-time.After(2 * time.Minute):
			_ = command.Process.Kill()
			t.Errorf("consume %v does not end:\n%s", names, &output)
		}
	}
	t.Cleanup(stop)
	stacktest.Await(t, 30*time.Second, "the replica to serve", func() error {
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

// environment is that of a part that up runs.
func (s *stack) environment(t *testing.T, part string) []string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", s.PIDs[part]))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimRight(string(text), "\x00"), "\x00")
}
