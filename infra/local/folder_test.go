package local

import "testing"

func TestCheckSpace(t *testing.T) {
	if err := checkSpace(t.TempDir(), 1, "a test"); err != nil {
		t.Errorf("1 byte: got error %v, want none", err)
	}
	if err := checkSpace(t.TempDir(), 1<<62, "a test"); err == nil {
		t.Error("4 EiB: got no error, want one")
	}
}

func TestDefaultDir(t *testing.T) {
	for _, c := range []struct {
		uid             int
		xdg, home, want string
	}{
		{0, "/x", "/root", "/var/lib/intray"},
		{1000, "", "/home/a", "/home/a/.local/share/intray"},
		{1000, "/x", "/home/a", "/x/intray"},
		{1000, "x", "/home/a", "/home/a/.local/share/intray"},
	} {
		if got := DefaultDir(c.uid, c.xdg, c.home); got != c.want {
			t.Errorf("DefaultDir(%d, %q, %q) is %s, want %s", c.uid, c.xdg, c.home, got, c.want)
		}
	}
}
