// Package docker_test checks that compose.yaml matches the programs. It loads and validates the
// file with the library of Docker Compose and needs no container engine.
package docker_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/nats-io/nats-server/v2/server"

	"intray/infra/local"
	"intray/infra/nats"
)

const root = "../.."

// settings returns the settings in .env.example, with a value for each that has none.
func settings(t *testing.T) map[string]string {
	t.Helper()
	env, err := dotenv.Read(filepath.Join(root, ".env.example"))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range env {
		if value == "" {
			env[name] = "k" + strings.ToLower(strings.ReplaceAll(name, "_", "")) + "0123456789"
		}
	}
	return env
}

// load loads compose.yaml, and the files on top of it, with these settings and all profiles.
func load(t *testing.T, env map[string]string, files ...string) (*types.Project, error) {
	t.Helper()
	var list []string
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	paths := []string{filepath.Join(root, "compose.yaml")}
	for _, file := range files {
		paths = append(paths, filepath.Join(root, file))
	}
	options, err := cli.NewProjectOptions(paths,
		cli.WithEnv(list), cli.WithProfiles([]string{"*"}), cli.WithConsistency(true))
	if err != nil {
		t.Fatal(err)
	}
	return options.LoadProject(t.Context())
}

func project(t *testing.T) *types.Project {
	t.Helper()
	p, err := load(t, settings(t))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// environment returns the environment variables of a service, without those that are not set.
func environment(s types.ServiceConfig) map[string]string {
	env := map[string]string{}
	for name, value := range s.Environment {
		if value != nil {
			env[name] = *value
		}
	}
	return env
}

func TestServices(t *testing.T) {
	got := slices.Sorted(maps.Keys(project(t).Services))
	want := []string{
		"api", "consumers", "gateway", "migrate", "minio", "nats", "operator", "postgres", "provision",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got services %v, want %v", got, want)
	}
}

// .env.example contains no secrets, so that no deployment uses published ones. Compose must not
// start if a secret is missing.
func TestEverySecretIsRequired(t *testing.T) {
	example, err := dotenv.Read(filepath.Join(root, ".env.example"))
	if err != nil {
		t.Fatal(err)
	}
	secrets := 0
	for name, value := range example {
		if value != "" {
			continue
		}
		secrets++
		env := settings(t)
		env[name] = ""
		if _, err := load(t, env); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: got error %v, want one with the setting's name", name, err)
		}
	}
	if secrets < 10 {
		t.Errorf("got %d settings without a value, want at least 10", secrets)
	}
}

// A service must wait for the services that it connects to, and must share a network with them. The
// operator's commands must not: Compose would start a service that is stopped, and so hide that it
// was.
func TestServicesWaitForDependencies(t *testing.T) {
	p := project(t)
	for name, s := range p.Services {
		if name == "operator" {
			if len(s.DependsOn) > 0 {
				t.Errorf("operator: got dependencies %v, want none", s.DependsOn)
			}
			if !shareNetwork(s, p.Services["postgres"]) {
				t.Error("operator: got no network of postgres, want one")
			}
			continue
		}
		needs := map[string]string{}
		for _, value := range environment(s) {
			for other, address := range map[string]string{
				"postgres": "postgres:5432", "nats": "nats:4222", "minio": "minio:9000",
			} {
				if strings.Contains(value, address) {
					needs[other] = types.ServiceConditionHealthy
				}
			}
			// The roles and the schema exist only after provision.
			if strings.HasPrefix(value, "postgres://api:") ||
				strings.HasPrefix(value, "postgres://worker:") {
				needs["provision"] = types.ServiceConditionCompletedSuccessfully
			}
		}
		switch name {
		case "provision":
			needs["migrate"] = types.ServiceConditionCompletedSuccessfully
		}
		for other, condition := range needs {
			if got := s.DependsOn[other].Condition; got != condition {
				t.Errorf("%s depends on %s: got condition %q, want %s", name, other, got, condition)
			}
			if condition == types.ServiceConditionHealthy && !shareNetwork(s, p.Services[other]) {
				t.Errorf("%s and %s: got no common network, want one", name, other)
			}
		}
	}
}

func shareNetwork(a, b types.ServiceConfig) bool {
	for name := range a.Networks {
		if _, ok := b.Networks[name]; ok {
			return true
		}
	}
	return false
}

