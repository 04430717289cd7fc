package api

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
)

// bodyETag returns the entity tag of a response whose body is the JSON of v.
//
// The tag is the same whether the response is compressed or not, although the bytes differ: it
// identifies the content, and clients compare it with If-None-Match only (matches compares weakly).
func bodyETag(v any) string {
	hash := fnv.New128a()
	_ = json.NewEncoder(hash).Encode(v) // never fails
	return fmt.Sprintf(`"%x"`, hash.Sum(nil))
}

// unchanged reports whether a request's If-None-Match header, which is nil if it was not sent,
// contains the entity tag.
func unchanged(ifNoneMatch *string, etag string) bool {
	return ifNoneMatch != nil && matches(*ifNoneMatch, etag)
}
