package schema

import "github.com/google/uuid"

// Role is what a user may do.
type Role string

const (
	RoleUser  Role = "user"
	RoleAdmin Role = "admin"
)

// User is an account with its settings, without its password.
type User struct {
	ID    uuid.UUID `db:"id"`
	Email string    `db:"email"`
	Role  Role      `db:"role"`
	// AIProvider and AIModel are empty where the system's defaults apply.
	AIProvider string `db:"ai_provider"`
	AIModel    string `db:"ai_model"`
	Quota      Quota  `db:"quota"`
}
