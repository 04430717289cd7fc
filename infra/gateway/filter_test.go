package gateway

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// validQuery has all parameters of a presigned URL.
const validQuery = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a%2Fb&X-Amz-Date=d" +
	"&X-Amz-Expires=1&X-Amz-SignedHeaders=host&X-Amz-Signature=s"

func TestIsObjectPath(t *testing.T) {
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
			t.Errorf("isObjectPath(%q): got %v, want %v", path, got, want)
		}
	}
}

// FuzzCheck checks any request line and header. If check accepts the request, it must have the path
// of a document, each parameter once, and all parameters of a presigned URL. The test parses the
// request with net/url instead of the filter's own functions.
func FuzzCheck(f *testing.F) {
	path := "/docs/documents/0123456789/01234567-89ab-7def-8123-456789abcdef"
	f.Add("GET", path+"?"+validQuery, "Range", "bytes=0-1")
	f.Add("GET", path+"?"+validQuery+"&X-Amz-Date=e", "X-Amz-Date", "e")
	f.Add("HEAD", path+"?"+validQuery+"&response-content-type=a%2fb", "x-amz-checksum-sha256", "a")
	f.Add("GET", path+"?"+validQuery+"&list-type=2", "x-minio-force-delete", "true")
	f.Add("OPTIONS", path, "Access-Control-Request-Method", "PUT")
	f.Add("PUT", path+"?"+validQuery+"&partNumber=1&uploadId=YWJj", "Content-Length", "5")
	f.Fuzz(func(t *testing.T, method, uri, name, value string) {
		header := http.Header{http.CanonicalHeaderKey(name): {value}}
		r := &http.Request{Method: method, RequestURI: uri, Header: header}
		if check(r, "docs") != nil {
			return
		}
		parsed, err := url.ParseRequestURI(uri)
		if err != nil {
			t.Fatalf("accepted the URL %q, which cannot be parsed: %v", uri, err)
		}
		if !documentPath.MatchString(parsed.Path) || parsed.EscapedPath() != parsed.Path {
			t.Errorf("accepted the path %q", parsed.Path)
		}
		query, err := url.ParseQuery(parsed.RawQuery)
		if err != nil {
			t.Errorf("accepted the query %q, which cannot be parsed: %v", parsed.RawQuery, err)
		}
		expectAllowedQuery(t, method, query)
		hasSignature := query.Get("X-Amz-Signature") != "" && query.Get("X-Amz-Credential") != ""
		if method != http.MethodOptions && !hasSignature {
			t.Errorf("accepted %s %q without a signature", method, uri)
		}
		switch lower := strings.ToLower(name); {
		case lower == "authorization",
			strings.HasPrefix(lower, "x-minio-"),
			strings.HasPrefix(lower, "x-amz-") && lower != "x-amz-checksum-sha256":
			t.Errorf("accepted the header %q", name)
		}
	})
}

