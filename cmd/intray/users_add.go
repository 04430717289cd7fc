package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
	"golang.org/x/text/unicode/norm"

	"intray/api"
	"intray/cmd/internal/cli"
	"intray/infra/postgres"
	"intray/schema"
)

type usersAddCommand struct {
	cli.OwnerFlags
	cli.AuditFlags
	Email    string `arg:"" help:"Email address to sign in with."`
	Role     string `enum:"user,admin" default:"user" help:"Role of the user: user or admin."`
	Quota    int64  `placeholder:"BYTES" help:"Quota in bytes. Default: DEFAULT_QUOTA_BYTES."`
	Generate bool   `help:"Generate a password and print it. Without this flag, the password is read from standard input as one line."`

	quotaSettings
}

// Help describes the password and the exit status.
func (usersAddCommand) Help() string {
	return `A password that is read from standard input must have 15 to 1024 characters. It must not be
the address or one repeated character, nor consist of common passwords only.

Exit status: 0 success, 1 a failure, such as an address that is in use, 2 wrong usage, 3 the
database is unreachable.`
}

// Run adds the account.
func (c usersAddCommand) Run(ctx context.Context) error {
	c.Email = norm.NFC.String(c.Email)
	if a, err := mail.ParseAddress(c.Email); err != nil || a.Address != c.Email {
		return cli.Usage(fmt.Errorf("%q is not a valid email address", c.Email))
	}
	if utf8.RuneCountInString(c.Email) > api.MaxEmailLength {
		return cli.Usage(fmt.Errorf("the email address must have at most %d characters",
			api.MaxEmailLength))
	}
	password, err := newPassword(c.Generate, os.Stdin, c.Email)
	if err != nil {
		return err
	}
	limit := cmp.Or(c.Quota, c.DefaultQuotaBytes)
	if limit < 0 {
		return cli.Usage(errors.New("--quota must not be negative"))
	}
	db, err := c.OpenOwnerFor(c.AuditFlags)
	if err != nil {
		return err
	}
	defer db.Close()
	user := postgres.NewUser{Email: c.Email, Role: schema.Role(c.Role), LimitBytes: limit}
	if err := addUser(ctx, db, user, password); err != nil {
		return err
	}
	if c.Generate {
		fmt.Println(password)
	}
	return nil
}

// newPassword generates a password for the account with the email address, or reads one line from
// input, the standard input.
func newPassword(generate bool, input io.Reader, email string) (string, error) {
	if generate {
		return rand.Text(), nil
	}
	line, err := bufio.NewReader(input).ReadString('\n')
	password := strings.TrimRight(line, "\r\n")
	if invalid := api.CheckNewPassword(password, email); invalid != nil {
		return "", cli.Usage(errors.Join(fmt.Errorf(
			"the password on standard input %w (use --generate to generate one)", invalid), err))
	}
	return password, nil
}

// addUser adds an account with a password. It fails if the address is in use.
func addUser(
	ctx context.Context, db *postgres.DB, user postgres.NewUser, password string,
) (err error) {
	if user.PasswordHash, err = api.HashPassword(password); err != nil {
		return err
	}
	if user.ID, err = uuid.NewV7(); err != nil {
		return fmt.Errorf("generate a user id: %w", err)
	}
	return db.AddUser(ctx, user)
}
