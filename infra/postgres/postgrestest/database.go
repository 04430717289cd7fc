package postgrestest

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"

	"intray/infra/postgres"
)

// RolePassword is the password of the database roles in tests. All packages must use the same one,
// because their tests share a server and roles belong to the whole server.
const RolePassword = "for-tests-only"

// RolePasswords gives each role the RolePassword.
var RolePasswords = postgres.RolePasswords{
	API: RolePassword, Auth: RolePassword, Worker: RolePassword,
}

// Migrate migrates a database and sets the passwords of its roles to RolePassword.
func Migrate(ctx context.Context, ownerURL string) error {
	if err := postgres.Migrate(ctx, ownerURL, slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	return postgres.ProvisionRoles(ctx, ownerURL, RolePasswords)
}

// RoleURL returns the database's URL with the role and RolePassword as the credentials. It panics
// if the URL is invalid.
func RoleURL(databaseURL, role string) string {
	u, err := url.Parse(databaseURL)
	if err != nil {
		panic(fmt.Sprintf("postgrestest: parse the database's URL: %v", err))
	}
	u.User = url.UserPassword(role, RolePassword)
	return u.String()
}
