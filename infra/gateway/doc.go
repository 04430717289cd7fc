// Package gateway is the reverse proxy between browsers and MinIO. It forwards requests that use
// Intray's presigned URLs and refuses all others.
//
// The gateway is necessary because every presigned URL contains an access key, and an access key is
// enough to write to an unprotected MinIO (CVE-2026-40344, CVE-2026-41145, CVE-2026-34204). MinIO
// also accepts headers that a URL did not sign.
//
// The gateway forwards:
//
//   - a GET, HEAD or PUT of one document's object with the parameters of a presigned URL;
//   - a PUT of one part of an object, which also has partNumber and uploadId;
//   - a browser's preflight request (OPTIONS) for one of these.
//
// It forwards only the request headers that are listed in this package. A PUT must declare its
// length. The gateway does not change the path, the query and the Host header, because the
// signature covers them. It holds no secrets; MinIO verifies the signature.
//
// A request is handled in three steps. check refuses or accepts it, rewrite creates the request to
// MinIO, and ReverseProxy of net/http/httputil streams the content without buffering it. The
// gateway never logs query strings, because they are credentials until they expire. It answers a
// refused request with an XML error like those of the S3 API. Pages of any origin can read this
// error.
//
// The gateway limits how long headers and transfers may take, and how many connections may be open
// in total and per address; see [Config]. It also limits how many bytes may be sent for one part of
// a multipart upload, because MinIO stores what is sent again in addition for a while, and how many
// bytes one user may have in progress; see [minio.Allowance].
package gateway
