package schema_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"intray/schema"
)

func TestStarterTopicsAreWithinLimits(t *testing.T) {
	seen := map[string]bool{}
	for _, topic := range schema.StarterTopics {
		name := strings.ToLower(topic.Name)
		if seen[name] {
			t.Errorf("%s: the name is not unique", topic.Name)
		}
		seen[name] = true
		if n := len([]rune(name)); n < 1 || n > schema.MaxTopicName {
			t.Errorf("%q: the name has %d characters, want 1 to %d", topic.Name, n, schema.MaxTopicName)
		}
		if got := topic.Scope(); got != schema.ScopeSystem {
			t.Errorf("%s: got scope %s, want %s", topic.Name, got, schema.ScopeSystem)
		}
		if n := len(topic.Description); n < 1 || n > schema.MaxTopicDescription {
			t.Errorf("%s: the description has %d bytes, want 1 to %d",
				topic.Name, n, schema.MaxTopicDescription)
		}
		if n := len(topic.Keywords); n < 8 || n > schema.MaxTopicKeywords {
			t.Errorf("%s: got %d keywords, want 8 to %d", topic.Name, n, schema.MaxTopicKeywords)
		}
	}
}

func TestTopicWithOwnerHasUserScope(t *testing.T) {
	user := uuid.New()
	if got := (schema.Topic{UserID: &user}).Scope(); got != schema.ScopeUser {
		t.Errorf("got scope %s, want %s", got, schema.ScopeUser)
	}
}

func TestQuotaFits(t *testing.T) {
	q := schema.Quota{LimitBytes: 10, UsedBytes: 4}
	for size, want := range map[int64]bool{-1: false, 0: true, 6: true, 7: false, 1<<63 - 1: false} {
		if got := q.Fits(size); got != want {
			t.Errorf("Fits(%d): got %v, want %v", size, got, want)
		}
	}
	q.LimitBytes = 3
	if q.Remaining() != 0 || q.Fits(1) {
		t.Errorf("usage above the limit: got Remaining %d and Fits(1) %v, want 0 and false",
			q.Remaining(), q.Fits(1))
	}
}