func TestOnlyGatewayAndAPIArePublished(t *testing.T) {
	p := project(t)
	for name, s := range p.Services {
		want := 0
		if name == "gateway" || name == "api" {
			want = 1
		}
		if len(s.Ports) != want {
			t.Errorf("%s: got %d published ports, want %d", name, len(s.Ports), want)
		}
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s: got default address %q, want 127.0.0.1", name, port.HostIP)
			}
		}
		mayUseOutside := slices.Contains([]string{"gateway", "api", "consumers"}, name)
		for network := range s.Networks {
			if network != "inside" && !mayUseOutside {
				t.Errorf("%s: got network %s, want only inside", name, network)
			}
		}
	}
	if !p.Networks["inside"].Internal {
		t.Error("network inside: got access to other networks, want internal")
	}
}

var version = regexp.MustCompile(`^v?\d`)

func TestImagesArePinned(t *testing.T) {
	for name, s := range frontProject(t).Services {
		_, tag, _ := strings.Cut(s.Image, ":")
		if !version.MatchString(tag) {
			t.Errorf("%s: got image %q, want a tag with a version", name, s.Image)
		}
	}
	for _, file := range []string{"Dockerfile", "infra/minio/Dockerfile"} {
		text := read(t, file)
		for _, from := range regexp.MustCompile(`(?m)^FROM (\S+)`).FindAllStringSubmatch(text, -1) {
			_, tag, _ := strings.Cut(from[1], ":")
			if from[1] != "scratch" && !version.MatchString(tag) {
				t.Errorf("%s: got base image %q, want a tag with a version", file, from[1])
			}
		}
	}
}

// The build context must contain the source of every package of this module that the images
// contain.
func TestBuildContextContainsEveryPackage(t *testing.T) {
	const ownPackages = `{{with .Module}}{{if .Main}}{{$.ImportPath}}{{end}}{{end}}`
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", ownPackages, "./cmd/intray")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := strings.Fields(string(out))
	if len(packages) == 0 {
		t.Fatal("got no packages of the module, want those of cmd/intray")
	}
	included := strings.Fields(read(t, ".dockerignore"))
	missing := map[string]bool{}
	for _, path := range packages {
		folder := strings.Split(path, "/")[1]
		if !slices.Contains(included, "!"+folder) && !missing[folder] {
			missing[folder] = true
			t.Errorf(".dockerignore: got no line !%s, want it for %s", folder, path)
		}
	}
}

// An image must contain the notices of the third-party code in it.
func TestImagesContainNotices(t *testing.T) {
	const notices = "THIRD_PARTY_NOTICES.md"
	if ignore := read(t, ".dockerignore"); !strings.Contains(ignore, "\n!"+notices+"\n") {
		t.Errorf(".dockerignore: got\n%s\nwant %s in the context", ignore, notices)
	}
	for _, file := range []string{"Dockerfile", "infra/minio/Dockerfile"} {
		want := regexp.MustCompile(`(?m)\Q` + notices + `\E.* /usr/share/doc/intray/`)
		if text := read(t, file); !want.MatchString(text) {
			t.Errorf("%s: got\n%s\nwant %s in /usr/share/doc/intray", file, text, notices)
		}
	}
}

// The versions of MinIO and NATS must be the ones that `intray up` and the tests use.
func TestVersionsAgree(t *testing.T) {
	p := project(t)
	minioVersion := regexp.MustCompile(`(?m)^ARG MINIO_VERSION=(\S+)`)
	for _, args := range minioVersion.FindAllStringSubmatch(read(t, "infra/minio/Dockerfile"), -1) {
		if args[1] != local.MinIOVersion {
			t.Errorf("infra/minio/Dockerfile: got version %s, want %s", args[1], local.MinIOVersion)
		}
	}
	for name, want := range map[string]string{
		"minio": "intray-minio:" + local.MinIOVersion,
		"nats":  "nats:" + server.VERSION + "-alpine",
	} {
		if got := p.Services[name].Image; got != want {
			t.Errorf("%s: got image %s, want %s", name, got, want)
		}
	}
}

