package local

import (
	"os"
	"path/filepath"
	"testing"
	"unicode"
)

func TestStateIsKept(t *testing.T) {
	dir := t.TempDir()
	first, err := loadState(dir)
	if err != nil {
		t.Fatal(err)
	}
	ports := map[int]string{}
	for _, name := range []string{"a", "b", "c"} {
		port, err := first.port(t.Context(), name, 0)
		if err != nil || ports[port] != "" {
			t.Errorf("port %d for %s, %v, another has it: %s", port, name, err, ports[port])
		}
		ports[port] = name
	}
	secret, err := first.secret("key")
	if err != nil || len(secret) < 52 || !unicode.IsLetter(rune(secret[0])) {
		t.Errorf("secret %q, %v, want 52 characters, a letter first", secret, err)
	}
	if other, _ := first.secret("other"); other == secret {
		t.Error("two secrets are the same")
	}
	if info, err := os.Stat(filepath.Join(dir, secretsFile)); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode of the secrets: %v, %v", info.Mode(), err)
	}
	second, err := loadState(dir)
	if err != nil {
		t.Fatal(err)
	}
	for port, name := range ports {
		if got, err := second.port(t.Context(), name, 0); err != nil || got != port {
			t.Errorf("port of %s is %d, %v, was %d", name, got, err, port)
		}
	}
	if got, err := second.secret("key"); err != nil || got != secret {
		t.Errorf("the secret changed, %v", err)
	}
	if err := os.WriteFile(second.path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadState(dir); err == nil {
		t.Error("damaged secrets were taken for none: every password would be a new one")
	}
}
