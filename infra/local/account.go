package local

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// An account is whom a process runs as. A nil account is whoever the starter is.
type account struct {
	name     string
	uid, gid uint32
	// capabilities are kept over the change of user; see reach.
	capabilities []uintptr
}

// serverAccounts are the users that PostgreSQL may run as when the starter is root, best
// first. It refuses to run as root, and needs a user with a passwd entry.
var serverAccounts = []string{"postgres", "nobody", "daemon", "www-data"}

// unprivileged returns nil unless the starter is root, and else the first of serverAccounts
// that exists.
func unprivileged() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range serverAccounts {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if uidErr != nil || gidErr != nil || uid == 0 {
			continue
		}
		return &account{name: name, uid: uint32(uid), gid: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("PostgreSQL does not run as root and none of the users %s exists: start as another user",
		strings.Join(serverAccounts, ", "))
}

// reach makes sure that the account can pass to the folder, which the starter made for it.
//
// It may lie below a folder that only root may pass: /root is 0700, and so is what mktemp
// -d makes. Then the account's processes keep one capability over the change of user (an
// ambient one, for it must survive execve): CAP_DAC_READ_SEARCH lets them pass and read any
// folder, CAP_DAC_OVERRIDE also write, and is tried where only that is held. Neither is
// kept when it is not needed.
func (a *account) reach(folder string) error {
	if a == nil {
		return nil
	}
	var refused error
	for _, caps := range [][]uintptr{nil, {unix.CAP_DAC_READ_SEARCH}, {unix.CAP_DAC_OVERRIDE}} {
		with := &account{name: a.name, uid: a.uid, gid: a.gid, capabilities: caps}
		err := with.enter(folder)
		if err == nil {
			a.capabilities = caps
			return nil
		}
		if refused == nil {
			refused = err
		}
	}
	return fmt.Errorf("user %s, whom PostgreSQL must run as since you are root, cannot reach its files (%w): "+
		"choose a data folder whose parents everybody may pass, such as /var/lib/intray, or start as another user",
		a.name, refused)
}

// reachPrograms makes sure that the account can run the programs. No capability helps here:
// initdb asks access(2), which leaves them out of account.
func (a *account) reachPrograms(p programs) error {
	if a == nil {
		return nil
	}
	without := &account{name: a.name, uid: a.uid, gid: a.gid}
	if err := without.enter(append([]string{p.bin}, p.libraries...)...); err != nil {
		return fmt.Errorf("user %s, whom PostgreSQL must run as since you are root, cannot reach its programs (%w): "+
			"keep them where everybody may pass, or start as another user", a.name, err)
	}
	return nil
}

// enter tries to change into each of the folders as the account.
func (a *account) enter(folders ...string) error {
	cmd := exec.Command("/bin/sh", append([]string{"-c", `for d; do cd "$d" || exit 1; done`, "sh"}, folders...)...)
	cmd.Env, cmd.Dir = []string{}, "/"
	a.apply(cmd)
	out, err := cmd.CombinedOutput()
	if text := strings.TrimSpace(string(out)); err != nil && text != "" {
		return errors.New(text)
	}
	return err
}

// apply makes cmd run as the account.
func (a *account) apply(cmd *exec.Cmd) {
	if a == nil {
		return
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	cmd.SysProcAttr.AmbientCaps = a.capabilities
	if len(a.capabilities) > 0 && cmd.Path != "/bin/sh" {
		// Between the change of user and the first execve the capability is permitted but not yet
		// effective, so neither the working directory nor the program may need it. The shell, which
		// everybody can reach, has it in effect and becomes the program.
		cmd.Args = append([]string{"sh", "-c", `cd "$0" && exec "$@"`, cmd.Dir, cmd.Path}, cmd.Args[1:]...)
		cmd.Path, cmd.Dir = "/bin/sh", "/"
	}
}

// own gives the folder, which must exist, to the account.
func (a *account) own(folder string) error {
	if a == nil {
		return nil
	}
	return os.Chown(folder, int(a.uid), int(a.gid))
}
