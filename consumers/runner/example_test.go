package runner_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"intray/consumers/runner"
)

// A handler decides a batch and returns one error for each message. It never sees the JetStream
// message: the runner acknowledges, retries or dead-letters it by the error.
func ExampleHandler() {
	var handle runner.Handler[string] = func(_ context.Context, batch []runner.Message[string]) []error {
		errs := make([]error, len(batch))
		for i, m := range batch {
			switch m.Event {
			case "damaged": // becomes a dead letter at once
				errs[i] = runner.Permanent(errors.New("cannot be read"))
			case "busy": // is retried after a minute, and the attempt counts
				errs[i] = runner.RetryAfter(errors.New("ask again later"), time.Minute)
			case "early": // is redelivered after a second, and nothing counts
				errs[i] = runner.Postpone(errors.New("it is not its turn"), time.Second)
			}
		}
		return errs // nil acknowledges: what was done must be committed
	}

	batch := []runner.Message[string]{{Event: "letter"}, {Event: "damaged"}, {Event: "busy"}, {Event: "early"}}
	for i, err := range handle(context.Background(), batch) {
		fmt.Printf("%s: %v, permanent: %v, postponed: %v\n",
			batch[i].Event, err, errors.Is(err, runner.ErrPermanent), runner.Postponed(err))
	}
	// Output:
	// letter: <nil>, permanent: false, postponed: false
	// damaged: permanent failure: cannot be read, permanent: true, postponed: false
	// busy: ask again later, permanent: false, postponed: false
	// early: it is not its turn, permanent: false, postponed: true
}
