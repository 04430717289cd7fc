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

// settings returns the settings of a command by the names of their environment variables.
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

// everyCommand returns the models of all commands by their names, such as "users add".
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
	// Parse continues after it has printed the help, because Exit does not end the process, and
	// may then return an error.
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
				t.Errorf("got a list of variables in the help text, want none:\n%s", node.Detail)
			}
			text := help(t, command)
			for name, flag := range settings(node) {
				read[name] = true
				if want := strings.ToLower(strings.ReplaceAll(name, "_", "-")); flag.Name != want {
					t.Errorf("%s: got flag --%s, want --%s", name, flag.Name, want)
				}
				if got := len(flag.Envs); got != 1 {
					t.Errorf("--%s: got %d variables, want 1", flag.Name, got)
				}
				if !regexp.MustCompile(`\$` + name + `\b`).MatchString(text) {
					t.Errorf("%s: got help without it:\n%s", name, text)
				}
				if !strings.Contains(page, "`"+name+"`") {
					t.Errorf("%s: not in configuration.md", name)
				}
				if got, want := flag.Tag.Has("secret"), holdsSecret.MatchString(name); got != want {
					t.Errorf("%s: got tag secret %v, want %v", name, got, want)
				}
				if flag.Tag.Has("secret") && flag.HasDefault {
					t.Errorf("%s: got default %q of a secret, want none", name, flag.Default)
				}
			}
		})
	}
	for _, match := range inCode.FindAllStringSubmatch(page, -1) {
		if name := match[1]; !read[name] && !strings.HasPrefix(name, "XDG_") {
			t.Errorf("%s: in configuration.md, but no command reads it", name)
		}
	}
}

// serviceOf returns the service of compose.yaml that runs a command.
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
					t.Errorf("%s: compose.yaml does not set it for %s", name, service)
				}
			}
			for name := range given {
				if !read[service][name] {
					t.Errorf("%s: compose.yaml sets it for %s, which does not read it", name, service)
				}
			}
		})
	}

	example, front := readFile(t, "../../.env.example"), readFile(t, "../../compose.front.yaml")
	for _, match := range regexp.MustCompile(`[A-Z]+_[A-Z0-9_]+`).FindAllString(example, -1) {
		if !regexp.MustCompile(`\b` + match + `\b`).MatchString(compose + front) {
			t.Errorf("%s: in .env.example, but no compose file reads it", match)
		}
	}
}

func TestUpPassesSettingsOn(t *testing.T) {
	every := everyCommand(t)
	for _, server := range ownServers {
		t.Run(server, func(t *testing.T) {
			want := []string{"PATH=" + os.Getenv("PATH")}
			for name := range settings(every[server]) {
				t.Setenv(name, "given "+name)
				if name == "LISTEN" || name == "METRICS_LISTEN" {
					want = append(want, name+"=up's own")
				} else {
					want = append(want, name+"=given "+name)
				}
			}
			own := map[string]string{"METRICS_LISTEN": "up's own"}
			if server != "consume" {
				own["LISTEN"] = "up's own"
			}
			slices.Sort(want)
			if got := serverEnvironment(every[server], own); !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	t.Run("defaults", func(t *testing.T) {
		t.Setenv("DEFAULT_AI_PROVIDER", "")
		t.Setenv("DEFAULT_AI_MODEL", "")
		got := serverEnvironment(every["consume"], nil)
		if !slices.Contains(got, "DEFAULT_AI_PROVIDER=builtin") {
			t.Errorf("got %q, want the provider builtin", got)
		}
		if strings.Contains(strings.Join(got, "\n"), "DEFAULT_AI_MODEL") {
			t.Errorf("got %q, want no model", got)
		}
	})
}

func TestUpRefusesInvalidSettingsOfItsServers(t *testing.T) {
	for name, value := range map[string]string{
		"SESSION_IDLE": "soon", "READS_PER_SECOND": "0", "AI_CONCURRENT_CALLS": "65",
		"MAX_CONNECTIONS": "many", "OLLAMA_URL": "http://u:p@h",
		"NATS_REPLICAS": "6", "NATS_BUCKET_BYTES": "1000", "NATS_MAX_AGE": "1m",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, value)
			if _, err := parse(t, "up"); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s=%s: got error %v, want one that names the setting", name, value, err)
			}
		})
	}
	t.Run("settings that up sets itself", func(t *testing.T) {
		t.Setenv("TOKEN_KEY", "short")
		t.Setenv("MINIO_ENDPOINT", "not an address")
		if _, err := parse(t, "up"); err != nil {
			t.Errorf("got error %v, want none", err)
		}
	})
}
