package local

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// checkListener returns an error unless all sockets that listen on a TCP port belong to this
// process's user. It protects from a program of another user that answers in place of a server
// which cannot be verified otherwise.
func checkListener(port int) error {
	found := false
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(table)
		if err != nil {
			continue // without IPv6 there is no table
		}
		ours, others := listeners(string(text), port, strconv.Itoa(os.Geteuid()))
		if others {
			return fmt.Errorf("check port %d: a program of another user listens on it", port)
		}
		found = found || ours
	}
	if !found {
		return fmt.Errorf("check port %d: nothing listens on it", port)
	}
	return nil
}

// listeners reports whether a table like /proc/net/tcp contains sockets that listen on the port and
// belong to the user, or to others (see proc_net_tcp in the kernel's documentation).
func listeners(table string, port int, uid string) (ours, others bool) {
	const listening = "0A"
	suffix := fmt.Sprintf(":%04X", port)
	for line := range strings.Lines(table) {
		f := strings.Fields(line) // number, local address, remote address, state, …, user
		if len(f) < 8 || f[3] != listening || !strings.HasSuffix(f[1], suffix) {
			continue
		}
		ours = ours || f[7] == uid
		others = others || f[7] != uid
	}
	return ours, others
}
