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

// Tesseract returns the path of a tesseract that reads English: the machine's, or one that
// is fetched from Debian's packages once. A package that uses nothing else of localtest
// needs no [Main].
func Tesseract(t testing.TB) string {
	t.Helper()
	tesseract.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		defer cancel()
		cache := local.DefaultCacheDir(os.Geteuid(), os.Getenv("XDG_CACHE_HOME"), os.Getenv("HOME"))
		tesseract.path, tesseract.err = local.Tesseract(ctx, cache, os.Environ(), &tesseract.told)
	})
	if tesseract.err != nil {
		t.Fatalf("localtest: %v\n%s", tesseract.err, &tesseract.told)
	}
	return tesseract.path
}

var tesseract struct {
	sync.Once
	told strings.Builder
	path string
	err  error
}