var documentPath = regexp.MustCompile(
	`^/docs/documents/[0-9a-f]{10}/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// expectAllowedQuery fails the test unless the query has allowed parameters only, each once, and
// those of a part only together and in an upload.
func expectAllowedQuery(t *testing.T, method string, query url.Values) {
	for name, values := range query {
		isPart := name == "partNumber" || name == "uploadId"
		isAllowed := isPart || strings.HasPrefix(name, "X-Amz-") ||
			strings.HasPrefix(name, "response-content-")
		if len(values) != 1 || !isAllowed {
			t.Errorf("accepted the parameter %q with values %q", name, values)
		}
		isDownload := method == http.MethodGet || method == http.MethodHead
		hasBoth := query.Has("partNumber") && query.Has("uploadId")
		if isPart && (isDownload || !hasBoth) {
			t.Errorf("accepted %s with the parameter %q: %q", method, name, values)
		}
	}
}

// TestCheck changes one thing at a time in an upload that check accepts.
func TestCheck(t *testing.T) {
	const path = "/docs/documents/0123456789/01234567-89ab-7def-8123-456789abcdef"
	header := func(name string, values ...string) func(r *http.Request) {
		return func(r *http.Request) { r.Header[name] = values }
	}
	query := func(old, replacement string) func(r *http.Request) {
		return func(r *http.Request) {
			r.RequestURI = path + "?" + strings.Replace(validQuery, old, replacement, 1)
		}
	}
	signedChecksum := func(values ...string) func(r *http.Request) {
		return func(r *http.Request) {
			query("=host", "=host%3Bx-amz-checksum-sha256")(r)
			r.Header["X-Amz-Checksum-Sha256"] = values
		}
	}
	const partQuery = "partNumber=1&uploadId=YWJj-_"
	asPart := func(r *http.Request) { r.RequestURI = path + "?" + validQuery + "&" + partQuery }
	part := func(change func(r *http.Request)) func(r *http.Request) {
		return func(r *http.Request) {
			asPart(r)
			change(r)
		}
	}
	preflight := func(method, origin string) func(r *http.Request) {
		return func(r *http.Request) {
			r.Method, r.ContentLength = http.MethodOptions, 0
			r.Header = http.Header{"Access-Control-Request-Method": {method}}
			if origin != "" {
				r.Header.Set("Origin", origin)
			}
		}
	}
	download := func(method string) func(r *http.Request) {
		return func(r *http.Request) { r.Method, r.ContentLength, r.Header = method, 0, http.Header{} }
	}
	method := func(method string) func(r *http.Request) {
		return func(r *http.Request) { r.Method = method }
	}
	const responseQuery = "response-content-disposition=a%3B%20b&response-content-type=c%2Fd"
	for name, test := range map[string]struct {
		change func(r *http.Request)
		status int // 0: accepted
	}{
		"unchanged upload":          {func(*http.Request) {}, 0},
		"download":                  {download("GET"), 0},
		"download with a file name": {query("X-Amz-Date=", responseQuery+"&X-Amz-Date="), 0},
		"signed checksum":           {signedChecksum("abc="), 0},
		"signed checksum twice":     {signedChecksum("abc=", "def="), 403},
		"unsigned checksum":         {header("X-Amz-Checksum-Sha256", "abc="), 403},
		"bearer token":              {header("Authorization", "Bearer x"), 403},
		"proxy authorization":       {header("Proxy-Authorization", "Basic x"), 403},
		"an X-Amz header":           {header("X-Amz-Acl", "public-read"), 403},
		"lower-case X-Amz header":   {header("x-amz-acl", "public-read"), 403},
		"an X-Minio header":         {header("X-Minio-Force-Delete", "true"), 403},
		"no query":                  {func(r *http.Request) { r.RequestURI = path }, 403},
		"no signature":              {query("X-Amz-Signature=s", "X-Amz-Signature="), 403},
		"no credential":             {query("X-Amz-Credential=a%2Fb&", ""), 403},
		"wrong algorithm":           {query("HMAC-SHA256", "ECDSA-P256-SHA256"), 403},
		"unknown parameter":         {query("X-Amz-Date=d", "X-Amz-Date=d&acl"), 403},
		"security token":            {query("X-Amz-Date=d", "X-Amz-Date=d&X-Amz-Security-Token=x"), 403},
		"header as a parameter":     {query("X-Amz-Date=d", "X-Amz-Date=d&if-none-match=*"), 403},
		"parameter in another case": {query("X-Amz-Date=d", "x-amz-date=d"), 403},
		"parameter twice":           {query("X-Amz-Date=d", "X-Amz-Date=d&X-Amz-Date=d"), 403},
		"empty pair":                {query("X-Amz-Date=d", "X-Amz-Date=d&"), 403},
		"semicolon":                 {query("X-Amz-Date=d", "X-Amz-Date=d;acl=1"), 403},
		"bad escape":                {query("X-Amz-Date=d", "X-Amz-Date=%zz"), 403},
		"another path":              {func(r *http.Request) { r.RequestURI = "/docs/?" + validQuery }, 403},
		"POST":                      {method("POST"), 405},
		"DELETE":                    {method("DELETE"), 405},
		"CONNECT":                   {method("CONNECT"), 405},
		"download with a body":      {method("GET"), 403},
		"chunked encoding":          {func(r *http.Request) { r.TransferEncoding = []string{"chunked"} }, 411},
		"unknown length":            {func(r *http.Request) { r.ContentLength = -1 }, 411},
		"trailers":                  {func(r *http.Request) { r.Trailer = http.Header{"X-Amz-Checksum-Crc32": nil} }, 411},
		"no length":                 {func(r *http.Request) { r.ContentLength, r.Header = 0, http.Header{} }, 411},
		"preflight":                 {preflight("PUT", "https://app.test"), 0},
		"preflight without origin":  {preflight("PUT", ""), 403},
		"preflight for DELETE":      {preflight("DELETE", "https://app.test"), 403},
		"part":                      {query("X-Amz-Date=d", partQuery+"&X-Amz-Date=d"), 0},
		"the last part":             {query("X-Amz-Date=d", "X-Amz-Date=d&partNumber=10000&uploadId=YWJj"), 0},
		"part after the last":       {query("X-Amz-Date=d", "X-Amz-Date=d&partNumber=10001&uploadId=YWJj"), 403},
		"part 0":                    {query("X-Amz-Date=d", "X-Amz-Date=d&partNumber=0&uploadId=YWJj"), 403},
		"part -1":                   {query("X-Amz-Date=d", "X-Amz-Date=d&partNumber=-1&uploadId=YWJj"), 403},
		"part +1":                   {query("X-Amz-Date=d", "X-Amz-Date=d&partNumber=%2B1&uploadId=YWJj"), 403},
		"part 01":                   {query("X-Amz-Date=d", "X-Amz-Date=d&partNumber=01&uploadId=YWJj"), 403},
		"part without a number":     {query("X-Amz-Date=d", "X-Amz-Date=d&partNumber=&uploadId=YWJj"), 403},
		"part without an upload ID": {query("X-Amz-Date=d", "X-Amz-Date=d&partNumber=1"), 403},
		"part, empty upload ID":     {query("X-Amz-Date=d", "X-Amz-Date=d&partNumber=1&uploadId="), 403},
		"part, upload ID is a path": {query("X-Amz-Date=d", "X-Amz-Date=d&partNumber=1&uploadId=..%2Fx"), 403},
		"part number twice":         {query("X-Amz-Date=d", partQuery+"&X-Amz-Date=d&partNumber=2"), 403},
		"upload ID twice":           {query("X-Amz-Date=d", partQuery+"&X-Amz-Date=d&uploadId=ZZZZ"), 403},
		"upload ID without a part":  {query("X-Amz-Date=d", "X-Amz-Date=d&uploadId=YWJj"), 403},
		"start of an upload":        {query("X-Amz-Date=d", "X-Amz-Date=d&uploads="), 403},
		"part, response parameter":  {query("X-Amz-Date=d", partQuery+"&X-Amz-Date=d&response-content-type=a"), 403},
		"copy of a part":            {part(header("X-Amz-Copy-Source", "/docs/x")), 403},
		"copy of a part's range":    {part(header("X-Amz-Copy-Source-Range", "bytes=0-1")), 403},
		"GET of a part":             {part(download("GET")), 403},
		"HEAD of a part":            {part(download("HEAD")), 403},
		"completion of an upload":   {part(method("POST")), 405},
		"abort of an upload":        {part(method("DELETE")), 405},
		"preflight for a part":      {part(preflight("PUT", "https://app.test")), 0},
		"signed size":               {query("X-Amz-Date=d", "X-Amz-Date=d&x-intray-size=5"), 0},
		"a smaller signed size":     {query("X-Amz-Date=d", "X-Amz-Date=d&x-intray-size=4"), 400},
		"a larger signed size":      {query("X-Amz-Date=d", "X-Amz-Date=d&x-intray-size=6"), 400},
		"a signed size of no bytes": {query("X-Amz-Date=d", "X-Amz-Date=d&x-intray-size="), 403},
		"signed size twice":         {query("X-Amz-Date=d", "x-intray-size=5&X-Amz-Date=d&x-intray-size=5"), 403},
		"signed size of a part":     {part(query("X-Amz-Date=d", "X-Amz-Date=d&x-intray-size=5")), 0},
		"Content-MD5":               {header("Content-Md5", "abc=="), 0},
		"Content-MD5 twice":         {header("Content-Md5", "abc==", "abc=="), 403},
		"Content-Digest":            {header("Content-Digest", "sha-256=:abc=:"), 400},
		"Repr-Digest":               {header("Repr-Digest", "sha-256=:abc=:"), 400},
		"Digest":                    {header("Digest", "SHA-256=abc="), 400},
		"preflight, GET of a part":  {part(preflight("GET", "https://app.test")), 403},
	} {
		t.Run(name, func(t *testing.T) {
			r := &http.Request{
				Method:        http.MethodPut,
				RequestURI:    path + "?" + validQuery,
				ContentLength: 5,
				Header:        http.Header{"Content-Length": {"5"}},
			}
			test.change(r)
			status := 0
			if refused := check(r, "docs"); refused != nil {
				status = refused.status
			}
			if status != test.status {
				t.Errorf("got status %d, want %d (0: accepted)", status, test.status)
			}
		})
	}
}
