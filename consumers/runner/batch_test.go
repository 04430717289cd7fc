package runner_test

import (
	"slices"
	"sync"
	"testing"

	"intray/consumers/consumertest"
	"intray/consumers/runner"
)

// Workers take turns, but a batch that hangs does not keep the other workers from pulling.
func TestHangingBatchDoesNotDelayOtherMessages(t *testing.T) {
	b := consumertest.New(t)
	started, proceed := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(proceed) })
	var done recorder
	config := fastConfig
	config.Workers, config.Batch = 2, 100
	r, err := runner.New(b.Conn, b.DB, decodeText, handleEach(func(m runner.Message[string]) error {
		if m.Event == "hangs" {
			close(started)
			<-proceed
		}
		done.add(m.Event)
		return nil
	}), config, consumertest.Discard())
	if err != nil {
		t.Fatal(err)
	}
	b.Go(r.Run)
	t.Cleanup(release) // otherwise a failure would leave the handler blocked
	publish(b, "hangs")
	<-started
	for _, event := range []string{"second", "third"} {
		publish(b, event)
		b.Eventually(event+" is handled", func() bool { return slices.Contains(done.all(), event) })
	}
	release()
	awaitIdle(b)
}
