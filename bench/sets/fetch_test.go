package sets

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAFolderIsFilledWholeOrNotAtAll(t *testing.T) {
	parent := t.TempDir()
	folder := filepath.Join(parent, "set")
	broken := errors.New("the registry is away")
	fills := 0
	fill := func(err error) func(string) error {
		return func(part string) error {
			fills++
			return errors.Join(os.WriteFile(filepath.Join(part, "text"), nil, 0o600), err)
		}
	}
	if err := once(folder, fill(broken)); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
		t.Errorf("a failure leaves %v, %v", left, err)
	}
	for range 2 {
		if err := once(folder, fill(nil)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(folder, "text")); err != nil || fills != 2 {
		t.Errorf("filled %d times, %v", fills, err)
	}
}

func TestVisibleLeavesOutWhatNobodySees(t *testing.T) {
	page := `<title>A&B</title><style>no {}</style><script>var no = "<p>"</script><p>one<br>two<noscript>no</noscript></p>`
	if got, want := strings.Join(strings.Fields(visible([]byte(page))), " "), "A&B one two"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
