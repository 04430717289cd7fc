package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/mail"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/google/uuid"

	"intray/api"
	"intray/infra/postgres"
	"intray/schema"
)

type usersCommand struct {
	Add  usersAddCommand  `cmd:"" help:"Add an account."`
	List usersListCommand `cmd:"" help:"List the accounts with their quotas."`
}

type usersSettings struct {
	DefaultQuota int64 `env:"DEFAULT_QUOTA_BYTES" envDefault:"104857600"`
}

// openOwner connects to the database as its owner.
func (f operatorFlags) openOwner(ctx context.Context) (*postgres.DB, error) {
	s, err := f.find()
	if err != nil {
		return nil, err
	}
	return postgres.Open(ctx, s.Database, postgres.Options{MaxConns: 2})
}

type usersAddCommand struct {
	operatorFlags
	Email    string `arg:"" help:"The address to log in with."`
	Role     string `enum:"user,admin" default:"user" help:"user or admin."`
	Quota    int64  `help:"Bytes the user may store; default: DEFAULT_QUOTA_BYTES, or 100 MiB."`
	Generate bool   `help:"Make a password and print it; otherwise one line is read from standard input."`
}

// Help lists what the command reads from the environment.
func (usersAddCommand) Help() string {
	return "Environment: DATABASE_URL (the owner's) unless a stack of \"intray up\" is meant, DEFAULT_QUOTA_BYTES."
}

// minPassword is NIST SP 800-63B's bound for passwords without a second
// factor, in characters.
const minPassword = 15

// Run adds the account.
func (c usersAddCommand) Run(ctx context.Context) error {
	s, err := readSettings[usersSettings]()
	if err != nil {
		return err
	}
	if a, err := mail.ParseAddress(c.Email); err != nil || a.Address != c.Email {
		return usageError{fmt.Errorf("%q is not an e-mail address", c.Email)}
	}
	password, err := c.password()
	if err != nil {
		return err
	}
	limit := c.Quota
	if limit == 0 {
		limit = s.DefaultQuota
	}
	if limit < 0 {
		return usageError{errors.New("a quota is not negative")}
	}
	db, err := c.openOwner(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := addUser(ctx, db, c.Email, password, schema.Role(c.Role), limit); err != nil {
		return err
	}
	if c.Generate {
		fmt.Println(password)
	}
	return nil
}

func (c usersAddCommand) password() (string, error) {
	if c.Generate {
		return rand.Text(), nil
	}
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	password := strings.TrimRight(line, "\r\n")
	if len([]rune(password)) < minPassword {
		return "", usageError{errors.Join(fmt.Errorf("give a password of at least %d characters on standard input, or --generate", minPassword), err)}
	}
	return password, nil
}

// addUser makes an account; that its address is taken is an error.
func addUser(ctx context.Context, db *postgres.DB, email, password string, role schema.Role, limit int64) error {
	hash, err := api.HashPassword(password)
	if err != nil {
		return err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("make an id: %w", err)
	}
	return db.AddUser(ctx, postgres.NewUser{ID: id, Email: email, PasswordHash: hash, Role: role, LimitBytes: limit})
}

type usersListCommand struct {
	operatorFlags
	JSON bool `help:"One JSON object a line."`
}

// Run lists them by address.
func (c usersListCommand) Run(ctx context.Context) error {
	db, err := c.openOwner(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	users, err := db.Users(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		out := json.NewEncoder(os.Stdout)
		for _, u := range users {
			if err := out.Encode(map[string]any{
				"id": u.ID, "email": u.Email, "role": u.Role, "limit_bytes": u.Quota.LimitBytes, "used_bytes": u.Quota.UsedBytes,
			}); err != nil {
				return err
			}
		}
		return nil
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "EMAIL\tROLE\tUSED BYTES\tLIMIT BYTES\tID")
	for _, u := range users {
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%s\n", u.Email, u.Role, u.Quota.UsedBytes, u.Quota.LimitBytes, u.ID)
	}
	return table.Flush()
}
