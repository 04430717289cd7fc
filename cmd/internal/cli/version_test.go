package cli

import (
	"strings"
	"testing"
	"time"

	"intray/infra/telemetry/buildinfo"
)

func TestPrintVersion(t *testing.T) {
	date := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for name, c := range map[string]struct {
		info buildinfo.Info
		want string
	}{
		"a modified checkout": {
			buildinfo.Info{
				Version: "v1.2.3+dirty", Commit: "0427b53", CommitDate: &date, Modified: true,
				GoVersion: "go1.26.0", Platform: "linux/amd64",
			},
			`intray       v1.2.3+dirty
commit       0427b53 (modified)
commit date  2026-03-04T05:06:07Z
go           go1.26.0
platform     linux/amd64
`,
		},
		"nothing recorded": {
			buildinfo.Info{
				Version: "unknown", Commit: "unknown", GoVersion: "go1.26.0", Platform: "linux/arm64",
			},
			`intray       unknown
commit       unknown
commit date  unknown
go           go1.26.0
platform     linux/arm64
`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			if err := printVersion(&out, "intray", c.info); err != nil {
				t.Fatal(err)
			}
			if out.String() != c.want {
				t.Errorf("got\n%s\nwant\n%s", &out, c.want)
			}
		})
	}
}