// Prometheus scrapes the private listener of each server. The health check of the consumers and the
// operator's container use the private listener of the consumers.
func TestPrivateListenersAgree(t *testing.T) {
	p, prometheus := project(t), read(t, "infra/prometheus/prometheus.yaml")
	ports := map[string]string{}
	for _, name := range []string{"api", "gateway", "consumers"} {
		service := p.Services[name]
		host, port, _ := strings.Cut(environment(service)["METRICS_LISTEN"], ":")
		if ports[name] = port; host != "0.0.0.0" {
			t.Errorf("%s: got metrics on host %q, want 0.0.0.0", name, host)
		}
		want := fmt.Sprintf("names: [%s], type: A, port: %s ", name, port)
		if !strings.Contains(prometheus, want) {
			t.Errorf("prometheus.yaml: got\n%s\nwant %s in it", prometheus, want)
		}
		for _, published := range service.Ports {
			if fmt.Sprint(published.Target) == port {
				t.Errorf("%s: got published port %s, want it private", name, port)
			}
		}
	}
	check := p.Services["consumers"].HealthCheck.Test
	want := "http://127.0.0.1:" + ports["consumers"] + "/healthz"
	if got := check[len(check)-1]; got != want {
		t.Errorf("health check of consumers: got URL %q, want %s", got, want)
	}
	want = "http://consumers:" + ports["consumers"]
	if got := environment(p.Services["operator"])["CONSUMERS_URL"]; got != want {
		t.Errorf("the operator's CONSUMERS_URL: got %q, want %q", got, want)
	}
}

func TestImagesCanBeReplaced(t *testing.T) {
	env := settings(t)
	env["MINIO_IMAGE"] = "example.org/minio:1"
	p, err := load(t, env)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Services["minio"].Image; got != env["MINIO_IMAGE"] {
		t.Errorf("minio: got image %s, want %s", got, env["MINIO_IMAGE"])
	}
}

// MinIO must have the same settings here and with `intray up`.
func TestMinIOSettings(t *testing.T) {
	p, env := project(t), settings(t)
	want := map[string]string{}
	for _, setting := range local.MinIOEnv(local.MinIOSettings{
		RootUser:     "intray-root",
		RootPassword: env["MINIO_ROOT_PASSWORD"],
		NATSAddress:  "nats:4222",
		NATSUser:     local.NATSMinIO,
		NATSPassword: env["NATS_MINIO_PASSWORD"],
		QueueDir:     "/data/queue",
	}) {
		name, value, _ := strings.Cut(setting, "=")
		want[name] = value
	}
	got := environment(p.Services["minio"])
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("minio: got %s %q, want %q", name, got[name], want[name])
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok && name != "GOMEMLIMIT" {
			t.Errorf("minio: got %s, which `intray up` does not set", name)
		}
	}
	// Without these settings events can be lost, so the test does not rely on MinIOEnv for them.
	for name, value := range map[string]string{
		"MINIO_SYNC_BOOT":                             "on",
		"MINIO_API_SYNC_EVENTS":                       "on",
		"MINIO_NOTIFY_NATS_QUEUE_DIR_CREATED_DURABLE": "/data/queue",
		"MINIO_NOTIFY_NATS_QUEUE_DIR_REMOVED_DURABLE": "/data/queue",
	} {
		if got[name] != value {
			t.Errorf("minio: got %s %q, want %q", name, got[name], value)
		}
	}
}

// Two builds of one tag would give its services different images, and Compose would recreate their
// containers at the next start. A service must wait for the one that builds its image.
func TestEveryImageIsBuiltOnce(t *testing.T) {
	builds := map[string][]string{}
	for name, s := range project(t).Services {
		if s.Build != nil {
			builds[s.Image] = append(builds[s.Image], name)
		}
	}
	for image, names := range builds {
		if len(names) != 1 {
			t.Errorf("%s: got builds by %v, want by one service", image, names)
		}
	}
	if len(builds) != 2 {
		t.Errorf("got %d images that are built, want those of Intray and MinIO", len(builds))
	}
}

