package buildinfo

import (
	"reflect"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestDescribe(t *testing.T) {
	date := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	const hash = "0427b53c0c55569e20c1d7ee53cb6e66cc717708"
	checkout := &debug.BuildInfo{
		Main: debug.Module{Version: "v1.2.3+dirty"},
		Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: hash},
			{Key: "vcs.time", Value: "2026-03-04T05:06:07Z"},
			{Key: "vcs.modified", Value: "true"},
		},
	}
	for name, c := range map[string]struct {
		recorded *debug.BuildInfo
		linked   [3]string // version, commit and its date
		want     Info
	}{
		"a checkout": {
			recorded: checkout,
			want:     Info{Version: "v1.2.3+dirty", Commit: hash, CommitDate: &date, Modified: true},
		},
		"nothing recorded": {
			recorded: &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}},
			want:     Info{Version: "unknown", Commit: "unknown"},
		},
		"the linker's flags": {
			recorded: new(debug.BuildInfo),
			linked:   [3]string{"v2.0.0", "abc", "2026-03-04T06:06:07+01:00"},
			want:     Info{Version: "v2.0.0", Commit: "abc", CommitDate: &date},
		},
		"a date that cannot be read": {
			recorded: new(debug.BuildInfo),
			linked:   [3]string{"v2.0.0", "abc", "yesterday"},
			want:     Info{Version: "v2.0.0", Commit: "abc"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			version, commit, commitDate = c.linked[0], c.linked[1], c.linked[2]
			t.Cleanup(func() { version, commit, commitDate = "", "", "" })
			c.want.GoVersion = runtime.Version()
			c.want.Platform = runtime.GOOS + "/" + runtime.GOARCH
			if got := describe(c.recorded); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}
