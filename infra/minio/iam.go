package minio

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7/pkg/signer"
)

// importIAM creates or updates the users and policies of all keys with one signed request, MinIO's
// PUT /minio/admin/v3/import-iam-v2. The body is an unencrypted zip archive of JSON files; for
// their format see importIAM in MinIO's cmd/admin-handlers-users.go. The older import-iam endpoint
// does the same, but it returns 200 with no details even if it could not create a user. The v2
// endpoint reports what failed.
//
// Repeating the import does not disturb keys that are in use. MinIO writes each entry to disk and
// then replaces the one in memory under a lock, so no key is removed or disabled in between. A key
// that is no longer in admin.Keys is kept, because URLs that were signed with it may still be
// valid.
func importIAM(ctx context.Context, admin Admin) error {
	bundle, err := iamBundle(admin)
	if err != nil {
		return err
	}
	status, answer, err := callAdmin(ctx, admin, http.MethodPut, "import-iam-v2", bundle)
	if err != nil {
		return fmt.Errorf("import users and policies: %w", err)
	}
	if status != http.StatusOK {
		return fmt.Errorf("import users and policies: status %d: %s", status, adminError(answer))
	}
	return checkImport(answer, admin)
}

// callAdmin sends one request to MinIO's admin API, signed as root, and returns the status and the
// body of the response. If MinIO does not answer, or answers with a 5xx status, callAdmin returns
// an error that wraps ErrUnavailable.
func callAdmin(
	ctx context.Context, admin Admin, method, path string, body []byte,
) (status int, answer []byte, err error) {
	sum := sha256.Sum256(body)
	url := address(admin.Endpoint, admin.Secure) + "/minio/admin/v3/" + path
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	req = signer.SignV4(*req, admin.RootUser, admin.RootPassword, "", region)

	transport := newTransport()
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer resp.Body.Close()
	if answer, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20)); err != nil {
		return 0, nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if resp.StatusCode >= http.StatusInternalServerError {
		return 0, nil, fmt.Errorf("%w: status %d: %s",
			ErrUnavailable, resp.StatusCode, adminError(answer))
	}
	return resp.StatusCode, answer, nil
}

// iamBundle returns the zip archive for importIAM: the policies, the users, and each user's policy.
func iamBundle(admin Admin) ([]byte, error) {
	type user struct {
		SecretKey string `json:"secretKey"`
		Status    string `json:"status"`
	}
	type mapping struct {
		Version   int       `json:"version"`
		Policy    string    `json:"policy"`
		UpdatedAt time.Time `json:"updatedAt"`
	}
	policies := map[string]json.RawMessage{}
	users := map[string]user{}
	mappings := map[string]mapping{}
	for role, key := range admin.Keys.byRole() {
		document, err := policy(role, admin.Bucket)
		if err != nil {
			return nil, err
		}
		if _, exists := users[key.Access]; exists {
			return nil, fmt.Errorf("key %s: the access key %q has two roles", role, key.Access)
		}
		name := policyName(role, admin.Bucket)
		policies[name] = document
		users[key.Access] = user{SecretKey: key.Secret, Status: "enabled"}
		mappings[key.Access] = mapping{Version: 1, Policy: name, UpdatedAt: time.Now().UTC()}
	}

	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	files := map[string]any{"policies": policies, "users": users, "user_mappings": mappings}
	for name, content := range files {
		file, err := archive.Create("iam-assets/" + name + ".json")
		if err != nil {
			return nil, fmt.Errorf("zip %s: %w", name, err)
		}
		if err := json.NewEncoder(file).Encode(content); err != nil {
			return nil, fmt.Errorf("zip %s: %w", name, err)
		}
	}
	if err := archive.Close(); err != nil {
		return nil, fmt.Errorf("zip users and policies: %w", err)
	}
	return out.Bytes(), nil
}

// checkImport returns an error unless MinIO's report shows that every user, policy and mapping was
// added. For an entry that failed the error contains its name only: the reason in MinIO's report is
// often {}, because MinIO marshals Go errors that have no exported fields.
func checkImport(answer []byte, admin Admin) error {
	type failures []struct {
		Name string `json:"name"`
	}
	type entities struct {
		Policies     []string              `json:"policies"`
		Users        []string              `json:"users"`
		UserPolicies []map[string][]string `json:"userPolicies"`
	}
	var report struct {
		Skipped entities `json:"skipped"`
		Removed entities `json:"removed"`
		Added   entities `json:"added"`
		Failed  struct {
			Policies     failures `json:"policies"`
			Users        failures `json:"users"`
			UserPolicies failures `json:"userPolicies"`
		} `json:"failed"`
	}
	if err := json.Unmarshal(answer, &report); err != nil {
		return fmt.Errorf("import users and policies: decode response: %w", err)
	}
	var errs []error
	for kind, failed := range map[string]failures{
		"policy":        report.Failed.Policies,
		"user":          report.Failed.Users,
		"user's policy": report.Failed.UserPolicies,
	} {
		for _, entry := range failed {
			errs = append(errs, fmt.Errorf("import %s %q: rejected by MinIO "+
				"(access keys must have 3 to 20 characters, secrets 8 to 40)", kind, entry.Name))
		}
	}
	want, added := len(admin.Keys.byRole()), report.Added
	complete := len(added.Policies) == want && len(added.Users) == want &&
		len(added.UserPolicies) == want
	if len(errs) == 0 && !complete {
		errs = append(errs, fmt.Errorf("import users and policies: of %d each, "+
			"MinIO accepted %d policies, %d users and %d mappings",
			want, len(added.Policies), len(added.Users), len(added.UserPolicies)))
	}
	return errors.Join(errs...)
}

// adminError returns the code and the message of an error response. The rest of the response is
// left out, because it may quote the request.
func adminError(answer []byte) string {
	var problem struct{ Code, Message string }
	if err := json.Unmarshal(answer, &problem); err != nil || problem.Code == "" {
		return "no error code"
	}
	return problem.Code + ": " + problem.Message
}
