package main

import (
	"log/slog"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// limitMemory sets Go's memory limit to 90 % of the memory that the process's control group (its
// container) may use, less outside: the bytes that the process and its children use outside of Go's
// heap. At least half of the memory remains for the heap. Without a control group, or if GOMEMLIMIT
// is set, it changes nothing.
//
// Without this limit Go lets the heap grow to twice the size of what is in use, whatever the
// container allows, and the kernel ends the process.
func limitMemory(outside uint64, log *slog.Logger) {
	limit, err := memlimit.Set(memlimit.WithRatio(1), memlimit.WithProvider(
		func() (uint64, error) {
			limit, err := memlimit.FromCgroup()
			return goMemoryLimit(limit, outside), err
		}))
	if err != nil {
		log.Debug("no memory limit", "error", err)
		return
	}
	log.Debug("memory limit", "bytes", limit)
}

// goMemoryLimit returns Go's memory limit in bytes for a container with the given limit.
func goMemoryLimit(container, outside uint64) uint64 {
	usable := container - container/10
	return max(usable-min(outside, usable), container/2)
}
