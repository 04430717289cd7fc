package gateway_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"

	"intray/infra/gateway"
)

// A request without a presigned URL's parameters does not reach MinIO.
func ExampleNew() {
	g := gateway.New(gateway.Config{
		Upstream: &url.URL{Scheme: "http", Host: "127.0.0.1:9000"},
		Bucket:   "intray",
	})
	const object = "/intray/documents/0123456789/01234567-89ab-7def-8123-456789abcdef"
	answer := httptest.NewRecorder()
	g.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, object, nil))
	fmt.Println(answer.Code)
	fmt.Println(answer.Body)
	// Output:
	// 403
	// <?xml version="1.0" encoding="UTF-8"?>
	// <Error><Code>AccessDenied</Code><Message>A presigned URL is needed.</Message></Error>
}
