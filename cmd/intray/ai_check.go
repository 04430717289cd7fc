package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"intray/cmd/internal/cli"
	"intray/consumers/classify"
	"intray/consumers/classify/builtin"
	"intray/infra/ai/ollama"
	"intray/ops/aicheck"
)

type aiCommand struct {
	Check aiCheckCommand `cmd:"" help:"Check that each AI provider can classify a sample document."`
}

type aiCheckCommand struct {
	cli.OwnerFlags
	Provider string `placeholder:"NAME" help:"Check only this provider: builtin, ollama, openai or anthropic."`
	Model    string `placeholder:"NAME" help:"Check this model instead of the default model and the models that users have chosen."`
	JSON     bool   `help:"Print one JSON object per line."`

	AI aiSettings `embed:"" group:"AI providers:"`
}

// Help describes the check and the exit status.
func (aiCheckCommand) Help() string {
	return `Sends a short sample document to every provider and model that documents are sent to
now: the default, those that users have chosen, and each other configured provider. It prints the
latency and whether the response matched the schema. Each request costs a few hundred tokens. Run
the command with the environment of the consumers. Without a database it cannot check the choices
of users.

Exit status: 0 all providers work, 1 a provider refuses the request, returns an invalid response
or is not configured, 2 wrong usage, 3 a provider is unreachable and all others work.`
}

// Validate checks the AI settings.
func (c aiCheckCommand) Validate() error {
	_, err := c.AI.remote()
	return err
}

// Run checks the providers one after another.
func (c aiCheckCommand) Run(ctx context.Context) error {
	config, err := c.AI.classification()
	if err != nil {
		return err
	}
	if _, ok := config.Providers[c.Provider]; c.Provider != "" && !ok {
		return cli.Usage(fmt.Errorf("provider %q is not configured; the configured providers are %s",
			c.Provider, strings.Join(slices.Sorted(maps.Keys(config.Providers)), ", ")))
	}
	users, fallback, err := c.users(ctx)
	if err != nil {
		return err
	}
	config.DefaultProvider = cmp.Or(config.DefaultProvider, fallback)
	check := aicheck.Check{Config: config, Users: users, Provider: c.Provider, Model: c.Model}
	if c.AI.OllamaURL == "" {
		// Ollama is always configured, with a default URL, even if nobody uses it.
		check.Optional = []string{ollama.Name}
	}
	results, err := check.Run(ctx)
	if err != nil {
		return err
	}
	if err := c.print(results); err != nil {
		return err
	}
	return aicheck.Err(results)
}

// users returns the AI settings of the users and the default provider of their system. Without
// a running stack or DATABASE_URL there are no settings.
func (c aiCheckCommand) users(ctx context.Context) ([]classify.Settings, string, error) {
	fallback := classify.FallbackProvider
	if c.Local() {
		fallback = builtin.Provider // the default of "intray up"
	}
	db, err := c.OpenOwner()
	if errors.Is(err, cli.ErrUnreachable) && c.Data == "" {
		return nil, classify.FallbackProvider, nil
	}
	if err != nil {
		return nil, "", err
	}
	defer db.Close()
	settings, err := db.AllAISettings(ctx)
	return settings, fallback, err
}

func (c aiCheckCommand) print(results []aicheck.Result) error {
	if c.JSON {
		for _, r := range results {
			line, err := json.Marshal(r)
			if err != nil {
				return err
			}
			fmt.Println(string(line))
		}
		return nil
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PROVIDER\tMODEL\tUSERS\tRESULT\tLATENCY\t")
	for _, r := range results {
		note := r.Error
		if r.Outcome == aicheck.Works && !r.Correct {
			note = "the sample invoice was not classified as an invoice; the model may be too weak"
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%d ms\t%s\n", cli.Printable(r.Provider),
			cli.Printable(r.Model), r.Users, r.Outcome, r.LatencyMS, cli.Printable(note))
	}
	return table.Flush()
}
