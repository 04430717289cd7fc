package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/google/uuid"

	"intray/api"
	"intray/cmd/internal/cli"
	"intray/infra/postgres"
	"intray/schema"
)

type usersCommand struct {
	Add    usersAddCommand    `cmd:"" help:"Add an account."`
	List   usersListCommand   `cmd:"" help:"List the accounts with their quotas."`
	Set    usersSetCommand    `cmd:"" help:"Change an account's quota, role, password or AI settings."`
	Remove usersRemoveCommand `cmd:"" help:"Remove an account with all its documents."`
}

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

type usersListCommand struct {
	cli.OwnerFlags
	JSON bool `help:"One JSON object a line."`
}

// Run lists them by address.
func (c usersListCommand) Run(ctx context.Context) error {
	db, err := c.OpenOwner(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	users, err := db.Users(ctx)
	if err != nil {
		return err
	}
	accounts := make([]account, len(users))
	for i, u := range users {
		accounts[i] = accountOf(u)
	}
	return writeAccounts(os.Stdout, accounts, c.JSON)
}

// account is an account in the output of --json.
type account struct {
	ID         uuid.UUID   `json:"id"`
	Email      string      `json:"email"`
	Role       schema.Role `json:"role"`
	LimitBytes int64       `json:"limit_bytes"`
	UsedBytes  int64       `json:"used_bytes"`
	// AIProvider and AIModel are empty where the defaults apply.
	AIProvider string `json:"ai_provider"`
	AIModel    string `json:"ai_model"`
	// Password is set if it was made by this command.
	Password string `json:"password,omitempty"`
}

func accountOf(u schema.User) account {
	return account{
		ID: u.ID, Email: u.Email, Role: u.Role,
		LimitBytes: u.Quota.LimitBytes, UsedBytes: u.Quota.UsedBytes,
		AIProvider: u.AIProvider, AIModel: u.AIModel,
	}
}

// writeAccounts writes a table, with a new password below it, or one JSON object per
// line.
func writeAccounts(w io.Writer, accounts []account, asJSON bool) error {
	if asJSON {
		out := json.NewEncoder(w)
		for _, a := range accounts {
			if err := out.Encode(a); err != nil {
				return err
			}
		}
		return nil
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "EMAIL\tROLE\tUSED BYTES\tLIMIT BYTES\tAI\tID")
	for _, a := range accounts {
		ai := strings.TrimSpace(a.AIProvider + " " + a.AIModel)
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%s\t%s\n", cli.Printable(a.Email), a.Role,
			a.UsedBytes, a.LimitBytes, cmp.Or(cli.Printable(ai), "default"), a.ID)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, a := range accounts {
		if a.Password != "" {
			fmt.Fprintln(w, a.Password)
		}
	}
	return nil
}
