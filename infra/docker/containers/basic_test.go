//go:build containers

package containers

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// The first upload must be classified without anything else being configured.
func TestFirstUpload(t *testing.T) {
	d := setup(t)
	c, err := d.signIn()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	waitClassified(t, c, uploadAll(t, c, 1, 1, note), time.Minute)
	t.Logf("classified after %s", seconds(began))
	statusHealthy(t)
}

// statusHealthy waits until operators see that all is well. A new sweeper needs a moment to become
// active.
func statusHealthy(t *testing.T) {
	t.Helper()
	waitFor(t, "status is healthy", time.Minute, func() bool {
		_, status := exitStatus(t, "docker compose run --rm --no-TTY operator status")
		return status == 0
	})
}

// A second `up --build` must recreate and restart no server, and rebuild no image.
func TestNothingIsRecreatedWithoutAChange(t *testing.T) {
	setup(t)
	before := inspect(t)
	began := time.Now()
	run(t, "docker compose up --build --detach")
	t.Logf("a second start took %s", seconds(began))
	if names := changed(before, inspect(t)); len(names) > 0 {
		t.Errorf("got new or restarted containers %v, want none", names)
	}
	images := make(map[string]bool)
	for name, c := range inspect(t) {
		if slices.Contains(c.Config.Env, "PG_MAJOR=18") || strings.HasPrefix(name, "minio") ||
			strings.HasPrefix(name, "nats") || strings.HasPrefix(name, "postgres") {
			continue
		}
		images[c.Image] = true
	}
	if len(images) != 1 {
		t.Errorf("got %d images of Intray's own processes, want 1", len(images))
	}
}

// changeSource changes Intray's source, and with it the image, until the test ends.
func changeSource(t *testing.T) {
	t.Helper()
	const file = "cmd/intray/main.go"
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(file, source, 0o644); err != nil {
			t.Error(err)
		}
	})
	text := string(source) + "\nfunc init() { _ = \"changed\" }\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