// The image of MinIO must be built from few files, so that it stays the same when others change.
func TestMinIOImageIsIndependent(t *testing.T) {
	var copied []string
	for _, from := range regexp.MustCompile(`(?m)^COPY ([^-]\S*) `).FindAllStringSubmatch(
		read(t, "infra/minio/Dockerfile"), -1) {
		copied = append(copied, from[1])
	}
	want := []string{"infra/minio/eventqueue", "cmd/start-minio", "THIRD_PARTY_NOTICES.md"}
	if !slices.Equal(copied, want) {
		t.Errorf("got files %v, want %v", copied, want)
	}
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f",
		"{{if not .Standard}}{{.ImportPath}}{{end}}", "./cmd/start-minio")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := strings.Fields(string(out))
	want = []string{"intray/infra/minio/eventqueue", "intray/cmd/start-minio"}
	if !slices.Equal(packages, want) {
		t.Errorf("got packages %v, want %v", packages, want)
	}
}

// Logs must not fill the disk.
func TestLogsAreRotated(t *testing.T) {
	for name, s := range frontProject(t).Services {
		if s.Logging == nil || s.Logging.Options["max-size"] == "" ||
			s.Logging.Options["max-file"] == "" {
			t.Errorf("%s: got logging %v, want a limit", name, s.Logging)
		}
	}
}

func volumes(s types.ServiceConfig) []string {
	var list []string
	for _, v := range s.Volumes {
		list = append(list, v.Source+":"+v.Target)
	}
	return list
}

// The test parses nats.conf with the server's own code and the environment of compose.yaml.
func TestNATSConfiguration(t *testing.T) {
	p, env := project(t), settings(t)
	environ := environment(p.Services["nats"])
	variable := regexp.MustCompile(`\$(NATS_[A-Z_]+)`)
	for _, name := range variable.FindAllStringSubmatch(string(nats.ServerConfig), -1) {
		if environ[name[1]] == "" {
			t.Errorf("nats.conf uses $%s, which compose.yaml does not set", name[1])
		}
	}
	for name, value := range environ {
		t.Setenv(name, value)
	}
	opts, err := server.ProcessConfigFile(filepath.Join(root, "infra/nats/nats.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if opts.Host != "0.0.0.0" || opts.Port != 4222 || opts.StoreDir != "/data" {
		t.Errorf("got address %s:%d and store %s, want 0.0.0.0:4222 and /data",
			opts.Host, opts.Port, opts.StoreDir)
	}
	for _, user := range opts.Users {
		want := env["NATS_"+strings.ToUpper(user.Username)+"_PASSWORD"]
		if user.Password != want {
			t.Errorf("user %s: got password %q, want %q", user.Username, user.Password, want)
		}
	}
	if len(opts.Users) != 4 {
		t.Errorf("got %d users, want 4", len(opts.Users))
	}
	want := filepath.Join(abs(t, root), "infra/nats/nats.conf") + ":/etc/nats/intray.conf"
	if got := volumes(p.Services["nats"]); !slices.Contains(got, want) {
		t.Errorf("got volumes %v, want %s among them", got, want)
	}
}

// A service must connect with the password that the other service sets.
func TestPasswordsAgree(t *testing.T) {
	p := project(t)
	setting := func(service, name string) string { return environment(p.Services[service])[name] }
	for _, pair := range [][2]string{
		{setting("provision", "API_DATABASE_PASSWORD"), password(setting("api", "DATABASE_URL"))},
		{setting("provision", "AUTH_DATABASE_PASSWORD"), password(setting("api", "AUTH_DATABASE_URL"))},
		{setting("provision", "WORKER_DATABASE_PASSWORD"), password(setting("consumers", "DATABASE_URL"))},
		{setting("postgres", "INTRAY_OWNER_PASSWORD"), password(setting("migrate", "DATABASE_URL"))},
		{setting("nats", "NATS_API_PASSWORD"), setting("api", "NATS_PASSWORD")},
		{setting("nats", "NATS_WORKER_PASSWORD"), setting("consumers", "NATS_PASSWORD")},
		{setting("nats", "NATS_OPERATOR_PASSWORD"), setting("provision", "NATS_PASSWORD")},
		{setting("minio", "MINIO_ROOT_PASSWORD"), setting("provision", "MINIO_ROOT_PASSWORD")},
	} {
		if pair[0] != pair[1] || pair[0] == "" {
			t.Errorf("got password %q, want %q as set by the other service", pair[1], pair[0])
		}
	}
}

// Every service must use the access keys that provision creates, and the consumers must not have
// the key that signs uploads.
func TestAccessKeysAgree(t *testing.T) {
	p := project(t)
	provisioned := environment(p.Services["provision"])
	for _, role := range []string{"UPLOAD", "MULTIPART", "DOWNLOAD", "CONFIRM", "WORKER"} {
		key, secret := "MINIO_"+role+"_KEY", "MINIO_"+role+"_SECRET"
		for service, s := range p.Services {
			for _, name := range []string{key, secret} {
				if got, ok := environment(s)[name]; ok && got != provisioned[name] {
					t.Errorf("%s: got %s %q, want %q", service, name, got, provisioned[name])
				}
			}
		}
		if n := len(provisioned[key]); n < 3 || n > 20 {
			t.Errorf("got %s with %d characters, want 3 to 20", key, n)
		}
	}
	if strings.Contains(fmt.Sprint(environment(p.Services["consumers"])), "minioupload") {
		t.Error("consumers: got the upload key's secret, want it in the API only")
	}
}

// password returns the password in a PostgreSQL URL.
func password(url string) string {
	_, rest, _ := strings.Cut(strings.TrimPrefix(url, "postgres://"), ":")
	password, _, _ := strings.Cut(rest, "@")
	return password
}

func TestServicesAreHardened(t *testing.T) {
	for name, s := range frontProject(t).Services {
		t.Run(name, func(t *testing.T) {
			if !s.ReadOnly {
				t.Error("got a writable root file system, want read_only")
			}
			if !slices.Contains(s.CapDrop, "ALL") {
				t.Errorf("got dropped capabilities %v, want ALL", s.CapDrop)
			}
			if !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
				t.Errorf("got security options %v, want no-new-privileges", s.SecurityOpt)
			}
			if !slices.Contains([]string{"front", "postgres", "nats"}, name) && s.User != "10001:10001" {
				t.Errorf("got user %q, want 10001:10001, the image's unprivileged user", s.User)
			}
			limits := s.Deploy != nil && s.Deploy.Resources.Limits != nil
			if !limits || s.Deploy.Resources.Limits.MemoryBytes == 0 {
				t.Error("got no memory limit, want one")
			}
			once := slices.Contains([]string{"migrate", "provision", "operator"}, name)
			if want := map[bool]string{true: "no", false: "unless-stopped"}[once]; s.Restart != want {
				t.Errorf("got restart policy %q, want %q", s.Restart, want)
			}
			if !once && (s.HealthCheck == nil || len(s.HealthCheck.Test) == 0) {
				t.Error("got no health check, want one")
			}
		})
	}
}

