package minio

import (
	"embed"
	"encoding/json"
	"fmt"
	"strings"
)

// policyFiles are the policies of the access keys, with {{bucket}} in place of the bucket's name.
// They are separate files so that operators can review them and apply them with other tools. The
// permissions of each key, and the reasons:
//
//   - upload: PUT an object or a part of one below documents/, with a presigned URL only. The key
//     cannot read, so a URL with X-Amz-Copy-Source cannot copy another user's object.
//   - multipart: start, complete and list the parts of multipart uploads below documents/, for the
//     API, and never with a presigned URL. S3 has a single permission for these actions and for
//     PUT, so this key could also PUT. For this reason upload URLs use another key, and the policy
//     denies presigned URLs that are signed with this one.
//   - download: GET an object below documents/.
//   - confirm: stat an object and list objects below documents/, for the API. S3 has a single
//     permission for GET and HEAD, so this key can also GET.
//   - worker: read and delete objects below documents/ and null-user/ (objects without an owner
//     from the single-user version), abort incomplete uploads below documents/, and list the whole
//     bucket, which reconciliation needs to report objects that the database never knew. The policy
//     requires a name after the folder, because MinIO would treat DELETE documents/ with
//     X-Minio-Force-Delete as a deletion of every object below it, and publish no event.
//
// No key can both PUT and GET. By default, a MinIO user may change its own secret, create access
// keys that never expire (service accounts), and get credentials for a year (sts:AssumeRole, which
// no policy can deny). Each policy denies the first two, and everything to such credentials: a
// thief of a key can neither lock out its owner nor keep the access when the key is replaced.
//
//go:embed policies/*.json
var policyFiles embed.FS

// policy returns the policy of role for bucket. Bucket names consist of lower-case letters, digits,
// dots and dashes, so the name needs no escaping.
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

// policyName returns the name of role's policy for bucket. It contains the bucket so that several
// stacks can share one MinIO.
func policyName(role, bucket string) string { return bucket + "-" + role }
