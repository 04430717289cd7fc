package gateway

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"intray/infra/minio"
	"intray/schema"
)

// refusal is the error response to a request that is not forwarded to MinIO.
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

// check returns nil if r may be forwarded to MinIO: a presigned GET, HEAD or PUT of one document's
// object, a presigned PUT of one part of it, or a browser's preflight request for one of these.
//
// check does not rely on values that the client controls. In particular, it refuses a header that
// Intray never signs even if the URL claims to have signed it, because the CVEs listed in the
// package comment bypass MinIO's signature check.
func check(r *http.Request, bucket string) *refusal {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodOptions:
	default:
		return &refusal{
			http.StatusMethodNotAllowed, "MethodNotAllowed",
			"Only GET, HEAD and PUT with a presigned URL are allowed.",
		}
	}
	// RequestURI is the URI as the client sent it. In a decoded path an encoded slash or dot could not
	// be distinguished from a literal one.
	path, rawQuery, _ := strings.Cut(r.RequestURI, "?")
	if !isObjectPath(path, bucket) {
		return denied("The path is not that of a document's object.")
	}
	query, refused := parseQuery(rawQuery)
	if refused != nil {
		return refused
	}
	if refused := query.checkPartParams(r); refused != nil {
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
	if refused := checkBody(r); refused != nil {
		return refused
	}
	return query.checkSize(r)
}

// isObjectPath reports whether path has the form /<bucket>/documents/<10 hex digits>/<uuid>, in
// lower case and without percent-encoding.
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

// query contains the decoded query parameters of a request.
type query map[string]string

// signatureParams are the parameters of every presigned URL.
var signatureParams = []string{
	"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders",
	"X-Amz-Signature",
}

// responseParams are the additional parameters of a download URL.
var responseParams = []string{"response-content-disposition", "response-content-type"}

// The additional parameters of a part's upload URL.
const (
	paramPartNumber = "partNumber"
	paramUploadID   = "uploadId"
)

// isPresignedParam reports whether name is a parameter of Intray's presigned URLs.
func isPresignedParam(name string) bool {
	switch name {
	case paramPartNumber, paramUploadID, minio.ParamSize, minio.ParamUser, minio.ParamAllowance:
		return true
	}
	return slices.Contains(signatureParams, name) || slices.Contains(responseParams, name)
}

// checkPartParams checks the parameters of a part. They are allowed in a PUT or its preflight
// request only, both together, with valid values, and without the parameters of a download.
// Browsers send no other requests to MinIO for a multipart upload.
func (q query) checkPartParams(r *http.Request) *refusal {
	number, hasNumber := q[paramPartNumber]
	upload, hasUpload := q[paramUploadID]
	if !hasNumber && !hasUpload {
		return nil
	}
	switch {
	case effectiveMethod(r) != http.MethodPut || !hasNumber || !hasUpload:
		return denied("A part must be uploaded with PUT, partNumber and uploadId.")
	case !isPartNumber(number):
		return denied("partNumber must be from 1 to 10000.")
	case !isUploadID(upload):
		return denied("uploadId is not valid.")
	}
	for _, name := range responseParams {
		if _, exists := q[name]; exists {
			return denied("The upload of a part must not have response parameters.")
		}
	}
	return nil
}

// effectiveMethod returns the method of the request. For a preflight request it returns the method
// of the request that is to follow.
func effectiveMethod(r *http.Request) string {
	if r.Method == http.MethodOptions {
		return r.Header.Get("Access-Control-Request-Method")
	}
	return r.Method
}

// maxPart is the highest part number in S3.
const maxPart = 10_000

// isPartNumber reports whether s is a part number without leading zeros.
func isPartNumber(s string) bool {
	n, err := strconv.ParseUint(s, 10, 32)
	return err == nil && n >= 1 && n <= maxPart && strconv.FormatUint(n, 10) == s
}

// base64URL contains the characters of MinIO's upload IDs (RFC 4648, section 5).
const base64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_="

// isUploadID reports whether s has the form of a MinIO upload ID.
func isUploadID(s string) bool {
	return s != "" && len(s) <= 256 && strings.Trim(s, base64URL) == ""
}

// parseQuery parses the query. Every name must be a parameter of a presigned URL, in exactly this
// spelling and without percent-encoding, and must occur once. Otherwise the gateway and MinIO might
// interpret the query differently.
func parseQuery(raw string) (query, *refusal) {
	q := query{}
	if raw == "" {
		return q, nil
	}
	for pair := range strings.SplitSeq(raw, "&") {
		name, encoded, _ := strings.Cut(pair, "=")
		if !isPresignedParam(name) {
			return nil, denied("The URL has a query parameter that presigned URLs do not have.")
		}
		if _, exists := q[name]; exists {
			return nil, denied("A query parameter of the URL occurs more than once.")
		}
		value, err := url.QueryUnescape(encoded)
		if err != nil || strings.Contains(encoded, ";") {
			return nil, denied("The URL's query is not encoded correctly.")
		}
		q[name] = value
	}
	return q, nil
}

