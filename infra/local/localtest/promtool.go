package localtest

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"intray/infra/local"
)

// Promtool returns the path of promtool: the machine's, or one that is fetched from
// Debian's packages once. A package that uses nothing else of localtest needs no [Main].
func Promtool(t testing.TB) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	var told strings.Builder
	cache := local.DefaultCacheDir(os.Geteuid(), os.Getenv("XDG_CACHE_HOME"), os.Getenv("HOME"))
	path, err := local.Promtool(ctx, cache, os.Environ(), &told)
	if err != nil {
		t.Fatalf("localtest: %v\n%s", err, &told)
	}
	return path
}
