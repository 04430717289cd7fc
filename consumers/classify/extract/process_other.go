//go:build !unix

package extract

import "os/exec"

// setProcessGroup does nothing on systems without process groups. Only cmd itself is killed there.
func setProcessGroup(*exec.Cmd) {}
