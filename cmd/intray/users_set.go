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
password by up to ACCESS_TOKEN_TTL (15 minutes).

` + userHelp
}

// Run changes the account.
func (c usersSetCommand) Run(ctx context.Context) error {
	patch := c.patch()
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

// Validate refuses flags that change nothing or contradict each other, and bad values.
func (c usersSetCommand) Validate() error {
	switch {
	case c.Quota == nil && c.Role == "" && !c.Password && !c.Generate &&
		c.AIProvider == nil && c.AIModel == nil:
		return cli.Usage(errors.New("say what to change: " +
			"--quota, --role, --password, --generate, --ai-provider or --ai-model"))
	case c.Password && c.Generate:
		return cli.Usage(errors.New("give --password or --generate, not both"))
	case c.Quota != nil && *c.Quota < 0:
		return cli.Usage(errors.New("a quota is not negative"))
	case c.AIProvider != nil && !api.UserPatchAiProvider(*c.AIProvider).Valid():
		return cli.Usage(fmt.Errorf("there is no AI provider %q: "+
			"choose builtin, ollama, openai or anthropic", *c.AIProvider))
	case c.AIModel != nil && !validModel(*c.AIModel):
		return cli.Usage(fmt.Errorf(
			"a model's name has at most %d printable characters", api.MaxModelName))
	}
	return nil
}

func validModel(name string) bool {
	return utf8.RuneCountInString(name) <= api.MaxModelName && cli.Printable(name) == name
}

// patch returns what the flags change, without a password.
func (c usersSetCommand) patch() postgres.AccountPatch {
	var p postgres.AccountPatch
	p.LimitBytes, p.AIProvider, p.AIModel = c.Quota, c.AIProvider, c.AIModel
	if c.Role != "" {
		role := schema.Role(c.Role)
		p.Role = &role
	}
	return p
}
