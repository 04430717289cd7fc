package minio

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
)

// RemoveKey deletes an access key from MinIO. It is the last step of replacing a key with one that
// has a different name. URLs that were signed with the key stop working immediately. RemoveKey
// succeeds if the key does not exist. It refuses to remove the root user and the keys in
// admin.Keys, because they are in use.
//
// The request is MinIO's DELETE /minio/admin/v3/remove-user (cmd/admin-handlers-users.go,
// RemoveUser). If MinIO is unavailable, RemoveKey returns an error that wraps ErrUnavailable.
func RemoveKey(ctx context.Context, admin Admin, access string) error {
	if access == "" || access == admin.RootUser {
		return fmt.Errorf("remove access key %q: the name is empty or belongs to the root user", access)
	}
	for role, key := range admin.Keys.byRole() {
		if key.Access == access {
			return fmt.Errorf("remove access key %q: in use as the %s key", access, role)
		}
	}
	path := "remove-user?accessKey=" + url.QueryEscape(access)
	status, answer, err := callAdmin(ctx, admin, http.MethodDelete, path, nil)
	if err != nil {
		return fmt.Errorf("remove access key %q: %w", access, err)
	}
	if status != http.StatusOK && status != http.StatusNotFound {
		return fmt.Errorf("remove access key %q: status %d: %s", access, status, adminError(answer))
	}
	return nil
}
