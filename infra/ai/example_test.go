package ai_test

import (
	"errors"
	"fmt"
	"time"

	"intray/infra/ai"
)

// A provider's error reports whether and when the same request is worth another attempt.
func ExampleRetryAfter() {
	var err error = &ai.UnavailableError{After: 30 * time.Second, Cause: errors.New("status 429")}
	switch wait, told := ai.RetryAfter(err); {
	case errors.Is(err, ai.ErrRefused):
		fmt.Println("no attempt will succeed:", err)
	case errors.Is(err, ai.ErrUnavailable) && told:
		fmt.Println("next attempt in", wait)
	}
	fmt.Println(err)
	// Output:
	// next attempt in 30s
	// ai provider unavailable: status 429
}
