package minio

import (
	"embed"
	"encoding/json"
	"fmt"
	"strings"
)

// The policies are files of their own so that they can be read, reviewed and used by hand: {{bucket}} stands for the
// bucket's name. What each key may do, and why:
//
//   - upload: PUT an object, or one part of it, below documents/, only through a presigned URL. It cannot read, so that a
//     URL with X-Amz-Copy-Source copies nobody's object.
//   - multipart: the API's beginning and completing of uploads in parts, and the list of what arrived; below documents/,
//     never through a presigned URL. S3 has one right for these and for PUT, so it could PUT too: that is why it is not
//     the key whose name every upload URL shows, and why no URL can be signed with it.
//   - download: GET an object below documents/.
//   - confirm: the API's stat of one object; as download, and it may list below documents/.
//   - worker: the consumers' key: read and delete below documents/ and null-user/ (unowned objects of the single-user
//     days), drop incomplete uploads below documents/, and list the whole bucket, which reconciliation walks to report
//     what the database never knew. Its delete asks for a name after the folder: MinIO would take DELETE documents/ with
//     X-Minio-Force-Delete for all of them, and send no event.
//
// No key may both put and get.
//
//go:embed policies/*.json
var policyFiles embed.FS

// policy returns the policy of role for bucket. The bucket's name is one that S3 allows (lower case, digits, dots,
// dashes), so it needs no escaping.
func policy(role, bucket string) (json.RawMessage, error) {
	text, err := policyFiles.ReadFile("policies/" + role + ".json")
	if err != nil {
		return nil, fmt.Errorf("policy %s: %w", role, err)
	}
	filled := strings.ReplaceAll(string(text), "{{bucket}}", bucket)
	if !json.Valid([]byte(filled)) {
		return nil, fmt.Errorf("policy %s: not JSON", role)
	}
	return json.RawMessage(filled), nil
}

// policyName is per bucket, so that several stacks can share one MinIO.
func policyName(role, bucket string) string { return bucket + "-" + role }
