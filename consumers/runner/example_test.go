package runner_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"intray/consumers/runner"
)

// A handler returns one error for each message of a batch. It never sees the JetStream message: the
// runner acknowledges, retries or dead-letters the message according to the error.
func ExampleHandler() {
	handle := func(_ context.Context, batch []runner.Message[string]) []error {
		errs := make([]error, len(batch))
		for i, m := range batch {
			switch m.Event {
			case "damaged": // dead-lettered immediately
				errs[i] = runner.Permanent(errors.New("cannot be read"))
			case "busy": // retried after a minute; the attempt counts
				errs[i] = runner.RetryAfter(errors.New("server is busy"), time.Minute)
			case "early": // redelivered after a second; the attempt does not count
				errs[i] = runner.Postpone(errors.New("not due yet"), time.Second)
			}
		}
		return errs // nil acknowledges the message: its effects must be committed
	}

	batch := []runner.Message[string]{
		{Event: "letter"}, {Event: "damaged"}, {Event: "busy"}, {Event: "early"},
	}
	for i, err := range handle(context.Background(), batch) {
		fmt.Printf("%s: %v, permanent: %v, postponed: %v\n",
			batch[i].Event, err, errors.Is(err, runner.ErrPermanent), runner.Postponed(err))
	}
	// Output:
	// letter: <nil>, permanent: false, postponed: false
	// damaged: permanent failure: cannot be read, permanent: true, postponed: false
	// busy: server is busy, permanent: false, postponed: false
	// early: not due yet, permanent: false, postponed: true
}
