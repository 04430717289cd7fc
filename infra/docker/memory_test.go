package docker_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// The memory limits of Go programs that do not set their own must be 90 % of their container's.
func TestGoMemoryLimits(t *testing.T) {
	p := frontProject(t)
	for _, name := range []string{"front", "minio", "nats"} {
		s := p.Services[name]
		mib, err := strconv.ParseInt(strings.TrimSuffix(environment(s)["GOMEMLIMIT"], "MiB"), 10, 64)
		container := int64(s.Deploy.Resources.Limits.MemoryBytes)
		if share := float64(mib<<20) / float64(container); err != nil || share < 0.85 || share > 0.9 {
			t.Errorf("%s: got GOMEMLIMIT %q (%v), want about 90 %% of %d bytes",
				name, environment(s)["GOMEMLIMIT"], err, container)
		}
	}
}

// The documentation must have the memory limit of each server, and their sum.
func TestDocumentedMemoryLimits(t *testing.T) {
	text := read(t, "docs/operations.md")
	documented := make(map[string]int64)
	for _, row := range regexp.MustCompile(`(?m)^\| (\w+) \| (\d+) ([MG])iB \|`).FindAllStringSubmatch(
		text, -1) {
		n, err := strconv.ParseInt(row[2], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(strings.ToLower(row[1]), "ql") // PostgreSQL is the service postgres
		documented[name] = n << map[string]int{"M": 20, "G": 30}[row[3]]
	}
	sum := int64(0)
	for name, s := range frontProject(t).Services {
		if s.Restart == "no" {
			continue
		}
		limit := int64(s.Deploy.Resources.Limits.MemoryBytes)
		if sum += limit; documented[name] != limit {
			t.Errorf("%s: got a documented limit of %d bytes, want %d", name, documented[name], limit)
		}
	}
	if want := fmt.Sprintf("add up to %.1f GiB", float64(sum)/(1<<30)); !strings.Contains(text, want) {
		t.Errorf("operations.md: got no %q, want the sum of the limits", want)
	}
}
