package extract

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The documentation of the package says what each of its files belongs to.
func TestFilesAreDocumented(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(content), "// # Files")
	got := regexp.MustCompile(`\w+\.go\b`).FindAllString(list, -1)
	slices.Sort(got)
	want, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	want = slices.DeleteFunc(want, func(name string) bool {
		return strings.HasSuffix(name, "_test.go") || name == "doc.go"
	})
	if !slices.Equal(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
}
