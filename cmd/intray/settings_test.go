package main

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	composecli "github.com/compose-spec/compose-go/v2/cli"

	"intray/cmd/internal/cli"
)

// settings returns the flags of a command that have an environment variable, by its name.
func settings(command *kong.Node) map[string]*kong.Flag {
	found := make(map[string]*kong.Flag)
	for _, group := range command.AllFlags(false) {
		for _, flag := range group {
			for _, name := range flag.Envs {
				found[name] = flag
			}
		}
	}
	return found
}

// everyCommand returns the model of each command by its words, such as "users add".
func everyCommand(t *testing.T) map[string]*kong.Node {
	t.Helper()
	parser, err := cli.New("intray", description, &commands{})
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]*kong.Node)
	for _, command := range parser.Model.Leaves(false) {
		found[command.Path()] = command
	}
	if len(found) < 20 {
		t.Fatalf("got %d commands, want at least 20", len(found))
	}
	return found
}

// help returns what a command prints for --help.
func help(t *testing.T, command string) string {
	t.Helper()
	parser, err := cli.New("intray", description, &commands{})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	parser.Stdout, parser.Exit = &out, func(int) {}
	// It fails after the help was printed: this Exit does not end the process.
	_, _ = parser.Parse(append(strings.Fields(command), "--help"))
	return out.String()
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	holdsSecret = regexp.MustCompile(`(_SECRET|PASSWORD|_API_KEY|^TOKEN_KEY.*|DATABASE_URL|_HEADERS)$`)
	inCode      = regexp.MustCompile("`([A-Z]+_[A-Z0-9_]+|LISTEN)`")
)

func TestEverySettingIsInHelpAndDocumentation(t *testing.T) {
	const others = "\n## MinIO and NATS\n"
	page, _, found := strings.Cut(readFile(t, "../../docs/configuration.md"), others)
	if !found {
		t.Fatalf("configuration.md has no section %q", others)
	}
	read := make(map[string]bool)
	for command, node := range everyCommand(t) {
		t.Run(command, func(t *testing.T) {
			if strings.Contains(node.Detail, "Environment") {
				t.Errorf("the help lists variables by hand:\n%s", node.Detail)
			}
			text := help(t, command)
			for name, flag := range settings(node) {
				read[name] = true
				if want := strings.ToLower(strings.ReplaceAll(name, "_", "-")); flag.Name != want {
					t.Errorf("the flag of %s is --%s, want --%s", name, flag.Name, want)
				}
				if got := len(flag.Envs); got != 1 {
					t.Errorf("--%s has %d variables, want 1", flag.Name, got)
				}
				if !regexp.MustCompile(`\$` + name + `\b`).MatchString(text) {
					t.Errorf("--help does not name %s:\n%s", name, text)
				}
				if !strings.Contains(page, "`"+name+"`") {
					t.Errorf("configuration.md does not name %s", name)
				}
				if got, want := flag.Tag.Has("secret"), holdsSecret.MatchString(name); got != want {
					t.Errorf("%s is tagged as a secret: %v, want %v", name, got, want)
				}
				if flag.Tag.Has("secret") && flag.HasDefault {
					t.Errorf("%s is a secret and has the default %q", name, flag.Default)
				}
			}
		})
	}
	for _, match := range inCode.FindAllStringSubmatch(page, -1) {
		if name := match[1]; !read[name] && !strings.HasPrefix(name, "XDG_") {
			t.Errorf("configuration.md names %s, which no command reads", name)
		}
	}
}

// serviceOf returns the service of compose.yaml in whose environment a command runs.
func serviceOf(command string) string {
	name, _, _ := strings.Cut(command, " ")
	switch name {
	case "api", "gateway", "provision", "migrate":
		return name
	case "consume", "ai":
		return "consumers"
	case "up":
		return ""
	default:
		return "operator"
	}
}

func TestComposeSetsEverySetting(t *testing.T) {
	read := make(map[string]map[string]bool) // by service
	for command, node := range everyCommand(t) {
		service := serviceOf(command)
		if read[service] == nil {
			read[service] = make(map[string]bool)
		}
		for name := range settings(node) {
			read[service][name] = true
		}
	}
	compose := readFile(t, "../../compose.yaml")
	var env []string
	for _, match := range regexp.MustCompile(`\$\{([A-Z_]+):\?`).FindAllStringSubmatch(compose, -1) {
		env = append(env, match[1]+"=required")
	}
	options, err := composecli.NewProjectOptions([]string{"../../compose.yaml"},
		composecli.WithProfiles([]string{"*"}), composecli.WithEnv(env))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, service := range slices.Sorted(maps.Keys(read)) {
		if service == "" {
			continue
		}
		t.Run(service, func(t *testing.T) {
			given := project.Services[service].Environment
			for name := range read[service] {
				if _, ok := given[name]; !ok {
					t.Errorf("compose.yaml does not give %s to %s", name, service)
				}
			}
			for name := range given {
				if !read[service][name] {
					t.Errorf("compose.yaml gives %s to %s, which does not read it", name, service)
				}
			}
		})
	}

	example := readFile(t, "../../.env.example")
	for _, match := range regexp.MustCompile(`[A-Z]+_[A-Z0-9_]+`).FindAllString(example, -1) {
		if !regexp.MustCompile(`\b` + match + `\b`).MatchString(compose) {
			t.Errorf(".env.example names %s, which compose.yaml does not read", match)
		}
	}
}

func TestUpPassesEverySettingOn(t *testing.T) {
	every := everyCommand(t)
	for _, part := range parts {
		t.Run(part, func(t *testing.T) {
			want := []string{"PATH=" + os.Getenv("PATH")}
			for name := range settings(every[part]) {
				t.Setenv(name, "up's "+name)
				if name == "LISTEN" || name == "METRICS_LISTEN" {
					want = append(want, name+"=decided")
				} else {
					want = append(want, name+"=up's "+name)
				}
			}
			decided := map[string]string{"METRICS_LISTEN": "decided"}
			if part != "consume" {
				decided["LISTEN"] = "decided"
			}
			slices.Sort(want)
			if got := partEnvironment(every[part], decided); !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	t.Run("defaults", func(t *testing.T) {
		t.Setenv("DEFAULT_AI_PROVIDER", "")
		t.Setenv("DEFAULT_AI_MODEL", "")
		got := partEnvironment(every["consume"], nil)
		if !slices.Contains(got, "DEFAULT_AI_PROVIDER=builtin") {
			t.Errorf("got %q, want the provider builtin", got)
		}
		if strings.Contains(strings.Join(got, "\n"), "DEFAULT_AI_MODEL") {
			t.Errorf("got %q, want no model", got)
		}
	})
}

func TestUpRefusesSettingsThatItsPartsRefuse(t *testing.T) {
	for name, value := range map[string]string{
		"SESSION_IDLE": "soon", "READS_PER_SECOND": "0", "AI_CONCURRENT_CALLS": "65",
		"MAX_CONNECTIONS": "many", "OLLAMA_URL": "http://u:p@h",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, value)
			if _, err := parse(t, "up"); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s=%s: error %v, want one that names it", name, value, err)
			}
		})
	}
	t.Run("what up makes itself", func(t *testing.T) {
		t.Setenv("TOKEN_KEY", "short")
		t.Setenv("MINIO_ENDPOINT", "not an address")
		if _, err := parse(t, "up"); err != nil {
			t.Errorf("error %v, want none", err)
		}
	})
}
