package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clockTicks is the number of clock ticks per second in /proc/PID/stat. It is 100 on every
// architecture that Go supports (USER_HZ in Linux's include/asm-generic/param.h).
const clockTicks = 100

// processorTime returns the processor time that a process and its descendants have used, or 0 if it
// cannot be read. Descendants that have ended are included if their parents have waited for them.
func processorTime(pid int) time.Duration {
	var total time.Duration
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The second field, the name in parentheses, may contain spaces. The fields 14 to 17 are the times
	// in user and kernel mode of the process and of its children that have ended (proc_pid_stat(5)).
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	const first = 14 - 3
	if len(fields) < first+4 {
		return 0
	}
	for _, field := range fields[first : first+4] {
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0
		}
		total += time.Duration(ticks) * time.Second / clockTicks
	}
	for _, child := range children(pid) {
		total += processorTime(child)
	}
	return total
}

// children returns the ids of the children of a process, or none if they cannot be read.
func children(pid int) (ids []int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // the pattern is valid
	for _, task := range tasks {
		text, _ := os.ReadFile(task) // fails if the thread has ended
		for child := range strings.FieldsSeq(string(text)) {
			if id, err := strconv.Atoi(child); err == nil {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// ownProcessorTime returns the processor time that this process has used.
func ownProcessorTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
