package api_test

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"go.uber.org/goleak"

	"intray/api"
	"intray/infra/local/localtest"
)

func TestMain(m *testing.M) {
	localtest.RunHelperProcess()
	flag.Parse()
	// These goroutines are not leaks: those of the servers, which the test processes share and which
	// outlive this process, and those of idle connections of the clients that create buckets.
	ignored := []goleak.Option{
		goleak.IgnoreAnyFunction("os/exec.(*Cmd).Wait"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
	}
	goleak.VerifyTestMain(m, append(ignored, goleak.Cleanup(func(code int) {
		if code == 0 && allTestsRun() {
			code = checkCoverage()
		}
		os.Exit(code)
	}))...)
}

// allTestsRun reports whether no flag restricts the run to some of the tests.
func allTestsRun() bool {
	for _, name := range []string{"test.run", "test.skip", "test.list", "test.fuzz"} {
		if flag.Lookup(name).Value.String() != "" {
			return false
		}
	}
	return true
}

// covered records what all tests together have received: the statuses of each operation, such as
// "GetMe 200", and the problem codes.
var covered = struct {
	sync.Mutex
	responses map[string]bool
	codes     map[string]bool
}{responses: map[string]bool{}, codes: map[string]bool{}}

// checkCoverage returns 0 if the tests have received a successful response of every operation of
// the contract, and every problem code. Otherwise it returns 1.
func checkCoverage() (code int) {
	contract := loadContract()
	missing := func(format string, args ...any) {
		code = 1
		fmt.Printf("no test receives "+format+"\n", args...)
	}
	for path, item := range contract.Paths.Map() {
		for method, op := range item.Operations() {
			for status := range op.Responses.Map() {
				n, err := strconv.Atoi(status)
				success := err == nil && n < http.StatusBadRequest
				if success && !covered.responses[op.OperationID+" "+status] {
					missing("status %s from %s %s", status, method, path)
				}
			}
		}
	}
	for _, c := range contract.Components.Schemas["ProblemCode"].Value.Enum {
		if !covered.codes[c.(string)] {
			missing("the problem code %s", c)
		}
	}
	return code
}

var loadContract = sync.OnceValue(func() *openapi3.T {
	contract, err := openapi3.NewLoader().LoadFromData(api.Contract)
	if err != nil {
		panic(err)
	}
	return contract
})
