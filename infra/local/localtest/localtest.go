// Package localtest gives tests real servers: a database, a NATS server and a bucket of
// their own each, on servers that are set up by the same code as those of `intray up`.
//
// PostgreSQL, MinIO and the NATS that MinIO talks to are shared by all test processes of
// one `go test` run. The first process that needs them starts a keeper: its own binary
// again, detached, in another role. The keeper ends the servers as soon as the `go test`
// that began it is gone, or when nobody has used them for a while.
//
// Every package that uses it must let it look at its role first:
//
//	func TestMain(m *testing.M) { localtest.Main(m) }
//
// or, where TestMain does something else too, such as goleak.VerifyTestMain, call [RunHelperProcess]
// before that.
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
	roleVariable   = "INTRAY_LOCALTEST_ROLE"   // what this process is to be: a keeper, NATS, or (empty) a test
	folderVariable = "INTRAY_LOCALTEST_FOLDER" // the keeper's folder
)

var roleSeen bool

// Main runs the package's tests, or the keeper or NATS if this process is to be one. It
// does not return.
func Main(m *testing.M) {
	RunHelperProcess()
	os.Exit(m.Run())
}

// RunHelperProcess returns if this process is to run tests; in a process that is to be the keeper or
// NATS it does not return.
func RunHelperProcess() {
	roleSeen = true
	role := os.Getenv(roleVariable)
	if role == "" {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	var err error
	switch role {
	case "keeper":
		err = keep(ctx, os.Getenv(folderVariable))
	case "nats":
		err = local.RunNATS(ctx, os.Args[len(os.Args)-1])
	default:
		err = fmt.Errorf("%s is %q", roleVariable, role)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
