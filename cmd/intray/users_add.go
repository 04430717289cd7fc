package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/mail"
	"os"
	"strings"

	"github.com/google/uuid"

	"intray/api"
	"intray/cmd/internal/cli"
	"intray/infra/postgres"
	"intray/schema"
)

type usersAddCommand struct {
	cli.OwnerFlags
	Email    string `arg:"" help:"The address to log in with."`
	Role     string `enum:"user,admin" default:"user" help:"user or admin."`
	Quota    int64  `help:"Bytes the user may store; default: that of new users."`
	Generate bool   `help:"Make a password and print it; otherwise one line is read from standard input."`

	quotaSettings
}

// minPassword is NIST SP 800-63B's bound for passwords without a second
// factor, in characters.
const minPassword = 15

// Run adds the account.
func (c usersAddCommand) Run(ctx context.Context) error {
	if a, err := mail.ParseAddress(c.Email); err != nil || a.Address != c.Email {
		return cli.Usage(fmt.Errorf("%q is not an e-mail address", c.Email))
	}
	password, err := newPassword(c.Generate)
	if err != nil {
		return err
	}
	limit := cmp.Or(c.Quota, c.DefaultQuotaBytes)
	if limit < 0 {
		return cli.Usage(errors.New("a quota is not negative"))
	}
	db, err := c.OpenOwner(ctx)
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

// newPassword makes a password, or reads one line from standard input.
func newPassword(generate bool) (string, error) {
	if generate {
		return rand.Text(), nil
	}
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	password := strings.TrimRight(line, "\r\n")
	if len([]rune(password)) < minPassword {
		return "", cli.Usage(errors.Join(fmt.Errorf(
			"give a password of at least %d characters on standard input, or --generate",
			minPassword), err))
	}
	return password, nil
}

// addUser adds an account with a password. It fails if the address is taken.
func addUser(
	ctx context.Context, db *postgres.DB, user postgres.NewUser, password string,
) (err error) {
	if user.PasswordHash, err = api.HashPassword(password); err != nil {
		return err
	}
	if user.ID, err = uuid.NewV7(); err != nil {
		return fmt.Errorf("make an id: %w", err)
	}
	return db.AddUser(ctx, user)
}
