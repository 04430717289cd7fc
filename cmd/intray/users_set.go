package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"unicode/utf8"

	"intray/api"
	"intray/cmd/internal/cli"
	"intray/infra/postgres"
	"intray/schema"
)

type usersSetCommand struct {
	cli.HintFlags
	cli.AuditFlags
	User       string  `arg:"" help:"Email address or id of the user."`
	Quota      *int64  `placeholder:"BYTES" help:"New quota in bytes. It may be below the used bytes; new uploads are then rejected."`
	Role       string  `enum:",user,admin" default:"" placeholder:"ROLE" help:"New role: user or admin. The last administrator cannot be demoted."`
	Password   bool    `help:"Read a new password from standard input as one line. Ends all sessions of the user."`
	Generate   bool    `help:"Generate a new password and print it. Ends all sessions of the user."`
	AIProvider *string `name:"ai-provider" placeholder:"NAME" help:"AI provider for the user's documents: builtin, ollama, openai or anthropic. Empty (--ai-provider=) means the default."`
	AIModel    *string `name:"ai-model" placeholder:"NAME" help:"Model of the AI provider. Empty (--ai-model=) means the default."`
	JSON       bool    `help:"Print the account as one JSON object."`
}

// Help describes the change and how a user is named.
func (usersSetCommand) Help() string {
	return `Changes all given properties in one transaction. Access tokens that were issued before a
change of the password remain valid until they expire, for up to ACCESS_TOKEN_TTL (15 minutes by
default).

` + userHelp
}

// Run changes the account.
func (c usersSetCommand) Run(ctx context.Context) error {
	patch := c.patch()
	db, err := c.OpenOwnerFor(c.AuditFlags)
	if err != nil {
		return err
	}
	defer db.Close()
	if patch.AIProvider != nil {
		if err := checkAIProvider(ctx, db, *patch.AIProvider); err != nil {
			return err
		}
	}
	user, err := findUser(ctx, db, c.User)
	if err != nil {
		return err
	}
	var password string
	if c.Password || c.Generate {
		if password, err = newPassword(c.Generate, os.Stdin, user.Email); err != nil {
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
	if c.Quota != nil {
		defer c.PublishHint(ctx, schema.HintQuota, user.ID)
	}
	if user.Quota.UsedBytes > user.Quota.LimitBytes {
		fmt.Fprintf(os.Stderr, "Warning: %s uses %d bytes, which is more than the quota. "+
			"New uploads are rejected until documents are deleted.\n",
			cli.Printable(user.Email), user.Quota.UsedBytes)
	}
	changed := accountOf(user)
	if c.Generate {
		changed.Password = password
	}
	return writeAccounts(os.Stdout, []account{changed}, c.JSON)
}

// checkAIProvider returns an error if no consumer has the AI provider configured. Before any
// consumer has run, it accepts every provider.
func checkAIProvider(ctx context.Context, db *postgres.DB, provider string) error {
	err := db.CheckAIProvider(ctx, provider)
	if refused, ok := errors.AsType[*schema.Error](err); ok {
		return cli.Usage(errors.New(refused.Detail))
	}
	return err
}

// Validate returns an error if the flags change nothing, contradict each other or have invalid
// values.
func (c usersSetCommand) Validate() error {
	switch {
	case c.Quota == nil && c.Role == "" && !c.Password && !c.Generate &&
		c.AIProvider == nil && c.AIModel == nil:
		return cli.Usage(errors.New("nothing to change: set at least one of " +
			"--quota, --role, --password, --generate, --ai-provider and --ai-model"))
	case c.Password && c.Generate:
		return cli.Usage(errors.New("--password and --generate cannot be combined"))
	case c.Quota != nil && *c.Quota < 0:
		return cli.Usage(errors.New("--quota must not be negative"))
	case c.AIProvider != nil && *c.AIProvider != "" &&
		!slices.Contains(schema.AIProviders, *c.AIProvider):
		return cli.Usage(fmt.Errorf("unknown AI provider %q: "+
			"choose builtin, ollama, openai or anthropic", *c.AIProvider))
	case c.AIModel != nil && !validModel(*c.AIModel):
		return cli.Usage(fmt.Errorf(
			"--ai-model must have at most %d characters, all printable", api.MaxModelName))
	}
	return nil
}

func validModel(name string) bool {
	return utf8.RuneCountInString(name) <= api.MaxModelName && cli.Printable(name) == name
}

// patch returns the changes of the flags, except the password.
func (c usersSetCommand) patch() postgres.AccountPatch {
	var p postgres.AccountPatch
	p.LimitBytes, p.AIProvider, p.AIModel = c.Quota, c.AIProvider, c.AIModel
	if c.Role != "" {
		role := schema.Role(c.Role)
		p.Role = &role
	}
	return p
}
