package schema_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"intray/schema"
)

func TestStarterTopicsKeepTheBounds(t *testing.T) {
	seen := map[string]bool{}
	for _, topic := range schema.StarterTopics {
		if name := strings.ToLower(topic.Name); seen[name] || name == "" || len([]rune(name)) > schema.MaxTopicName {
			t.Errorf("name %q", topic.Name)
		} else {
			seen[name] = true
		}
		if topic.Scope() != schema.ScopeSystem || topic.Description == "" || len(topic.Description) > schema.MaxTopicDescription {
			t.Errorf("%s: scope %s, description %q", topic.Name, topic.Scope(), topic.Description)
		}
		if n := len(topic.Keywords); n < 8 || n > schema.MaxTopicKeywords {
			t.Errorf("%s has %d keywords", topic.Name, n)
		}
	}
}

func TestTopicScope(t *testing.T) {
	user := uuid.New()
	if got := (schema.Topic{UserID: &user}).Scope(); got != schema.ScopeUser {
		t.Errorf("got %s", got)
	}
}

func TestQuotaFits(t *testing.T) {
	q := schema.Quota{LimitBytes: 10, UsedBytes: 4}
	for size, want := range map[int64]bool{-1: false, 0: true, 6: true, 7: false, 1<<63 - 1: false} {
		if q.Fits(size) != want {
			t.Errorf("%d fits: %v", size, !want)
		}
	}
	q.LimitBytes = 3
	if q.Left() != 0 || q.Fits(1) {
		t.Errorf("over the limit: %d left", q.Left())
	}
}
