package local_test

import (
	"strings"
	"sync"
	"testing"
	"time"
)

// A messageBuffer collects the messages that the servers print.
type messageBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *messageBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *messageBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// await polls until the condition holds. It fails the test after 5 minutes.
func await(t *testing.T, description string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); !condition(); {
		if time.Now().After(deadline) {
			t.Fatalf("timed out waiting until %s", description)
		}
		<-time.After(10 * time.Millisecond)
	}
}
