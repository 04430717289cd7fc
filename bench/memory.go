package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// watchMemory calls resident at each interval until the function that it returns is called, which
// returns the largest of the values in MiB.
func watchMemory(interval time.Duration, resident func() int64) (stop func() float64) {
	end := make(chan struct{})
	var most int64
	var watching sync.WaitGroup
	watching.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			most = max(most, resident())
			select {
			case <-end:
				return
			case <-ticker.C:
			}
		}
	})
	return sync.OnceValue(func() float64 {
		close(end)
		watching.Wait()
		return float64(most) / (1 << 20)
	})
}

// resident returns a process's resident memory in bytes, or 0 where that cannot be read
// (proc_pid_statm(5): the second field, in pages).
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

// residentTree returns the resident memory of a process and its descendants.
func residentTree(pid int) int64 {
	total := resident(pid)
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // the pattern is sound
	for _, task := range tasks {
		children, _ := os.ReadFile(task) // a thread that has ended has none
		for child := range strings.FieldsSeq(string(children)) {
			if id, err := strconv.Atoi(child); err == nil {
				total += residentTree(id)
			}
		}
	}
	return total
}

// loadAverage returns that of the last minute, or 0 where there is none.
func loadAverage() float64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	load, _ := strconv.ParseFloat(strings.Fields(string(text) + " 0")[0], 64)
	return load
}
