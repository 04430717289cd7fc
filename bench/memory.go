package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// watchMemory calls resident at each interval until stop is called. stop returns the largest value
// in MiB.
func watchMemory(interval time.Duration, resident func() int64) (stop func() float64) {
	done := make(chan struct{})
	var peak int64
	var watching sync.WaitGroup
	watching.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			peak = max(peak, resident())
			select {
			case <-done:
				return
			case <-ticker.C:
			}
		}
	})
	return sync.OnceValue(func() float64 {
		close(done)
		watching.Wait()
		return float64(peak) / (1 << 20)
	})
}

// resident returns the resident memory of a process in bytes, or 0 if it cannot be read. It is the
// second field of /proc/PID/statm, in pages (see proc_pid_statm(5)).
func resident(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// residentTree returns the resident memory of a process and its descendants in bytes.
func residentTree(pid int) int64 {
	total := resident(pid)
	for _, child := range children(pid) {
		total += residentTree(child)
	}
	return total
}

// loadAverage returns the system's load average over the last minute, or 0 if it cannot be read.
func loadAverage() float64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	load, _ := strconv.ParseFloat(strings.Fields(string(text) + " 0")[0], 64)
	return load
}
