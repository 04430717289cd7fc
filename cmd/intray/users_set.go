package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"unicode/utf8"

	"intray/api"
	"intray/cmd/internal/cli"
	"intray/infra/postgres"
	"intray/schema"
)

const userHelp = `USER is an e-mail address, ignoring case, or the id that "intray users list" shows.

Exit status: 0 done, 1 refused or no such user, 2 wrong usage, 3 out of reach.`

type usersSetCommand struct {
	cli.OwnerFlags
	User       string  `arg:"" help:"An e-mail address or an id."`
	Quota      *int64  `placeholder:"BYTES" help:"Bytes that the user may store; may be less than what is used: then nothing more fits."`
	Role       string  `enum:",user,admin" default:"" placeholder:"ROLE" help:"user or admin. The last administrator stays one."`
	Password   bool    `help:"Read a new password, one line, from standard input; ends all of the user's sessions."`
	Generate   bool    `help:"Make a new password and print it; ends all of the user's sessions."`
	AIProvider *string `name:"ai-provider" placeholder:"NAME" help:"Who classifies the user's documents: builtin, ollama, openai or anthropic; empty (--ai-provider=): the default."`
	AIModel    *string `name:"ai-model" placeholder:"NAME" help:"With which model; empty: the default."`
	JSON       bool    `help:"The account as one JSON object."`
}

// Help says what is changed and how a user is named.
func (usersSetCommand) Help() string {
	return `All that is given is changed, or nothing is. An access token that is out outlives a new
password by up to ACCESS_TOKEN_LIFE (15 minutes).

` + userHelp
}

// Run changes the account.
func (c usersSetCommand) Run(ctx context.Context) error {
	patch, err := c.patch()
	if err != nil {
		return err
	}
	db, err := c.OpenOwner(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	user, err := findUser(ctx, db, c.User)
	if err != nil {
		return err
	}
	var password string
	if c.Password || c.Generate {
		if password, err = newPassword(c.Generate); err != nil {
			return err
		}
		hash, err := api.HashPassword(password)
		if err != nil {
			return err
		}
		patch.PasswordHash = &hash
	}
	if user, err = db.ChangeAccount(ctx, user.ID, patch); err != nil {
		return err
	}
	if user.Quota.UsedBytes > user.Quota.LimitBytes {
		fmt.Fprintf(os.Stderr, "%s uses %d bytes, more than the quota: "+
			"nothing more fits until documents are deleted\n",
			cli.Printable(user.Email), user.Quota.UsedBytes)
	}
	shown := []account{accountOf(user)}
	if c.Generate {
		shown[0].Password = password
	}
	return writeAccounts(os.Stdout, shown, c.JSON)
}

// patch returns what the flags change, without a password.
func (c usersSetCommand) patch() (p postgres.AccountPatch, err error) {
	if c.Quota == nil && c.Role == "" && !c.Password && !c.Generate &&
		c.AIProvider == nil && c.AIModel == nil {
		return p, cli.Usage(errors.New("say what to change: " +
			"--quota, --role, --password, --generate, --ai-provider or --ai-model"))
	}
	if c.Password && c.Generate {
		return p, cli.Usage(errors.New("give --password or --generate, not both"))
	}
	p.LimitBytes, p.AIProvider, p.AIModel = c.Quota, c.AIProvider, c.AIModel
	if c.Quota != nil && *c.Quota < 0 {
		return p, cli.Usage(errors.New("a quota is not negative"))
	}
	if c.AIProvider != nil && !api.UserPatchAiProvider(*c.AIProvider).Valid() {
		return p, cli.Usage(fmt.Errorf("there is no AI provider %q: "+
			"choose builtin, ollama, openai or anthropic", *c.AIProvider))
	}
	if c.AIModel != nil && (utf8.RuneCountInString(*c.AIModel) > api.MaxModel ||
		cli.Printable(*c.AIModel) != *c.AIModel) {
		return p, cli.Usage(fmt.Errorf(
			"a model's name has at most %d printable characters", api.MaxModel))
	}
	if c.Role != "" {
		role := schema.Role(c.Role)
		p.Role = &role
	}
	return p, nil
}

// findUser finds a user by address or id. The error for one who is not there says where to
// look.
func findUser(ctx context.Context, db *postgres.DB, who string) (schema.User, error) {
	user, err := db.FindUser(ctx, who)
	if errors.Is(err, postgres.ErrUnknownUser) {
		return user, fmt.Errorf("there is no user %s; \"intray users list\" shows them",
			cli.Printable(who))
	}
	return user, err
}
