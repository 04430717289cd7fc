package localtest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// A Process is a process on this machine. It is identified by its id and its start time, because
// the kernel reuses ids.
//
// The package reads only /proc/PID/stat and /proc/PID/cmdline, which are accessible to every
// process. Reading /proc/PID/environ or /proc/PID/cwd of another user's process requires
// CAP_SYS_PTRACE, which containers do not have by default.
type Process struct {
	PID    int
	parent int
	start  string // start time in clock ticks since boot
}

// FindProcess returns the process with the id pid and reports whether it exists. It reports that a
// zombie does not exist.
func FindProcess(pid int) (Process, bool) {
	fields := stat(pid)
	if fields == nil || fields[0] == "Z" {
		return Process{}, false
	}
	parent, err := strconv.Atoi(fields[1])
	return Process{PID: pid, parent: parent, start: fields[19]}, err == nil
}

// Descendants returns the children of the process with the id pid, their children, and so on,
// without zombies. Parents precede their children. It follows parent ids rather than process groups
// or sessions, because each of PostgreSQL's backends has its own session.
func Descendants(pid int) []Process {
	children := map[int][]Process{}
	entries, _ := filepath.Glob("/proc/[0-9]*") // fails only on a bad pattern
	for _, entry := range entries {
		id, err := strconv.Atoi(filepath.Base(entry))
		if err != nil {
			continue
		}
		if p, ok := FindProcess(id); ok {
			children[p.parent] = append(children[p.parent], p)
		}
	}
	all := children[pid]
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i].PID]...)
	}
	return all
}

// BecomeSubreaper makes this process a child subreaper until it ends: a descendant whose parent
// exits becomes a child of this process instead of init, so that [Descendants] still finds it.
func BecomeSubreaper() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become a child subreaper: %w", err)
	}
	return nil
}

// Alive reports whether the process is running or stopped. A zombie is not alive.
func (p Process) Alive() bool {
	now, ok := FindProcess(p.PID)
	return ok && now.start == p.start
}

// Stopped reports whether the process is stopped, as after SIGSTOP.
func (p Process) Stopped() bool {
	fields := stat(p.PID)
	return fields != nil && fields[0] == "T" && fields[19] == p.start
}

// String returns the process id and the command line.
func (p Process) String() string {
	command, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.PID))
	command = bytes.ReplaceAll(command, []byte{0}, []byte{' '})
	return fmt.Sprintf("%d %s", p.PID, bytes.TrimSpace(command))
}

// stat returns the fields of /proc/PID/stat, starting with the third, or nil if there is no such
// process. In the file, the third field is the state, the fourth the parent and the 22nd the start
// time.
func stat(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	// The second field is the program's name in parentheses. The name may itself contain spaces and
	// parentheses.
	var fields []string
	for field := range bytes.FieldsSeq(text[bytes.LastIndexByte(text, ')')+1:]) {
		fields = append(fields, string(field))
	}
	if len(fields) < 20 {
		return nil
	}
	return fields
}
