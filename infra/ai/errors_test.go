package ai_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"intray/infra/ai"
)

func TestUnavailableErrorCanBeWrapped(t *testing.T) {
	err := fmt.Errorf("classify document 7: %w",
		&ai.UnavailableError{After: 3 * time.Second, Cause: context.DeadlineExceeded})

	if !errors.Is(err, ai.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want an error that wraps ErrUnavailable and its cause", err)
	}
	if errors.Is(err, ai.ErrRefused) {
		t.Errorf("got %v, want an error that does not wrap ErrRefused", err)
	}
	if after, ok := ai.RetryAfter(err); !ok || after != 3*time.Second {
		t.Errorf("RetryAfter: got %v, %v; want 3s, true", after, ok)
	}
}

func TestRetryAfterWithoutATime(t *testing.T) {
	for _, err := range []error{
		nil,
		ai.ErrUnavailable,
		&ai.UnavailableError{Cause: context.DeadlineExceeded},
		&ai.UnavailableError{After: -time.Second, Cause: context.DeadlineExceeded},
	} {
		if after, ok := ai.RetryAfter(err); ok {
			t.Errorf("RetryAfter(%v): got %v, true; want false", err, after)
		}
	}
}
