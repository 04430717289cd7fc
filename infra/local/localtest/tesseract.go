package localtest

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"intray/infra/local"
)

// Tesseract returns the path of tesseract with data for English: the one in PATH, or one that is
// downloaded from Debian's packages once. It works without [Main].
func Tesseract(t testing.TB) string {
	t.Helper()
	tesseract.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		defer cancel()
		cache := local.DefaultCacheDir(os.Geteuid(), os.Getenv("XDG_CACHE_HOME"), os.Getenv("HOME"))
		tesseract.path, tesseract.err = local.Tesseract(ctx, cache, os.Environ(), &tesseract.messages)
	})
	if tesseract.err != nil {
		t.Fatalf("localtest: %v\n%s", tesseract.err, &tesseract.messages)
	}
	return tesseract.path
}

var tesseract struct {
	sync.Once
	messages strings.Builder
	path     string
	err      error
}
