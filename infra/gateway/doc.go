// Package gateway is the reverse proxy between browsers and MinIO. It passes the requests that
// Intray's presigned URLs make, and refuses all others.
//
// Why it exists: every presigned URL shows an access key, and knowing an access key is enough to
// write to an unprotected MinIO (CVE-2026-40344, CVE-2026-41145, CVE-2026-34204). MinIO also accepts
// headers that a URL did not sign.
//
// What passes:
//
//   - GET, HEAD and PUT of one document's object with a presigned URL's parameters;
//   - PUT of one part of it, with partNumber and uploadId besides;
//   - a browser's preflight (OPTIONS) for one of these.
//
// Of the request headers only those listed in this package are sent on. A PUT must declare its
// length. Path, query and Host stay byte for byte as they came, because the signature covers them.
// MinIO checks the signature; the gateway knows no secret.
//
// A request takes three steps: check refuses it or lets it pass, rewrite makes the request to
// MinIO, and net/http/httputil's ReverseProxy streams. Nothing is buffered. Query strings are never
// logged: they are credentials until they expire. A refusal is answered with an XML error of the
// S3 API that pages of any origin may read.
//
// Headers, transfers, connections and the connections of one address are bounded; see [Config].
package gateway
