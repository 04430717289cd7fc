package ai_test

import (
	"errors"
	"fmt"
	"time"

	"intray/infra/ai"
)

// The error of a provider shows whether another attempt may succeed, and when.
func ExampleRetryAfter() {
	var err error = &ai.UnavailableError{After: 30 * time.Second, Cause: errors.New("status 429")}
	switch wait, ok := ai.RetryAfter(err); {
	case errors.Is(err, ai.ErrRefused):
		fmt.Println("no attempt will succeed:", err)
	case errors.Is(err, ai.ErrUnavailable) && ok:
		fmt.Println("next attempt in", wait)
	}
	fmt.Println(err)
	// Output:
	// next attempt in 30s
	// ai provider unavailable: status 429
}
