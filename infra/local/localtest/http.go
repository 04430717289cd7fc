package localtest

import (
	"io"
	"net/http"
	"testing"
)

// Send sends the request and returns the status, the headers and the body of the response. It fails
// the test if there is no complete response.
func Send(t testing.TB, r *http.Request) (int, http.Header, string) {
	t.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(body)
}