// checkPresigned refuses a request without the parameters of a presigned URL.
func (q query) checkPresigned() *refusal {
	for _, name := range signatureParams {
		if q[name] == "" {
			return denied("The request requires a presigned URL.")
		}
	}
	if q["X-Amz-Algorithm"] != "AWS4-HMAC-SHA256" {
		return denied("The signature algorithm must be AWS4-HMAC-SHA256.")
	}
	return nil
}

// checkSize refuses a PUT whose length is not the size for which its URL was issued. MinIO would
// refuse it too, but with an error about the signature. URLs without the parameter are also valid.
func (q query) checkSize(r *http.Request) *refusal {
	text, exists := q[minio.ParamSize]
	if !exists {
		return nil
	}
	size, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil || r.Method != http.MethodPut:
		return denied("The URL has a size that is not valid.")
	case r.ContentLength == size:
		return nil
	}
	code := "EntityTooLarge"
	if r.ContentLength < size {
		code = "EntityTooSmall"
	}
	return &refusal{http.StatusBadRequest, code, fmt.Sprintf(
		"The request has %d bytes, but its URL was issued for exactly %d bytes. "+
			"Has the file changed? Request a new URL with its present size.", r.ContentLength, size)}
}

// signed reports whether X-Amz-SignedHeaders contains the header name.
func (q query) signed(name string) bool {
	for header := range strings.SplitSeq(q["X-Amz-SignedHeaders"], ";") {
		if header == strings.ToLower(name) {
			return true
		}
	}
	return false
}

// uncheckedDigests are the headers of RFC 9530, and the one of RFC 3230 that they replace, with
// which a client asserts what the content is. MinIO does not know them. A client that sends one
// relies on it, so it must not be dropped.
var uncheckedDigests = []string{"CONTENT-DIGEST", "REPR-DIGEST", "DIGEST"}

// checkHeaders refuses headers with which a client could ask MinIO for more than the presigned URL
// allows. The only X-Amz-* header that it accepts is the SHA-256 checksum, once, and only if it is
// signed. Among others, this excludes X-Amz-Copy-Source* (reads another object with the permissions
// of the signing key), X-Amz-Meta-Snowball* (unpacks an archive into many objects) and
// X-Amz-Content-Sha256 for streaming (whose trailers are not authenticated). Of the headers that
// assert the integrity of the content, checkHeaders accepts only those that MinIO checks.
func checkHeaders(header http.Header, q query) *refusal {
	for name, values := range header {
		upper := strings.ToUpper(name)
		switch {
		case upper == "AUTHORIZATION", upper == "PROXY-AUTHORIZATION":
			return denied("An Authorization header is not allowed. Use the presigned URL only.")
		case strings.HasPrefix(upper, "X-MINIO-"):
			return denied("X-Minio headers are not allowed.")
		case upper == "X-AMZ-CHECKSUM-SHA256":
			if !q.signed(name) {
				return denied("The URL does not sign the x-amz-checksum-sha256 header.")
			}
			if len(values) != 1 {
				return denied("The x-amz-checksum-sha256 header occurs more than once.")
			}
		case strings.HasPrefix(upper, "X-AMZ-"):
			return denied("The request has an X-Amz header that presigned URLs do not use.")
		case upper == "CONTENT-MD5" && len(values) != 1:
			return denied("The Content-MD5 header occurs more than once.")
		case slices.Contains(uncheckedDigests, upper):
			return &refusal{http.StatusBadRequest, "InvalidRequest", "The header " + name +
				" cannot be checked. Request a URL with the SHA-256 of the file, or send Content-MD5."}
		}
	}
	return nil
}

// checkPreflight refuses an OPTIONS request unless it is a browser's preflight request for a GET,
// HEAD or PUT.
func checkPreflight(r *http.Request) *refusal {
	switch r.Header.Get("Access-Control-Request-Method") {
	case http.MethodGet, http.MethodHead, http.MethodPut:
	default:
		return denied("Only preflight requests for GET, HEAD or PUT are allowed.")
	}
	if r.Header.Get("Origin") == "" {
		return denied("A preflight request requires an Origin header.")
	}
	return checkBody(r)
}

// checkBody refuses a PUT that does not declare its length, which every upload URL signs, and other
// requests that have a body.
func checkBody(r *http.Request) *refusal {
	if len(r.TransferEncoding) > 0 || len(r.Trailer) > 0 || r.ContentLength < 0 {
		return lengthRequired(
			"The request requires a Content-Length, and must not use chunked encoding or trailers.")
	}
	if r.Method != http.MethodPut && r.ContentLength > 0 {
		return denied("Only a PUT may have a body.")
	}
	if r.Method == http.MethodPut && r.Header.Get("Content-Length") == "" {
		return lengthRequired("A PUT requires a Content-Length.")
	}
	return nil
}
