package localtest

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"intray/infra/local"
)

// Promtool returns the path of promtool: the one in PATH, or one that is downloaded from Debian's
// packages once. It works without [Main].
func Promtool(t testing.TB) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	var messages strings.Builder
	cache := local.DefaultCacheDir(os.Geteuid(), os.Getenv("XDG_CACHE_HOME"), os.Getenv("HOME"))
	path, err := local.Promtool(ctx, cache, os.Environ(), &messages)
	if err != nil {
		t.Fatalf("localtest: %v\n%s", err, &messages)
	}
	return path
}
