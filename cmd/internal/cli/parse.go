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

// secretTag marks a secret setting, which should not be passed on the command line.
//
// A setting is a flag with an environment variable (kong's tag "env"). The name of the flag is
// the name of the variable in lower case, with dashes.
const secretTag = "secret"

// New returns the parser of the program with the name. The fields of grammar are its commands, as
// package kong describes.
func New(name, description string, grammar any) (*kong.Kong, error) {
	return kong.New(grammar, kong.Name(name), kong.Description(description),
		kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 100}),
		kong.ValueFormatter(flagHelp), kong.Help(printHelp))
}

// printHelp prints kong's help, but leaves required settings out of the usage line. There can be
// many of them, and they are usually set in the environment.
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
	_, err = fmt.Fprintln(ctx.Stdout, "\nSet secrets in the environment: "+
		"other users of this machine can read the command line.")
	return err
}

// flagHelp returns the help text of a flag or an argument, followed by its environment variable.
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

// Parse parses a command line and the environment into the grammar of the parser. It fails with
// a [UsageError]; the context then holds the part of the command line that was parsed.
//
// An empty variable is treated as unset, because compose.yaml passes variables that are not set
// in .env as empty.
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
	case failed.Context.Error == nil: // the command line is valid, so a setting is not
		if invalid := invalidSettings(failed.Context.Flags()); len(invalid) > 0 {
			err = settingsError(invalid)
		}
	}
	return failed.Context, Usage(err)
}

// unsetEmptyVariables removes the variables of empty settings from the environment.
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

// CheckSettings checks the environment for a command that this process will start: each setting
// must be valid by itself, and all of them together. It does not check required settings,
// because the caller sets them.
func CheckSettings(command *kong.Node) error {
	var optional []*kong.Flag
	for _, flag := range command.Flags {
		if flag.Required {
			flag.Target.SetZero()
		} else {
			optional = append(optional, flag)
		}
	}
	if invalid := invalidSettings(optional); len(invalid) > 0 {
		return Usage(settingsError(invalid))
	}
	if v, ok := command.Target.Addr().Interface().(interface{ Validate() error }); ok {
		return v.Validate()
	}
	return nil
}

func settingsError(invalid []string) error {
	return errors.New(strings.Join(invalid, "; ") + " (see docs/configuration.md)")
}

// invalidSettings describes each setting that is invalid or missing. The error of kong describes
// only the first one, and it contains the value, which may be a secret.
func invalidSettings(flags []*kong.Flag) (invalid []string) {
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
				invalid = append(invalid, flag.Envs[0]+" "+requirement(flag, errors.Unwrap(err)))
			}
		case flag.Required && !flag.Set:
			invalid = append(invalid, flag.Envs[0]+" is not set")
		}
	}
	return invalid
}

// requirement describes what the value of a setting that was refused with err must be. It does
// not contain the value: err is used only for our own types, whose errors do not contain it.
func requirement(flag *kong.Flag, err error) string {
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
		return fmt.Sprintf("is invalid: %v", err)
	}
}
