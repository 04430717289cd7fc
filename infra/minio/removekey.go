package minio

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
)

// RemoveKey makes MinIO forget an access key, the last step of replacing it by one of another name: URLs that were
// signed with it end at once. One that is not there is no error. It refuses those that admin.Keys names, for they are in
// use. MinIO's DELETE /minio/admin/v3/remove-user (cmd/admin-handlers-users.go, RemoveUser) takes users only, so root
// stays too.
//
// An outage is an error that wraps ErrUnavailable.
func RemoveKey(ctx context.Context, admin Admin, access string) error {
	if access == "" || access == admin.RootUser {
		return fmt.Errorf("remove access key %q: not one of Intray's", access)
	}
	for role, key := range admin.Keys.byRole() {
		if key.Access == access {
			return fmt.Errorf("remove access key %q: the %s key is in use", access, role)
		}
	}
	status, answer, err := callAdmin(ctx, admin, http.MethodDelete, "remove-user?accessKey="+url.QueryEscape(access), nil)
	if err != nil {
		return fmt.Errorf("remove access key %q: %w", access, err)
	}
	if status != http.StatusOK && status != http.StatusNotFound {
		return fmt.Errorf("remove access key %q: status %d: %s", access, status, errorCode(answer))
	}
	return nil
}
