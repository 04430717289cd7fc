package gateway

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"intray/schema"
)

// refusal is why a request does not reach MinIO.
type refusal struct {
	status        int
	code, message string
}

func denied(message string) *refusal {
	return &refusal{http.StatusForbidden, "AccessDenied", message}
}

func lengthRequired(message string) *refusal {
	return &refusal{http.StatusLengthRequired, "MissingContentLength", message}
}

// check returns nil if r may go to MinIO: a presigned GET, HEAD or PUT of one document's object,
// the presigned PUT of one part of it, or a browser's preflight for one of these. It trusts nothing
// that the sender can make up. In particular, a header that the URL claims to have signed is still
// refused if no URL of Intray's signs it, because the open CVEs bypass the signature check.
func check(r *http.Request, bucket string) *refusal {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodOptions:
	default:
		return &refusal{
			http.StatusMethodNotAllowed, "MethodNotAllowed",
			"Only GET, HEAD and PUT with a presigned URL are allowed.",
		}
	}
	// The request line as it was sent: an encoded slash or dot must not become one on the way.
	path, rawQuery, _ := strings.Cut(r.RequestURI, "?")
	if !isObjectPath(path, bucket) {
		return denied("Only documents can be reached here.")
	}
	query, refused := parseQuery(rawQuery)
	if refused != nil {
		return refused
	}
	if refused := query.checkPart(r); refused != nil {
		return refused
	}
	if refused := checkHeaders(r.Header, query); refused != nil {
		return refused
	}
	if r.Method == http.MethodOptions {
		return checkPreflight(r)
	}
	if refused := query.checkPresigned(); refused != nil {
		return refused
	}
	return checkBody(r)
}

// isObjectPath reports whether path is /<bucket>/documents/<10 hex digits>/<uuid>, in lower case and
// not encoded.
func isObjectPath(path, bucket string) bool {
	rest, ok := strings.CutPrefix(path, "/"+bucket+"/"+schema.ObjectPrefix)
	if !ok || len(rest) != 10+1+36 || rest[10] != '/' || !isHex(rest[:10]) {
		return false
	}
	id := rest[11:]
	for i := range len(id) {
		switch i {
		case 8, 13, 18, 23:
			if id[i] != '-' {
				return false
			}
		default:
			if !isHex(id[i : i+1]) {
				return false
			}
		}
	}
	return true
}

func isHex(s string) bool {
	return strings.Trim(s, "0123456789abcdef") == ""
}

// query is the parameters of a presigned URL, decoded.
type query map[string]string

// signing are the parameters that every presigned URL has.
var signing = []string{
	"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders",
	"X-Amz-Signature",
}

// overrides are the parameters that a presigned download has besides.
var overrides = []string{"response-content-disposition", "response-content-type"}

// The parameters that the presigned upload of one part has besides.
const (
	paramPartNumber = "partNumber"
	paramUploadID   = "uploadId"
)

// known reports whether presigned URLs have a parameter of that name.
func known(name string) bool {
	return name == paramPartNumber || name == paramUploadID ||
		slices.Contains(signing, name) || slices.Contains(overrides, name)
}

// checkPart requires the parameters of a part to come together, in a PUT or its preflight, in
// the one form that Intray's URLs have, and with only the signature beside them. Browsers make
// no other request of a multipart upload.
func (q query) checkPart(r *http.Request) *refusal {
	number, numbered := q[paramPartNumber]
	upload, named := q[paramUploadID]
	if !numbered && !named {
		return nil
	}
	switch {
	case purpose(r) != http.MethodPut || !numbered || !named:
		return denied("Only a PUT with partNumber and uploadId is allowed.")
	case !isPartNumber(number):
		return denied("partNumber is from 1 to 10000.")
	case !isUploadID(upload):
		return denied("uploadId is not one of this storage's.")
	}
	for _, name := range overrides {
		if _, there := q[name]; there {
			return denied("A part has no answer to name.")
		}
	}
	return nil
}

// purpose returns the method of the request, or of the one that a preflight asks about.
func purpose(r *http.Request) string {
	if r.Method == http.MethodOptions {
		return r.Header.Get("Access-Control-Request-Method")
	}
	return r.Method
}

// maxPart is the highest number of a part in S3.
const maxPart = 10_000

