package gateway

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

const goodQuery = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a%2Fb&X-Amz-Date=d&X-Amz-Expires=1&X-Amz-SignedHeaders=host&X-Amz-Signature=s"

func TestOnlyObjectPaths(t *testing.T) {
	for path, want := range map[string]bool{
		"/docs/documents/0123456789/01234567-89ab-7def-8123-456789abcdef":         true,
		"/docs/documents/0123456789/01234567-89AB-7def-8123-456789abcdef":         false,
		"/docs/documents/0123456789/01234567-89ab-7def-8123-456789abcdef/":        false,
		"/docs/documents/0123456789/01234567-89ab-7def-8123-456789abcde":          false,
		"/docs/documents/0123456789/01234567089ab-7def-8123-456789abcdef":         false,
		"/docs/documents/012345678g/01234567-89ab-7def-8123-456789abcdef":         false,
		"//docs/documents/0123456789/01234567-89ab-7def-8123-456789abcdef":        false,
		"/docs/./documents/0123456789/01234567-89ab-7def-8123-456789abcdef":       false,
		"/other/documents/0123456789/01234567-89ab-7def-8123-456789abcdef":        false,
		"/docs/null-user/0123456789/01234567-89ab-7def-8123-456789abcdef":         false,
		"/docs/documents%2F0123456789/01234567-89ab-7def-8123-456789abcdef":       false,
		"http://x/docs/documents/0123456789/01234567-89ab-7def-8123-456789abcdef": false,
		"/docs/documents/": false, "/docs": false, "/": false, "*": false, "": false,
	} {
		if got := isObjectPath(path, "docs"); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}

// FuzzCheck sends any request line and header. Whatever passes must be a document's path with each parameter once and
// all of a presigned URL's, by a reading of the request that shares nothing with the filter.
func FuzzCheck(f *testing.F) {
	path := "/docs/documents/0123456789/01234567-89ab-7def-8123-456789abcdef"
	f.Add("GET", path+"?"+goodQuery, "Range", "bytes=0-1")
	f.Add("GET", path+"?"+goodQuery+"&X-Amz-Date=e", "X-Amz-Date", "e")
	f.Add("HEAD", path+"?"+goodQuery+"&response-content-type=a%2fb", "x-amz-checksum-sha256", "a")
	f.Add("GET", path+"?"+goodQuery+"&list-type=2", "x-minio-force-delete", "true")
	f.Add("OPTIONS", path, "Access-Control-Request-Method", "PUT")
	allowed := regexp.MustCompile(`^/docs/documents/[0-9a-f]{10}/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	f.Fuzz(func(t *testing.T, method, uri, name, value string) {
		r := &http.Request{Method: method, RequestURI: uri, Header: http.Header{http.CanonicalHeaderKey(name): {value}}}
		if check(r, "docs") != nil {
			return
		}
		parsed, err := url.ParseRequestURI(uri)
		if err != nil {
			t.Fatalf("%q passed: %v", uri, err)
		}
		if !allowed.MatchString(parsed.Path) || parsed.EscapedPath() != parsed.Path {
			t.Errorf("path %q passed", parsed.Path)
		}
		query, err := url.ParseQuery(parsed.RawQuery)
		if err != nil {
			t.Errorf("query %q passed: %v", parsed.RawQuery, err)
		}
		for key, values := range query {
			if len(values) != 1 || (!strings.HasPrefix(key, "X-Amz-") && !strings.HasPrefix(key, "response-content-")) {
				t.Errorf("parameter %q: %q passed", key, values)
			}
		}
		if method != http.MethodOptions && (query.Get("X-Amz-Signature") == "" || query.Get("X-Amz-Credential") == "") {
			t.Errorf("%s %q passed without a signature", method, uri)
		}
		switch lower := strings.ToLower(name); {
		case lower == "authorization", strings.HasPrefix(lower, "x-minio-"), strings.HasPrefix(lower, "x-amz-") && lower != "x-amz-checksum-sha256":
			t.Errorf("header %q passed", name)
		}
	})
}
