package local

import (
	"os"
	"path/filepath"
	"testing"
	"unicode"
)

func TestState(t *testing.T) {
	dir := t.TempDir()
	first, err := loadState(dir)
	if err != nil {
		t.Fatal(err)
	}
	ports := map[int]string{}
	for _, name := range []string{"a", "b", "c"} {
		port, err := first.port(t.Context(), name, 0)
		if err != nil || ports[port] != "" {
			t.Errorf("got port %d and error %v for %s, want a port that no other name has",
				port, err, name)
		}
		ports[port] = name
	}
	secret, err := first.secret("key")
	if err != nil {
		t.Fatal(err)
	}
	t.Run("secrets are long and begin with a letter", func(t *testing.T) {
		if len(secret) < 52 || !unicode.IsLetter(rune(secret[0])) {
			t.Errorf("got secret %q, want at least 52 characters, the first a letter", secret)
		}
	})
	t.Run("secrets differ", func(t *testing.T) {
		other, err := first.secret("other")
		if err != nil || other == secret {
			t.Errorf("got secret %q and error %v, want one that is not %q", other, err, secret)
		}
	})
	t.Run("the file has mode 0600", func(t *testing.T) {
		info, err := os.Stat(filepath.Join(dir, secretsFile))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode(); got != 0o600 {
			t.Errorf("got mode %v, want 0600", got)
		}
	})
	second, err := loadState(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("ports are stored", func(t *testing.T) {
		for port, name := range ports {
			if got, err := second.port(t.Context(), name, 0); err != nil || got != port {
				t.Errorf("got port %d and error %v for %s, want port %d", got, err, name, port)
			}
		}
	})
	t.Run("secrets are stored", func(t *testing.T) {
		if got, err := second.secret("key"); err != nil || got != secret {
			t.Errorf("got secret %q and error %v, want %q", got, err, secret)
		}
	})
	// A damaged file must not be treated as a missing one, because all passwords would change.
	t.Run("a damaged file is an error", func(t *testing.T) {
		if err := os.WriteFile(second.path, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := loadState(dir); err == nil {
			t.Error("got no error, want one")
		}
	})
}