// writeEnv copies .env.example and the script to a new directory and runs the script there.
func writeEnv(t *testing.T) (dir, script string) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range []string{".env.example", "infra/docker/write-env.sh"} {
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, []byte(read(t, name)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	script = filepath.Join(dir, "infra/docker/write-env.sh")
	if out, err := exec.CommandContext(t.Context(), "sh", script).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return dir, script
}

func TestWriteEnv(t *testing.T) {
	dir, script := writeEnv(t)
	path := filepath.Join(dir, ".env")
	env, err := dotenv.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("compose accepts the file", func(t *testing.T) {
		if _, err := load(t, env); err != nil {
			t.Error(err)
		}
	})
	t.Run("every secret is different and valid for NATS and MinIO", func(t *testing.T) {
		seen, valid := map[string]bool{}, regexp.MustCompile(`^[a-z][A-Za-z0-9]{31,39}$`)
		for name := range settings(t) {
			value := env[name]
			if name == "DEFAULT_AI_PROVIDER" {
				continue
			}
			if !valid.MatchString(value) {
				t.Errorf("%s: got a value of %d characters, want it to match %s", name, len(value), valid)
			}
			if seen[value] {
				t.Errorf("%s: got the value of another setting", name)
			}
			seen[value] = true
		}
	})
	t.Run("only the user can read the file", func(t *testing.T) {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != 0o600 {
			t.Errorf("got mode %v, want 0600", got)
		}
	})
	t.Run("a second run does not change the file", func(t *testing.T) {
		if err := exec.CommandContext(t.Context(), "sh", script).Run(); err == nil {
			t.Error("got exit status 0, want an error")
		}
		again, err := dotenv.Read(path)
		if err != nil || !maps.Equal(again, env) {
			t.Errorf("got %d settings (%v), want the same %d", len(again), err, len(env))
		}
	})
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func abs(t *testing.T, path string) string {
	t.Helper()
	full, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return full
}
