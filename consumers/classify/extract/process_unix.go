//go:build unix

package extract

import (
	"os/exec"
	"syscall"
)

// setProcessGroup makes cmd the leader of a process group that is killed as a whole when the
// context of cmd is done.
func setProcessGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
