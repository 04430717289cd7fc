package main_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"intray/infra/telemetry/buildinfo"
)

// The toolchain records the commit of a checkout. -buildvcs=true is the default if git is
// installed, but GOFLAGS may change it.
func TestVersionOfACheckout(t *testing.T) {
	head, err := exec.CommandContext(t.Context(), "git", "rev-parse", "HEAD").Output()
	if err != nil {
		t.Fatalf("find the commit of this checkout: %v", err)
	}
	program := buildProgram(t, "-buildvcs=true")
	got := versionOf(t, program)
	if want := strings.TrimSpace(string(head)); got.Commit != want {
		t.Errorf("got commit %s, want %s", got.Commit, want)
	}
	if got.Version == "unknown" || got.CommitDate == nil {
		t.Errorf("got version %s of %v, want both known", got.Version, got.CommitDate)
	}
	if want := runtime.Version(); got.GoVersion != want {
		t.Errorf("got Go version %s, want %s", got.GoVersion, want)
	}
	text, err := exec.CommandContext(t.Context(), program, "version").Output()
	if err != nil {
		t.Fatal(err)
	}
	expectText(t, string(text), got.Version, got.Commit, got.Platform)
}

// A container image is built without the .git directory, so Dockerfile passes its arguments to the
// linker.
func TestVersionOfAnImage(t *testing.T) {
	dockerfile, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	flags := regexp.MustCompile(`-ldflags="([^"]*)"`).FindStringSubmatch(string(dockerfile))
	if flags == nil {
		t.Fatal("Dockerfile has no -ldflags in double quotes")
	}
	arguments := map[string]string{
		"INTRAY_VERSION": "v9.8.7", "INTRAY_COMMIT": "c0ffee",
		"INTRAY_COMMIT_DATE": "2026-03-04T05:06:07Z",
	}
	given := os.Expand(strings.ReplaceAll(flags[1], "\\\n", ""), func(name string) string {
		if !strings.Contains(string(dockerfile), "ARG "+name+"\n") {
			t.Errorf("%s: Dockerfile uses it but does not declare it", name)
		}
		return arguments[name]
	})
	got := versionOf(t, buildProgram(t, "-buildvcs=false", "-ldflags="+given))
	if got.Version != "v9.8.7" || got.Commit != "c0ffee" || got.CommitDate == nil {
		t.Errorf("got %+v, want the arguments %v", got, arguments)
	}
}

// buildProgram builds intray with flags and returns its path.
func buildProgram(t *testing.T, flags ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "intray")
	args := slices.Concat([]string{"build", "-o", path}, flags, []string{"intray/cmd/intray"})
	if out, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return path
}

// versionOf returns what a program prints for "version --json".
func versionOf(t *testing.T, program string) (info buildinfo.Info) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program, "version", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &info); err != nil {
		t.Fatalf("parse %q: %v", out, err)
	}
	return info
}
