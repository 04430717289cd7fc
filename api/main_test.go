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
	// The servers of the whole run, which outlive this process, and the idle
	// connections of the clients that make buckets there.
	others := []goleak.Option{
		goleak.IgnoreAnyFunction("os/exec.(*Cmd).Wait"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
	}
	goleak.VerifyTestMain(m, append(others, goleak.Cleanup(func(code int) {
		whole := flag.Lookup("test.run").Value.String() == "" && flag.Lookup("test.skip").Value.String() == "" &&
			flag.Lookup("test.list").Value.String() == "" && flag.Lookup("test.fuzz").Value.String() == ""
		if code == 0 && whole {
			code = checkSeen()
		}
		os.Exit(code)
	}))...)
}

// seen is what the whole run has met: operations with their status, and codes.
var seen = struct {
	sync.Mutex
	answers map[string]bool
	codes   map[string]bool
}{answers: map[string]bool{}, codes: map[string]bool{}}

// checkSeen fails the run if an operation's success or one of the codes was met
// by no test.
func checkSeen() (code int) {
	contract := loadContract()
	complain := func(format string, args ...any) {
		code = 1
		fmt.Printf("no test meets "+format+"\n", args...)
	}
	for path, item := range contract.Paths.Map() {
		for method, op := range item.Operations() {
			for status := range op.Responses.Map() {
				n, err := strconv.Atoi(status)
				if err == nil && n < http.StatusBadRequest && !seen.answers[op.OperationID+" "+status] {
					complain("%s %s answering %s", method, path, status)
				}
			}
		}
	}
	for _, c := range contract.Components.Schemas["ProblemCode"].Value.Enum {
		if !seen.codes[c.(string)] {
			complain("the code %s", c)
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
