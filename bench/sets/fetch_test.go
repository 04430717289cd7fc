package sets

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFetchOnce(t *testing.T) {
	parent := t.TempDir()
	folder := filepath.Join(parent, "set")
	calls := 0
	fetch := func(err error) func(string) error {
		return func(folder string) error {
			calls++
			return errors.Join(os.WriteFile(filepath.Join(folder, "text"), nil, 0o600), err)
		}
	}
	t.Run("leaves nothing after an error", func(t *testing.T) {
		want := errors.New("registry unavailable")
		if err := fetchOnce(folder, fetch(want)); !errors.Is(err, want) {
			t.Errorf("got error %v, want %v", err, want)
		}
		if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
			t.Errorf("got %v and error %v in the parent folder, want nothing", left, err)
		}
	})
	t.Run("calls fetch once after that", func(t *testing.T) {
		calls = 0
		for range 2 {
			if err := fetchOnce(folder, fetch(nil)); err != nil {
				t.Fatal(err)
			}
		}
		if calls != 1 {
			t.Errorf("got %d calls of fetch, want 1", calls)
		}
		if _, err := os.Stat(filepath.Join(folder, "text")); err != nil {
			t.Error(err)
		}
	})
}

func TestVisibleTextOmitsHiddenElements(t *testing.T) {
	page := `<title>A&B</title><style>no {}</style><script>var no = "<p>"</script>` +
		`<p>one<br>two<noscript>no</noscript></p>`
	got := strings.Join(strings.Fields(visibleText([]byte(page))), " ")
	if want := "A&B one two"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
