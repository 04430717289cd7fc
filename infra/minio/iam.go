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

// importIAM creates or updates the users and policies of all keys with one signed request to MinIO's own
// PUT /minio/admin/v3/import-iam-v2: a zip of JSON files, not encrypted (shapes: MinIO's cmd/admin-handlers-users.go,
// importIAM). The plain import-iam would do the same but answers 200 without a word when a user could not be made; the
// v2 form reports what failed.
//
// Doing it again is safe for keys that are in use: MinIO replaces each entry in its memory under one lock, after it was
// written to disk; no key is removed or disabled in between. A key that is no longer in keys is left alone, because
// URLs signed with it may still be out.
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
		return fmt.Errorf("import users and policies: status %d: %s", status, errorCode(answer))
	}
	return imported(answer, admin)
}

// callAdmin sends one request to MinIO's admin API, signed as root, and returns what it answered below 500. An outage
// is an error that wraps ErrUnavailable.
func callAdmin(ctx context.Context, admin Admin, method, path string, body []byte) (status int, answer []byte, err error) {
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
		return 0, nil, fmt.Errorf("%w: status %d: %s", ErrUnavailable, resp.StatusCode, errorCode(answer))
	}
	return resp.StatusCode, answer, nil
}

// iamBundle returns the zip: the policies, the users and which user has which policy.
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
		if _, twice := users[key.Access]; twice {
			return nil, fmt.Errorf("key %s: the access key %q serves two roles", role, key.Access)
		}
		name := policyName(role, admin.Bucket)
		policies[name] = document
		users[key.Access] = user{SecretKey: key.Secret, Status: "enabled"}
		mappings[key.Access] = mapping{Version: 1, Policy: name, UpdatedAt: time.Now().UTC()}
	}

	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	for name, content := range map[string]any{"policies": policies, "users": users, "user_mappings": mappings} {
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

// imported checks MinIO's report: nothing failed or was skipped, and every user, policy and mapping is among the added.
// The reasons of a failure are often {} (a Go error that does not marshal), so its name has to do.
func imported(answer []byte, admin Admin) error {
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
		return fmt.Errorf("import users and policies: answer: %w", err)
	}
	var errs []error
	for kind, failed := range map[string]failures{
		"policy": report.Failed.Policies, "user": report.Failed.Users, "user's policy": report.Failed.UserPolicies,
	} {
		for _, one := range failed {
			errs = append(errs, fmt.Errorf("import %s %q: refused by MinIO (access keys have 3 to 20 characters, secrets 8 to 40)", kind, one.Name))
		}
	}
	want := len(admin.Keys.byRole())
	if len(errs) == 0 && (len(report.Added.Policies) != want || len(report.Added.Users) != want || len(report.Added.UserPolicies) != want) {
		errs = append(errs, fmt.Errorf("import users and policies: of %d each, MinIO took %d policies, %d users and %d mappings",
			want, len(report.Added.Policies), len(report.Added.Users), len(report.Added.UserPolicies)))
	}
	return errors.Join(errs...)
}

// errorCode takes the code and the message from an admin error, which may quote the request and so is not passed on
// whole.
func errorCode(answer []byte) string {
	var problem struct{ Code, Message string }
	if err := json.Unmarshal(answer, &problem); err != nil || problem.Code == "" {
		return "no error code"
	}
	return problem.Code + ": " + problem.Message
}
