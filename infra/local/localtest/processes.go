package localtest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// A Process is a process of this machine. A later process with the same id is another one,
// because it began at another time.
//
// Everything that this package knows about processes is in /proc/PID/stat and
// /proc/PID/cmdline, which every process may read. /proc/PID/environ and /proc/PID/cwd of
// another user's process need CAP_SYS_PTRACE, which a container lacks.
type Process struct {
	PID    int
	parent int
	start  string // when it began, in clock ticks since boot
}

// FindProcess returns the process with that id. It returns false if there is none or if it
// is a zombie.
func FindProcess(pid int) (Process, bool) {
	fields := stat(pid)
	if fields == nil || fields[0] == "Z" {
		return Process{}, false
	}
	parent, err := strconv.Atoi(fields[1])
	return Process{PID: pid, parent: parent, start: fields[19]}, err == nil
}

// Descendants returns the processes below the one with that id, parents first, without
// zombies. It follows parents and not process groups or sessions, because each of
// PostgreSQL's backends has a session of its own.
func Descendants(pid int) []Process {
	below := map[int][]Process{}
	entries, _ := filepath.Glob("/proc/[0-9]*") // the only error is a bad pattern
	for _, entry := range entries {
		id, err := strconv.Atoi(filepath.Base(entry))
		if err != nil {
			continue
		}
		if p, ok := FindProcess(id); ok {
			below[p.parent] = append(below[p.parent], p)
		}
	}
	all := below[pid]
	for i := 0; i < len(all); i++ {
		all = append(all, below[all[i].PID]...)
	}
	return all
}

// BecomeSubreaper makes this process the parent of what its descendants leave behind when they end,
// so that [Descendants] still finds it. Init would be the parent otherwise. It holds until this
// process ends.
func BecomeSubreaper() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("adopt orphans: %w", err)
	}
	return nil
}

// Alive reports whether the process has not ended. A zombie has ended.
func (p Process) Alive() bool {
	now, ok := FindProcess(p.PID)
	return ok && now.start == p.start
}

// Stopped reports whether SIGSTOP holds the process.
func (p Process) Stopped() bool {
	fields := stat(p.PID)
	return fields != nil && fields[0] == "T" && fields[19] == p.start
}

// String returns the process's id and its command line.
func (p Process) String() string {
	command, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.PID))
	return fmt.Sprintf("%d %s", p.PID, bytes.TrimSpace(bytes.ReplaceAll(command, []byte{0}, []byte{' '})))
}

// stat returns the fields of /proc/PID/stat from the third one (the state) on, or nil if
// there is no such process. The fourth is the parent, the 22nd when the process began.
func stat(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	// The second field, the program's name in parentheses, may itself hold spaces and parentheses.
	var fields []string
	for field := range bytes.FieldsSeq(text[bytes.LastIndexByte(text, ')')+1:]) {
		fields = append(fields, string(field))
	}
	if len(fields) < 20 {
		return nil
	}
	return fields
}
