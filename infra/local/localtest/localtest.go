// Package localtest provides tests with real servers: each test gets a database, a NATS server and
// a bucket of its own, on servers that the code of `intray up` starts.
//
// All test processes of one `go test` run share PostgreSQL, MinIO and the NATS server that MinIO
// publishes to. The first process that needs them starts a daemon, which is its own binary,
// detached, with the environment variable INTRAY_LOCALTEST_ROLE set. The daemon ends the servers
// when the `go test` process has ended or when no test process has used them for a minute.
//
// Every package that uses localtest must give it the chance to run as the daemon:
//
//	func TestMain(m *testing.M) { localtest.Main(m) }
//
// A TestMain that does something else too, such as goleak.VerifyTestMain, calls [RunHelperProcess]
// first.
package localtest

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"intray/infra/local"
)

const (
	roleVariable   = "INTRAY_LOCALTEST_ROLE"   // roleDaemon, roleNATS, or empty in a test process
	folderVariable = "INTRAY_LOCALTEST_FOLDER" // the run's folder, for the daemon

	roleDaemon = "daemon"
	roleNATS   = "nats"
)

// mainCalled is set once RunHelperProcess was called.
var mainCalled bool

// Main runs the package's tests, or a helper process (see [RunHelperProcess]). It does not return.
func Main(m *testing.M) {
	RunHelperProcess()
	os.Exit(m.Run())
}

// RunHelperProcess runs the daemon or the NATS server and exits if this process was started as one
// of them. In a test process it returns immediately.
func RunHelperProcess() {
	mainCalled = true
	role := os.Getenv(roleVariable)
	if role == "" {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	var err error
	switch role {
	case roleDaemon:
		err = runDaemon(ctx, os.Getenv(folderVariable))
	case roleNATS:
		err = local.RunNATS(ctx, os.Args[len(os.Args)-1])
	default:
		err = fmt.Errorf("unknown %s %q", roleVariable, role)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
