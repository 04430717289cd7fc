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
	f.Add("PUT", path+"?"+goodQuery+"&partNumber=1&uploadId=YWJj", "Content-Length", "5")
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
			ofPart := key == "partNumber" || key == "uploadId"
			if len(values) != 1 || (!strings.HasPrefix(key, "X-Amz-") && !strings.HasPrefix(key, "response-content-") && !ofPart) {
				t.Errorf("parameter %q: %q passed", key, values)
			}
			if ofPart && (method == http.MethodGet || method == http.MethodHead || !query.Has("partNumber") || !query.Has("uploadId")) {
				t.Errorf("%s with parameter %q: %q passed", method, key, values)
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

// TestCheck changes one thing at a time in a request that passes.
func TestCheck(t *testing.T) {
	const path = "/docs/documents/0123456789/01234567-89ab-7def-8123-456789abcdef"
	header := func(name string, values ...string) func(r *http.Request) {
		return func(r *http.Request) { r.Header[name] = values }
	}
	query := func(old, replacement string) func(r *http.Request) {
		return func(r *http.Request) { r.RequestURI = path + "?" + strings.Replace(goodQuery, old, replacement, 1) }
	}
	signedChecksum := func(values ...string) func(r *http.Request) {
		return func(r *http.Request) {
			query("=host", "=host%3Bx-amz-checksum-sha256")(r)
			r.Header["X-Amz-Checksum-Sha256"] = values
		}
	}
	const partQuery = "partNumber=1&uploadId=YWJj-_"
	parted := func(r *http.Request) { r.RequestURI = path + "?" + goodQuery + "&" + partQuery }
	preflight := func(method, origin string) func(r *http.Request) {
		return func(r *http.Request) {
			r.Method, r.ContentLength = http.MethodOptions, 0
			r.Header = http.Header{"Access-Control-Request-Method": {method}}
			if origin != "" {
				r.Header.Set("Origin", origin)
			}
		}
	}
	for name, test := range map[string]struct {
		change func(r *http.Request)
		status int // 0: passes
	}{
		"as it is":                  {func(*http.Request) {}, 0},
		"download":                  {func(r *http.Request) { r.Method, r.ContentLength, r.Header = "GET", 0, http.Header{} }, 0},
		"download of a name":        {query("X-Amz-Date=", "response-content-disposition=a%3B%20b&response-content-type=c%2Fd&X-Amz-Date="), 0},
		"signed checksum":           {signedChecksum("abc="), 0},
		"signed checksum twice":     {signedChecksum("abc=", "def="), 403},
		"unsigned checksum":         {header("X-Amz-Checksum-Sha256", "abc="), 403},
		"bearer token":              {header("Authorization", "Bearer x"), 403},
		"proxy authorization":       {header("Proxy-Authorization", "Basic x"), 403},
		"an X-Amz header":           {header("X-Amz-Acl", "public-read"), 403},
		"an X-Amz header in lower":  {header("x-amz-acl", "public-read"), 403},
		"an X-Minio header":         {header("X-Minio-Force-Delete", "true"), 403},
		"no query":                  {func(r *http.Request) { r.RequestURI = path }, 403},
		"no signature":              {query("X-Amz-Signature=s", "X-Amz-Signature="), 403},
		"no credential":             {query("X-Amz-Credential=a%2Fb&", ""), 403},
		"other algorithm":           {query("HMAC-SHA256", "ECDSA-P256-SHA256"), 403},
		"unknown parameter":         {query("X-Amz-Date=d", "X-Amz-Date=d&acl"), 403},
		"security token":            {query("X-Amz-Date=d", "X-Amz-Date=d&X-Amz-Security-Token=x"), 403},
		"signed header as a query":  {query("X-Amz-Date=d", "X-Amz-Date=d&if-none-match=*"), 403},
		"parameter in another case": {query("X-Amz-Date=d", "x-amz-date=d"), 403},
		"parameter twice":           {query("X-Amz-Date=d", "X-Amz-Date=d&X-Amz-Date=d"), 403},
		"empty pair":                {query("X-Amz-Date=d", "X-Amz-Date=d&"), 403},
		"semicolon":                 {query("X-Amz-Date=d", "X-Amz-Date=d;acl=1"), 403},
		"bad escape":                {query("X-Amz-Date=d", "X-Amz-Date=%zz"), 403},
		"other path":                {func(r *http.Request) { r.RequestURI = "/docs/?" + goodQuery }, 403},
		"post":                      {func(r *http.Request) { r.Method = "POST" }, 405},
		"delete":                    {func(r *http.Request) { r.Method = "DELETE" }, 405},
		"connect":                   {func(r *http.Request) { r.Method = "CONNECT" }, 405},
		"download with a body":      {func(r *http.Request) { r.Method = "GET" }, 403},
		"chunks":                    {func(r *http.Request) { r.TransferEncoding = []string{"chunked"} }, 411},
		"unknown length":            {func(r *http.Request) { r.ContentLength = -1 }, 411},
		"trailers":                  {func(r *http.Request) { r.Trailer = http.Header{"X-Amz-Checksum-Crc32": nil} }, 411},
		"no length":                 {func(r *http.Request) { r.ContentLength, r.Header = 0, http.Header{} }, 411},
		"preflight":                 {preflight("PUT", "https://app.test"), 0},
		"preflight without origin":  {preflight("PUT", ""), 403},
		"preflight for delete":      {preflight("DELETE", "https://app.test"), 403},
		"part":                      {query("X-Amz-Date=d", partQuery+"&X-Amz-Date=d"), 0},
		"the last part":             {query("X-Amz-Date=d", "X-Amz-Date=d&partNumber=10000&uploadId=YWJj"), 0},
		"part beyond the last":      {query("X-Amz-Date=d", "X-Amz-Date=d&partNumber=10001&uploadId=YWJj"), 403},
		"part 0":                    {query("X-Amz-Date=d", "X-Amz-Date=d&partNumber=0&uploadId=YWJj"), 403},
		"part -1":                   {query("X-Amz-Date=d", "X-Amz-Date=d&partNumber=-1&uploadId=YWJj"), 403},
		"part +1":                   {query("X-Amz-Date=d", "X-Amz-Date=d&partNumber=%2B1&uploadId=YWJj"), 403},
		"part 01":                   {query("X-Amz-Date=d", "X-Amz-Date=d&partNumber=01&uploadId=YWJj"), 403},
		"part without a number":     {query("X-Amz-Date=d", "X-Amz-Date=d&partNumber=&uploadId=YWJj"), 403},
		"part of no upload":         {query("X-Amz-Date=d", "X-Amz-Date=d&partNumber=1"), 403},
		"part of an empty upload":   {query("X-Amz-Date=d", "X-Amz-Date=d&partNumber=1&uploadId="), 403},
		"part of a path":            {query("X-Amz-Date=d", "X-Amz-Date=d&partNumber=1&uploadId=..%2Fx"), 403},
		"part number twice":         {query("X-Amz-Date=d", partQuery+"&X-Amz-Date=d&partNumber=2"), 403},
		"upload twice":              {query("X-Amz-Date=d", partQuery+"&X-Amz-Date=d&uploadId=ZZZZ"), 403},
		"upload without a part":     {query("X-Amz-Date=d", "X-Amz-Date=d&uploadId=YWJj"), 403},
		"a new upload":              {query("X-Amz-Date=d", "X-Amz-Date=d&uploads="), 403},
		"part with a name":          {query("X-Amz-Date=d", partQuery+"&X-Amz-Date=d&response-content-type=a"), 403},
		"part copied":               {func(r *http.Request) { parted(r); r.Header.Set("X-Amz-Copy-Source", "/docs/x") }, 403},
		"part copied in a range":    {func(r *http.Request) { parted(r); r.Header.Set("X-Amz-Copy-Source-Range", "bytes=0-1") }, 403},
		"part read":                 {func(r *http.Request) { parted(r); r.Method, r.ContentLength, r.Header = "GET", 0, http.Header{} }, 403},
		"part looked at":            {func(r *http.Request) { parted(r); r.Method, r.ContentLength, r.Header = "HEAD", 0, http.Header{} }, 403},
		"upload completed":          {func(r *http.Request) { parted(r); r.Method = "POST" }, 405},
		"upload dropped":            {func(r *http.Request) { parted(r); r.Method = "DELETE" }, 405},
		"preflight of a part":       {func(r *http.Request) { preflight("PUT", "https://app.test")(r); parted(r) }, 0},
		"preflight of its reading":  {func(r *http.Request) { preflight("GET", "https://app.test")(r); parted(r) }, 403},
	} {
		t.Run(name, func(t *testing.T) {
			r := &http.Request{
				Method: http.MethodPut, RequestURI: path + "?" + goodQuery, ContentLength: 5, Header: http.Header{"Content-Length": {"5"}},
			}
			test.change(r)
			status := 0
			if refused := check(r, "docs"); refused != nil {
				status = refused.status
			}
			if status != test.status {
				t.Errorf("got %d, want %d", status, test.status)
			}
		})
	}
}
