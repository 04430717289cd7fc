package gateway_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"

	"intray/infra/gateway"
)

// The gateway refuses a request without the parameters of a presigned URL.
func ExampleNew() {
	g := gateway.New(gateway.Config{
		Upstream: &url.URL{Scheme: "http", Host: "127.0.0.1:9000"},
		Bucket:   "intray",
	})
	const object = "/intray/documents/0123456789/01234567-89ab-7def-8123-456789abcdef"
	response := httptest.NewRecorder()
	g.ServeHTTP(response, httptest.NewRequest(http.MethodGet, object, nil))
	fmt.Println(response.Code)
	fmt.Println(response.Body)
	// Output:
	// 403
	// <?xml version="1.0" encoding="UTF-8"?>
	// <Error><Code>AccessDenied</Code><Message>The request requires a presigned URL.</Message></Error>
}
