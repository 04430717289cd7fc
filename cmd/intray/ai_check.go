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
	Check aiCheckCommand `cmd:"" help:"Ask each AI provider to sort a line of text, and say what works."`
}

type aiCheckCommand struct {
	cli.OwnerFlags
	Provider string `help:"Only this provider: builtin, ollama, openai or anthropic."`
	Model    string `help:"This model, instead of the default and those that users have chosen."`
	JSON     bool   `help:"A JSON line for each."`

	AI aiSettings `embed:"" group:"AI providers:"`
}

// Help says what is asked and what the exit status means.
func (aiCheckCommand) Help() string {
	return `Sends a tiny request, as for a document, to every provider and model that a document would
go to now: the defaults, those that users have chosen, and each provider that is set up. Says
how long the answer took and whether it fulfilled the schema. It costs a few hundred tokens
each. Run it with the environment of the consumers. Without a database users' choices are left
out.

Exit status: 0 all work, 1 one refuses, answers wrongly or is not set up, 2 wrong usage, 3 one
is out of reach and the others work.`
}

// Validate checks the AI settings.
func (c aiCheckCommand) Validate() error {
	_, err := c.AI.remote()
	return err
}

// Run asks one after the other.
func (c aiCheckCommand) Run(ctx context.Context) error {
	config, err := c.AI.classification()
	if err != nil {
		return err
	}
	if _, ok := config.Providers[c.Provider]; c.Provider != "" && !ok {
		return cli.Usage(fmt.Errorf("provider %q is not set up; there are %s",
			c.Provider, strings.Join(slices.Sorted(maps.Keys(config.Providers)), ", ")))
	}
	users, fallback, err := c.users(ctx)
	if err != nil {
		return err
	}
	config.DefaultProvider = cmp.Or(config.DefaultProvider, fallback)
	check := aicheck.Check{Config: config, Users: users, Provider: c.Provider, Model: c.Model}
	if c.AI.OllamaURL == "" { // there whether wanted or not
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

// users returns the users' settings, if there is a database to read them from, and
// the default provider of where they are.
func (c aiCheckCommand) users(ctx context.Context) ([]classify.Settings, string, error) {
	fallback := classify.FallbackProvider
	if c.Local() {
		fallback = builtin.Provider // up's
	}
	db, err := c.OpenOwner(ctx)
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
		remark := r.Error
		if r.Outcome == aicheck.Works && !r.Correct {
			remark = "but it did not find that an invoice is one: this model may be too weak"
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%d ms\t%s\n", cli.Printable(r.Provider),
			cli.Printable(r.Model), r.Users, r.Outcome, r.LatencyMS, cli.Printable(remark))
	}
	return table.Flush()
}
