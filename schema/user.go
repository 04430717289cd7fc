package schema

import "github.com/google/uuid"

// Role determines what a user may do.
type Role string

const (
	RoleUser  Role = "user"
	RoleAdmin Role = "admin"
)

// User is an account and its settings, without the password.
type User struct {
	ID    uuid.UUID `db:"id"`
	Email string    `db:"email"`
	Role  Role      `db:"role"`
	// AIProvider and AIModel are empty if the system's defaults apply.
	AIProvider string `db:"ai_provider"`
	AIModel    string `db:"ai_model"`
	Quota      Quota  `db:"quota"`
}
