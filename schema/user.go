package schema

import (
	"time"

	"github.com/google/uuid"
)

// Role determines what a user may do.
type Role string

const (
	RoleUser  Role = "user"
	RoleAdmin Role = "admin"
)

// AIProviderBuiltin is the AI provider that works offline. All consumers have it.
const AIProviderBuiltin = "builtin"

// AIProviders are the names of all AI providers.
var AIProviders = []string{AIProviderBuiltin, "ollama", "openai", "anthropic"}

// User is an account and its settings, without the password.
type User struct {
	ID    uuid.UUID `db:"id"`
	Email string    `db:"email"`
	Role  Role      `db:"role"`
	// AIProvider and AIModel are empty if the system's defaults apply.
	AIProvider string `db:"ai_provider"`
	AIModel    string `db:"ai_model"`
	// HasPassword reports whether the user can sign in with a password.
	HasPassword bool      `db:"has_password"`
	CreatedAt   time.Time `db:"created_at"`
	Quota       Quota     `db:"quota"`
}
