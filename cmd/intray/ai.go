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
	"time"

	"intray/cmd/internal/cli"
	"intray/consumers/classify"
	"intray/consumers/classify/builtin"
	"intray/infra/ai"
	"intray/infra/ai/ollama"
	"intray/infra/postgres"
)

type aiCommand struct {
	Check aiCheckCommand `cmd:"" help:"Ask each AI provider to sort a line of text, and say what works."`
}

type aiCheckCommand struct {
	cli.OperatorFlags
	Provider string `help:"Only this provider: builtin, ollama, openai or anthropic."`
	Model    string `help:"This model, instead of the default and those that users have chosen."`
	JSON     bool   `help:"A JSON line for each."`
}

// Help says what is asked, what the exit status means, and what is read from the
// environment.
func (aiCheckCommand) Help() string {
	return `Sends a tiny request, as for a document, to every provider and model that a document would
go to now: the defaults, those that users have chosen, and each provider that is set up. Says
how long the answer took and whether it fulfilled the schema. It costs a few hundred tokens
each. Run it with the environment of the consumers.

Exit status: 0 all work, 1 one refuses, answers wrongly or is not set up, 2 wrong usage,
3 one is out of reach and the others work.

Environment: DEFAULT_AI_PROVIDER, DEFAULT_AI_MODEL, SYSTEM_PROMPT, OLLAMA_URL, OLLAMA_API_KEY,
OLLAMA_NUM_CTX, OPENAI_BASE_URL, OPENAI_API_KEY, ANTHROPIC_BASE_URL, ANTHROPIC_API_KEY,
AI_TIMEOUT, and DATABASE_URL (the consumers' or the owner's), unless a stack of "intray up" is meant. Without a
database users' choices are left out.`
}

// checked is what one provider and model came to.
type checked struct {
	Provider string `json:"provider"`
	Model    string `json:"model"`
	Users    int    `json:"users"`
	// Result is works, invalid_answer, refused, unavailable or not_set_up.
	Result    string `json:"result"`
	LatencyMS int64  `json:"latency_ms"`
	// Schema says whether the answer fulfilled the schema; null without an answer.
	Schema *bool  `json:"schema"`
	Sorted bool   `json:"sorted"` // into the topic that it belongs to
	Error  string `json:"error,omitempty"`
}

// Run asks one after the other.
func (c aiCheckCommand) Run(ctx context.Context) error {
	s, err := cli.ReadSettings[aiSettings]()
	if err != nil {
		return err
	}
	providers, err := s.remote()
	if err != nil {
		return err
	}
	if providers[providerBuiltin], err = builtin.New(); err != nil {
		return err
	}
	if _, ok := providers[c.Provider]; c.Provider != "" && !ok {
		return cli.Usage(fmt.Errorf("provider %q is not set up; there are %s", c.Provider, strings.Join(slices.Sorted(maps.Keys(providers)), ", ")))
	}
	chosen, err := c.chosen(ctx, s, providers)
	if err != nil {
		return err
	}
	var all []checked
	for _, one := range chosen {
		if p, ok := providers[one.Provider]; ok {
			one.ask(ctx, p, s.SystemPrompt)
		} else {
			one.Result, one.Error = "not_set_up", "this provider is not set up, or there is none of this name"
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		all = append(all, one)
	}
	if err := c.print(all); err != nil {
		return err
	}
	return verdict(all)
}

// chosen returns which providers and models to ask, by name.
func (c aiCheckCommand) chosen(ctx context.Context, s aiSettings, providers map[string]classifier) ([]checked, error) {
	users, fallback, err := c.users(ctx)
	if err != nil {
		return nil, err
	}
	provider := cmp.Or(s.Provider, fallback)
	model := cmp.Or(s.Model, classify.FallbackModel)
	type pair struct{ provider, model string }
	count := map[pair]int{{provider, model}: 0}
	for _, u := range users {
		count[pair{cmp.Or(u.Provider, provider), cmp.Or(u.Model, model)}]++
	}
	for name := range providers {
		named := func(p pair) bool { return p.provider == name }
		unused := name == ollama.Name && s.OllamaURL == "" // there whether wanted or not
		if !unused && !slices.ContainsFunc(slices.Collect(maps.Keys(count)), named) {
			count[pair{name, model}] = 0
		}
	}
	if c.Provider != "" { // asked for by name, whether anybody uses it or not
		if !slices.ContainsFunc(slices.Collect(maps.Keys(count)), func(p pair) bool { return p.provider == c.Provider }) {
			count[pair{c.Provider, model}] = 0
		}
	}
	found := map[pair]checked{}
	for p, n := range count {
		if c.Provider != "" && p.provider != c.Provider {
			continue
		}
		p.model = cmp.Or(c.Model, p.model)
		if p.provider == providerBuiltin {
			p.model = "" // it has one
		}
		found[p] = checked{Provider: p.provider, Model: p.model, Users: found[p].Users + n}
	}
	return slices.SortedFunc(maps.Values(found), func(a, b checked) int {
		return cmp.Or(cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Model, b.Model))
	}), nil
}

