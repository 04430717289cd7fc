package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// secretTag marks a setting that does not belong on a command line.
//
// A setting is a flag with an environment variable (kong's tag "env"). The flag has the
// variable's name, in lower case and with dashes.
const secretTag = "secret"

// New returns the parser of the program called name, whose commands are the fields of
// grammar.
func New(name, description string, grammar any) (*kong.Kong, error) {
	return kong.New(grammar, kong.Name(name), kong.Description(description),
		kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 100}),
		kong.ValueFormatter(flagHelp), kong.Help(printHelp))
}

// printHelp prints kong's help without the settings that are required in its first
// line: there may be many, and each is usually in the environment.
func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	secrets := slices.ContainsFunc(ctx.Flags(), func(flag *kong.Flag) bool {
		return flag.Tag.Has(secretTag)
	})
	err := kong.Visit(ctx.Model, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok && len(flag.Envs) > 0 {
			flag.Required = false
		}
		return next(nil)
	})
	if err != nil {
		return err
	}
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil || !secrets {
		return err
	}
	_, err = fmt.Fprintln(ctx.Stdout, "\nPass what is secret in the environment: "+
		"others on this machine can read a command line.")
	return err
}

// flagHelp returns the help of a flag or an argument, with its environment variable.
func flagHelp(value *kong.Value) string {
	if len(value.Tag.Envs) == 0 {
		return value.Help
	}
	note := "$" + value.Tag.Envs[0]
	if value.Tag.Required {
		note += ", required"
	}
	if value.Tag.Has(secretTag) {
		note += ", secret"
	}
	return strings.TrimSuffix(value.Help, ".") + " (" + note + ")."
}

// Parse parses a command line and the environment into the parser's grammar. What is
// wrong with them is a [UsageError]; the context then says how far it came.
//
// An empty variable counts as unset: compose.yaml passes on what .env leaves out as empty.
func Parse(parser *kong.Kong, args []string) (*kong.Context, error) {
	if err := unsetEmptyVariables(parser.Model); err != nil {
		return nil, err
	}
	parsed, err := parser.Parse(args)
	if err == nil {
		return parsed, nil
	}
	var failed *kong.ParseError
	if !errors.As(err, &failed) {
		return nil, Usage(err)
	}
	var usage UsageError
	switch {
	case errors.As(err, &usage): // from a command's Validate
		err = usage
	case failed.Context.Error == nil: // the command line is well-formed
		if wrong := wrongSettings(failed.Context.Flags()); len(wrong) > 0 {
			err = settingsError(wrong)
		}
	}
	return failed.Context, Usage(err)
}

// unsetEmptyVariables removes from the environment the settings that are empty.
func unsetEmptyVariables(model *kong.Application) error {
	return kong.Visit(model, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok {
			for _, name := range flag.Envs {
				if value, set := os.LookupEnv(name); set && value == "" {
					return next(os.Unsetenv(name))
				}
			}
		}
		return next(nil)
	})
}

// CheckSettings checks the environment for a command that this one starts: each setting
// that is set can be read, and they agree with each other. Required settings are not
// checked, for this command makes them.
func CheckSettings(command *kong.Node) error {
	var optional []*kong.Flag
	for _, flag := range command.Flags {
		if flag.Required {
			flag.Target.SetZero()
		} else {
			optional = append(optional, flag)
		}
	}
	if wrong := wrongSettings(optional); len(wrong) > 0 {
		return Usage(settingsError(wrong))
	}
	if v, ok := command.Target.Addr().Interface().(interface{ Validate() error }); ok {
		return v.Validate()
	}
	return nil
}

func settingsError(wrong []string) error {
	return errors.New(strings.Join(wrong, "; ") + " (see docs/configuration.md)")
}

// wrongSettings describes each setting that cannot be read or is missing. kong's own
// error is about the first one only and repeats its value, which may be a secret.
func wrongSettings(flags []*kong.Flag) (wrong []string) {
	for _, flag := range flags {
		if len(flag.Envs) == 0 {
			continue
		}
		value, set := os.LookupEnv(flag.Envs[0])
		switch {
		case set:
			flag.Target.SetZero()
			token := kong.Token{Type: kong.FlagValueToken, Value: value}
			if err := flag.Parse(kong.ScanFromTokens(token), flag.Target); err != nil {
				wrong = append(wrong, flag.Envs[0]+" "+wanted(flag, errors.Unwrap(err)))
			}
		case flag.Required && !flag.Set:
			wrong = append(wrong, flag.Envs[0]+" is not set")
		}
	}
	return wrong
}

// wanted says what a setting must be that could not be read because of err. The errors
// of our own types do not repeat the value.
func wanted(flag *kong.Flag, err error) string {
	switch flag.Target.Interface().(type) {
	case time.Duration:
		return "must be a duration, such as 90s, 15m or 24h"
	case slog.Level:
		return "must be debug, info, warn or error"
	case bool:
		return "must be true or false"
	case float64:
		return "must be a number, such as 0.5"
	case int, int64:
		return "must be a whole number, such as 100"
	default:
		return fmt.Sprintf("cannot be read: %v", err)
	}
}
