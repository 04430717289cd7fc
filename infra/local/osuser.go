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

// An osUser is the operating system user that a process runs as. A nil osUser is the user of the
// calling process.
type osUser struct {
	name     string
	uid, gid uint32
	// capabilities are kept across the change of user; see grantAccess.
	capabilities []uintptr
}

// serverUsers are the users that PostgreSQL may run as when the calling process is root, in order
// of preference. PostgreSQL refuses to run as root, and its user needs a passwd entry.
var serverUsers = []string{"postgres", "nobody", "daemon", "www-data"}

// postgresUser returns the user that PostgreSQL runs as: nil unless the calling process is root,
// otherwise the first of serverUsers that exists.
func postgresUser() (*osUser, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range serverUsers {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if uidErr != nil || gidErr != nil || uid == 0 {
			continue
		}
		return &osUser{name: name, uid: uint32(uid), gid: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("PostgreSQL cannot run as root, and none of the users %s exists: "+
		"run this command as another user", strings.Join(serverUsers, ", "))
}

// grantAccess makes sure that the user's processes can access the folder, which the calling process
// created for them.
//
// A parent of the folder may be closed to everybody but root: /root has mode 0700, and so have the
// folders that mktemp -d creates. The user's processes then keep one ambient capability, because
// only ambient capabilities survive execve. CAP_DAC_READ_SEARCH allows them to search and read
// every folder. CAP_DAC_OVERRIDE also allows writing and is used only if the calling process does
// not have CAP_DAC_READ_SEARCH. No capability is kept if none is needed.
func (u *osUser) grantAccess(folder string) error {
	if u == nil {
		return nil
	}
	var firstErr error
	for _, caps := range [][]uintptr{nil, {unix.CAP_DAC_READ_SEARCH}, {unix.CAP_DAC_OVERRIDE}} {
		candidate := &osUser{name: u.name, uid: u.uid, gid: u.gid, capabilities: caps}
		err := candidate.checkAccess(folder)
		if err == nil {
			u.capabilities = caps
			return nil
		}
		if firstErr == nil {
			firstErr = err
		}
	}
	return fmt.Errorf("user %s cannot access the data folder (%w), and PostgreSQL runs as that user "+
		"because this process is root: choose a data folder whose parent folders everybody can "+
		"search, such as /var/lib/intray, or run this command as another user", u.name, firstErr)
}

// checkPrograms returns an error unless the user can access the programs and their libraries.
// Capabilities do not help here: initdb uses access(2), which ignores them.
func (u *osUser) checkPrograms(p postgresPrograms) error {
	if u == nil {
		return nil
	}
	plain := &osUser{name: u.name, uid: u.uid, gid: u.gid}
	if err := plain.checkAccess(append([]string{p.bin}, p.libraries...)...); err != nil {
		return fmt.Errorf("user %s cannot access PostgreSQL's programs (%w), and PostgreSQL runs as "+
			"that user because this process is root: move the programs to a folder that everybody "+
			"can search, or run this command as another user", u.name, err)
	}
	return nil
}

// checkAccess runs a shell as the user that changes into each of the folders. It returns the
// shell's error message if one of them is not accessible.
func (u *osUser) checkAccess(folders ...string) error {
	const script = `for d; do cd "$d" || exit 1; done`
	cmd := exec.Command("/bin/sh", append([]string{"-c", script, "sh"}, folders...)...)
	cmd.Env, cmd.Dir = []string{}, "/"
	u.applyTo(cmd)
	out, err := cmd.CombinedOutput()
	if text := strings.TrimSpace(string(out)); err != nil && text != "" {
		return errors.New(text)
	}
	return err
}

// applyTo makes cmd run as the user.
func (u *osUser) applyTo(cmd *exec.Cmd) {
	if u == nil {
		return
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: u.uid, Gid: u.gid}
	cmd.SysProcAttr.AmbientCaps = u.capabilities
	if len(u.capabilities) > 0 && cmd.Path != "/bin/sh" {
		// Between the change of user and the first execve, the capability is permitted but not yet
		// effective. Neither the working directory nor the program may therefore depend on it. The
		// shell is accessible to everybody. The capability is effective once the shell runs, which
		// then changes the directory and executes the program.
		const script = `cd "$0" && exec "$@"`
		cmd.Args = append([]string{"sh", "-c", script, cmd.Dir, cmd.Path}, cmd.Args[1:]...)
		cmd.Path, cmd.Dir = "/bin/sh", "/"
	}
}

// chown makes the user the owner of the file or folder, which must exist.
func (u *osUser) chown(path string) error {
	if u == nil {
		return nil
	}
	return os.Chown(path, int(u.uid), int(u.gid))
}