// isPartNumber reports whether s is the number of a part, without leading zeros.
func isPartNumber(s string) bool {
	n, err := strconv.ParseUint(s, 10, 32)
	return err == nil && n >= 1 && n <= maxPart && strconv.FormatUint(n, 10) == s
}

// base64URL are the characters of MinIO's upload ids (RFC 4648, section 5).
const base64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_="

// isUploadID reports whether s may be an upload id of MinIO.
func isUploadID(s string) bool {
	return s != "" && len(s) <= 256 && strings.Trim(s, base64URL) == ""
}

// parseQuery reads the parameters. Their names must be known, spelled exactly so, and none may come
// twice: two readers might take different ones, or see a name that the other does not.
func parseQuery(raw string) (query, *refusal) {
	q := query{}
	if raw == "" {
		return q, nil
	}
	for pair := range strings.SplitSeq(raw, "&") {
		name, encoded, _ := strings.Cut(pair, "=")
		if !known(name) {
			return nil, denied("The URL has a query parameter that presigned URLs do not have.")
		}
		if _, twice := q[name]; twice {
			return nil, denied("The URL has a query parameter twice.")
		}
		value, err := url.QueryUnescape(encoded)
		if err != nil || strings.Contains(encoded, ";") {
			return nil, denied("The URL's query is not well encoded.")
		}
		q[name] = value
	}
	return q, nil
}

// checkPresigned refuses a request without a presigned URL's parameters.
func (q query) checkPresigned() *refusal {
	for _, name := range signing {
		if q[name] == "" {
			return denied("A presigned URL is needed.")
		}
	}
	if q["X-Amz-Algorithm"] != "AWS4-HMAC-SHA256" {
		return denied("Only AWS4-HMAC-SHA256 is allowed.")
	}
	return nil
}

// signed reports whether the URL says that it signed the header name.
func (q query) signed(name string) bool {
	for header := range strings.SplitSeq(q["X-Amz-SignedHeaders"], ";") {
		if header == strings.ToLower(name) {
			return true
		}
	}
	return false
}

// checkHeaders refuses every header by which a sender says more to MinIO than the presigned URL
// does. Of the X-Amz-* headers only the checksum may come, once and signed. That excludes, among
// others, X-Amz-Copy-Source* (reads another object with the signing key's rights),
// X-Amz-Meta-Snowball* (unpacks an archive into many objects) and a streaming X-Amz-Content-Sha256
// (whose trailers are not authenticated).
func checkHeaders(header http.Header, q query) *refusal {
	for name, values := range header {
		upper := strings.ToUpper(name)
		switch {
		case upper == "AUTHORIZATION", upper == "PROXY-AUTHORIZATION":
			return denied("Authorization is not allowed; use the presigned URL alone.")
		case strings.HasPrefix(upper, "X-MINIO-"):
			return denied("X-Minio headers are not allowed.")
		case upper == "X-AMZ-CHECKSUM-SHA256":
			if !q.signed(name) {
				return denied("The URL did not sign the header x-amz-checksum-sha256.")
			}
			if len(values) != 1 {
				return denied("The header x-amz-checksum-sha256 came twice.")
			}
		case strings.HasPrefix(upper, "X-AMZ-"):
			return denied("The request has an X-Amz header that presigned URLs do not use.")
		}
	}
	return nil
}

// checkPreflight refuses an OPTIONS request that is not a browser's preflight for an allowed request.
func checkPreflight(r *http.Request) *refusal {
	switch r.Header.Get("Access-Control-Request-Method") {
	case http.MethodGet, http.MethodHead, http.MethodPut:
	default:
		return denied("Only a preflight for GET, HEAD or PUT is allowed.")
	}
	if r.Header.Get("Origin") == "" {
		return denied("A preflight needs an Origin.")
	}
	return checkBody(r)
}

// checkBody requires a PUT to declare its length, which every upload URL signs, and other requests
// to have no body.
func checkBody(r *http.Request) *refusal {
	if len(r.TransferEncoding) > 0 || len(r.Trailer) > 0 || r.ContentLength < 0 {
		return lengthRequired("The request needs a Content-Length and no chunks or trailers.")
	}
	if r.Method != http.MethodPut && r.ContentLength > 0 {
		return denied("Only a PUT may have a body.")
	}
	if r.Method == http.MethodPut && r.Header.Get("Content-Length") == "" {
		return lengthRequired("A PUT needs a Content-Length.")
	}
	return nil
}