// users returns the users' settings, if there is a database to read them from, and
// the default provider of where they are.
func (c aiCheckCommand) users(ctx context.Context) ([]classify.Settings, string, error) {
	fallback := classify.FallbackProvider
	if c.Data != "" || os.Getenv("DATABASE_URL") == "" {
		fallback = providerBuiltin // up's
	}
	system, err := c.Find()
	if errors.Is(err, cli.ErrUnreachable) && c.Data == "" {
		return nil, classify.FallbackProvider, nil
	}
	if err != nil {
		return nil, "", err
	}
	db, err := postgres.Open(ctx, system.Database, postgres.Options{MaxConns: 2})
	if err != nil {
		return nil, "", err
	}
	defer db.Close()
	settings, err := db.AISettings(ctx)
	return settings, fallback, err
}

// ask sends one request and fills in what came of it.
func (c *checked) ask(ctx context.Context, p classifier, system string) {
	began := time.Now()
	answer, err := p.Classify(ctx, ai.Request{
		Model: c.Model, SystemPrompt: cmp.Or(system, classify.DefaultSystemPrompt), Filename: "invoice.txt",
		Text: "Invoice number 1042. Bill to: Jane Doe. Amount due: 120.00, payment terms: net 30 days.",
		Topics: []ai.Topic{
			{ID: "a", Name: "Recipes", Description: "How to cook and bake", Keywords: []string{"oven", "flour", "tablespoon"}},
			{ID: "b", Name: "Invoices", Description: "Bills that ask for payment", Keywords: []string{"invoice", "amount due", "bill to", "payment terms"}},
		},
	})
	c.LatencyMS = time.Since(began).Milliseconds()
	fulfilled := err == nil
	switch {
	case err == nil:
		c.Result, c.Schema = "works", &fulfilled
		c.Sorted = len(answer.Choices) > 0 && answer.Choices[0].TopicID == "b"
		c.Model = cmp.Or(c.Model, answer.Model)
		return
	case errors.Is(err, ai.ErrInvalidAnswer):
		c.Result, c.Schema = "invalid_answer", &fulfilled
	case errors.Is(err, ai.ErrRefused), errors.Is(err, ai.ErrKey):
		c.Result = "refused"
	default:
		c.Result = "unavailable"
	}
	c.Error = err.Error()
}

func (c aiCheckCommand) print(all []checked) error {
	if c.JSON {
		for _, one := range all {
			line, err := json.Marshal(one)
			if err != nil {
				return err
			}
			fmt.Println(string(line))
		}
		return nil
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PROVIDER\tMODEL\tUSERS\tRESULT\tLATENCY\t")
	for _, one := range all {
		remark := one.Error
		if one.Result == "works" && !one.Sorted {
			remark = "but it did not find that an invoice is one: this model may be too weak"
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%d ms\t%s\n", cli.Printable(one.Provider), cli.Printable(one.Model), one.Users, one.Result, one.LatencyMS, cli.Printable(remark))
	}
	return table.Flush()
}

// verdict is the command's outcome.
func verdict(all []checked) error {
	away, wrong := 0, 0
	for _, one := range all {
		switch one.Result {
		case "works":
		case "unavailable":
			away++
		default:
			wrong++
		}
	}
	switch {
	case wrong > 0:
		return fmt.Errorf("%d of %d do not work", wrong+away, len(all))
	case away > 0:
		return fmt.Errorf("%w: %d of %d", ai.ErrUnavailable, away, len(all))
	}
	return nil
}
