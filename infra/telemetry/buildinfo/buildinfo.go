// Package buildinfo describes the build of the running program. The Go toolchain records the
// version and the commit when it builds in a git checkout. A build without a checkout, such as the
// build of the container image, sets version, commit and commitDate with the linker flag -X (see
// Dockerfile).
package buildinfo

import (
	"cmp"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// These variables can be set by the linker. They take precedence over the values that the toolchain
// recorded.
var version, commit, commitDate string

// unknown is the version and the commit of a build that recorded none, such as that of `go run`.
const unknown = "unknown"

// Info describes a build.
type Info struct {
	// Version is the version of the module: a tag, or a pseudo-version with the commit's date
	// and hash. It ends in "+dirty" if the checkout was modified. It is "unknown" if the build
	// recorded none.
	Version string `json:"version"`
	// Commit is the hash of the commit, or "unknown".
	Commit string `json:"commit"`
	// CommitDate is the time of the commit, or nil if it is unknown.
	CommitDate *time.Time `json:"commit_date"`
	// Modified reports whether the checkout differed from the commit.
	Modified bool `json:"modified"`
	// GoVersion is the version of the Go toolchain, such as "go1.26.0".
	GoVersion string `json:"go_version"`
	// Platform is the operating system and the architecture, such as "linux/amd64".
	Platform string `json:"platform"`
}

// Read returns the description of the running program.
func Read() Info {
	recorded, ok := debug.ReadBuildInfo()
	if !ok {
		recorded = new(debug.BuildInfo)
	}
	return describe(recorded)
}

func describe(recorded *debug.BuildInfo) Info {
	settings := make(map[string]string, len(recorded.Settings))
	for _, s := range recorded.Settings {
		settings[s.Key] = s.Value
	}
	moduleVersion := recorded.Main.Version
	if moduleVersion == "(devel)" {
		moduleVersion = ""
	}
	info := Info{
		Version:   cmp.Or(version, moduleVersion, unknown),
		Commit:    cmp.Or(commit, settings["vcs.revision"], unknown),
		Modified:  settings["vcs.modified"] == "true",
		GoVersion: runtime.Version(),
		Platform:  runtime.GOOS + "/" + runtime.GOARCH,
	}
	date, err := time.Parse(time.RFC3339, cmp.Or(commitDate, settings["vcs.time"]))
	if err == nil {
		date = date.UTC()
		info.CommitDate = &date
	}
	return info
}

// Metric returns the gauge intray_build_info, which is always 1. Its labels describe the
// running program.
func Metric() prometheus.Collector {
	info := Read()
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "intray_build_info",
		Help: "Always 1; the labels are the version, the commit and the Go version of the program.",
		ConstLabels: prometheus.Labels{
			"version": info.Version, "commit": info.Commit, "goversion": info.GoVersion,
		},
	})
	gauge.Set(1)
	return gauge
}
