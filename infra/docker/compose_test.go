// Package docker_test holds compose.yaml against what the programs need, without a container engine: it is loaded and
// validated as Docker Compose does it.
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

// settings returns .env.example with a value for each name that has none.
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

// load loads compose.yaml with these settings, all profiles included.
func load(t *testing.T, env map[string]string) (*types.Project, error) {
	t.Helper()
	var list []string
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	options, err := cli.NewProjectOptions([]string{filepath.Join(root, "compose.yaml")},
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

// environment returns what a service is given. A name that nobody sets is not among it.
func environment(s types.ServiceConfig) map[string]string {
	env := map[string]string{}
	for name, value := range s.Environment {
		if value != nil {
			env[name] = *value
		}
	}
	return env
}

func TestEveryServiceIsThere(t *testing.T) {
	got := slices.Sorted(maps.Keys(project(t).Services))
	want := []string{"api", "consumers", "gateway", "migrate", "minio", "nats", "operator", "postgres", "provision", "queue-check"}
	if !slices.Equal(got, want) {
		t.Errorf("services are %v, want %v", got, want)
	}
}

// The example holds no secrets, so that nobody runs with published ones: compose must refuse it, whichever is missing.
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
			t.Errorf("with no %s compose says %v, want an error that names it", name, err)
		}
	}
	if secrets < 10 {
		t.Errorf("the example leaves %d names empty, want every secret", secrets)
	}
}

// A service waits for what it talks to, and can reach it.
func TestServicesWaitForWhatTheyNeed(t *testing.T) {
	p := project(t)
	for name, s := range p.Services {
		needs := map[string]string{}
		for _, value := range environment(s) {
			for other, address := range map[string]string{"postgres": "postgres:5432", "nats": "nats:4222", "minio": "minio:9000"} {
				if strings.Contains(value, address) {
					needs[other] = types.ServiceConditionHealthy
				}
			}
			// Roles and schema are there only then.
			if strings.HasPrefix(value, "postgres://api:") || strings.HasPrefix(value, "postgres://worker:") {
				needs["provision"] = types.ServiceConditionCompletedSuccessfully
			}
		}
		switch name {
		case "minio":
			needs["queue-check"] = types.ServiceConditionCompletedSuccessfully
		case "provision", "operator":
			needs["migrate"] = types.ServiceConditionCompletedSuccessfully
		}
		for other, condition := range needs {
			if s.DependsOn[other].Condition != condition {
				t.Errorf("%s waits for %s with condition %q, want %s", name, other, s.DependsOn[other].Condition, condition)
			}
			if condition == types.ServiceConditionHealthy && !shareNetwork(s, p.Services[other]) {
				t.Errorf("%s cannot reach %s: they share no network", name, other)
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
		public := name == "gateway" || name == "api"
		if public != (len(s.Ports) == 1) {
			t.Errorf("%s publishes %d ports", name, len(s.Ports))
		}
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s is published on %q unless told otherwise, want this machine only", name, port.HostIP)
			}
		}
		for network := range s.Networks {
			if network != "inside" && !slices.Contains([]string{"gateway", "api", "consumers"}, name) {
				t.Errorf("%s is on the network %s", name, network)
			}
		}
	}
	if !p.Networks["inside"].Internal {
		t.Error("the network inside has a way out")
	}
}

var version = regexp.MustCompile(`^v?\d`)

func TestImagesArePinned(t *testing.T) {
	for name, s := range project(t).Services {
		_, tag, _ := strings.Cut(s.Image, ":")
		if !version.MatchString(tag) {
			t.Errorf("%s has the image %q, want a version as its tag", name, s.Image)
		}
	}
	for _, file := range []string{"Dockerfile", "infra/minio/Dockerfile"} {
		text := read(t, file)
		for _, from := range regexp.MustCompile(`(?m)^FROM (\S+)`).FindAllStringSubmatch(text, -1) {
			_, tag, _ := strings.Cut(from[1], ":")
			if from[1] != "scratch" && !version.MatchString(tag) {
				t.Errorf("%s builds on %q, want a version as its tag", file, from[1])
			}
		}
	}
}

// Whoever passes an image on passes on the notices of what it contains.
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

// The versions are those that `intray up` runs and the tests ran on.
func TestVersionsAgree(t *testing.T) {
	p := project(t)
	for _, args := range regexp.MustCompile(`(?m)^ARG MINIO_VERSION=(\S+)`).FindAllStringSubmatch(read(t, "infra/minio/Dockerfile"), -1) {
		if args[1] != local.MinIOVersion {
			t.Errorf("infra/minio/Dockerfile builds %s, want %s", args[1], local.MinIOVersion)
		}
	}
	if want := "intray-minio:" + local.MinIOVersion; p.Services["minio"].Image != want {
		t.Errorf("minio has the image %s, want %s", p.Services["minio"].Image, want)
	}
	if want := "nats:" + server.VERSION + "-alpine"; p.Services["nats"].Image != want {
		t.Errorf("nats has the image %s, want %s", p.Services["nats"].Image, want)
	}
}

// Prometheus reads the private listener of each server. The health check and the operator's
// container ask the consumers there.
func TestPrivateListenersAgree(t *testing.T) {
	p, prometheus := project(t), read(t, "infra/prometheus/prometheus.yaml")
	ports := map[string]string{}
	for name, target := range map[string]string{
		"api": `["api:%s"]`, "gateway": `["gateway:%s"]`,
		"consumers": "names: [consumers], type: A, port: %s ",
	} {
		service := p.Services[name]
		host, port, _ := strings.Cut(environment(service)["METRICS_LISTEN"], ":")
		if ports[name] = port; host != "0.0.0.0" {
			t.Errorf("%s serves its metrics on the host %q, want 0.0.0.0", name, host)
		}
		if want := fmt.Sprintf(target, port); !strings.Contains(prometheus, want) {
			t.Errorf("prometheus.yaml: got\n%s\nwant %s in it", prometheus, want)
		}
		for _, published := range service.Ports {
			if fmt.Sprint(published.Target) == port {
				t.Errorf("%s publishes its private port %s", name, port)
			}
		}
	}
	asked := p.Services["consumers"].HealthCheck.Test
	want := "http://127.0.0.1:" + ports["consumers"] + "/healthz"
	if got := asked[len(asked)-1]; got != want {
		t.Errorf("the health check of consumers asks %q, want %s", got, want)
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
		t.Errorf("minio has the image %s, want that of MINIO_IMAGE", got)
	}
}

// MinIO is told exactly what `intray up` tells it.
func TestMinIOIsAsUnderUp(t *testing.T) {
	p, env := project(t), settings(t)
	want := map[string]string{}
	for _, setting := range local.MinIOEnv(local.MinIOSettings{
		RootUser: "intray-root", RootPassword: env["MINIO_ROOT_PASSWORD"],
		NATSAddress: "nats:4222", NATSUser: local.NATSMinIO, NATSPassword: env["NATS_MINIO_PASSWORD"],
		QueueDir: "/data/queue",
	}) {
		name, value, _ := strings.Cut(setting, "=")
		want[name] = value
	}
	got := environment(p.Services["minio"])
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("minio's %s is %q, want %q", name, got[name], want[name])
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("minio's %s is not set under up", name)
		}
	}
	// What loses no event; stated here too, should both places lose it.
	for name, value := range map[string]string{
		"MINIO_SYNC_BOOT": "on", "MINIO_API_SYNC_EVENTS": "on",
		"MINIO_NOTIFY_NATS_QUEUE_DIR_CREATED_DURABLE": "/data/queue", "MINIO_NOTIFY_NATS_QUEUE_DIR_REMOVED_DURABLE": "/data/queue",
	} {
		if got[name] != value {
			t.Errorf("minio's %s is %q, want %q", name, got[name], value)
		}
	}
	if command := p.Services["queue-check"].Command; !slices.Equal(command, []string{"check-queue", "/data/queue"}) {
		t.Errorf("queue-check runs %v", command)
	}
	if !slices.Equal(volumes(p.Services["queue-check"]), volumes(p.Services["minio"])) {
		t.Error("queue-check looks at another volume than minio's")
	}
}

func volumes(s types.ServiceConfig) []string {
	var list []string
	for _, v := range s.Volumes {
		list = append(list, v.Source+":"+v.Target)
	}
	return list
}

// nats.conf is read by the server itself, with compose's environment.
func TestNATSReadsItsConfiguration(t *testing.T) {
	p, env := project(t), settings(t)
	given := environment(p.Services["nats"])
	for _, name := range regexp.MustCompile(`\$(NATS_[A-Z_]+)`).FindAllStringSubmatch(string(nats.ServerConfig), -1) {
		if given[name[1]] == "" {
			t.Errorf("nats.conf reads $%s, which compose does not give", name[1])
		}
	}
	for name, value := range given {
		t.Setenv(name, value)
	}
	opts, err := server.ProcessConfigFile(filepath.Join(root, "infra/nats/nats.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if opts.Host != "0.0.0.0" || opts.Port != 4222 || opts.StoreDir != "/data" {
		t.Errorf("nats listens on %s:%d and stores in %s", opts.Host, opts.Port, opts.StoreDir)
	}
	for _, user := range opts.Users {
		if want := env["NATS_"+strings.ToUpper(user.Username)+"_PASSWORD"]; user.Password != want {
			t.Errorf("the password of %s is %q, want %q", user.Username, user.Password, want)
		}
	}
	if len(opts.Users) != 4 {
		t.Errorf("nats has %d users, want 4", len(opts.Users))
	}
	if !slices.Contains(volumes(p.Services["nats"]), filepath.Join(abs(t, root), "infra/nats/nats.conf")+":/etc/nats/intray.conf") {
		t.Errorf("nats mounts %v, want nats.conf among them", volumes(p.Services["nats"]))
	}
}

// Passwords that one side sets are those that the other gives.
func TestPasswordsAgree(t *testing.T) {
	p := project(t)
	of := func(service, name string) string { return environment(p.Services[service])[name] }
	for _, pair := range [][2]string{
		{of("provision", "API_DATABASE_PASSWORD"), password(of("api", "DATABASE_URL"))},
		{of("provision", "WORKER_DATABASE_PASSWORD"), password(of("consumers", "DATABASE_URL"))},
		{of("postgres", "INTRAY_OWNER_PASSWORD"), password(of("migrate", "DATABASE_URL"))},
		{of("nats", "NATS_API_PASSWORD"), of("api", "NATS_PASSWORD")},
		{of("nats", "NATS_WORKER_PASSWORD"), of("consumers", "NATS_PASSWORD")},
		{of("nats", "NATS_OPERATOR_PASSWORD"), of("provision", "NATS_PASSWORD")},
		{of("minio", "MINIO_ROOT_PASSWORD"), of("provision", "MINIO_ROOT_PASSWORD")},
	} {
		if pair[0] != pair[1] || pair[0] == "" {
			t.Errorf("%q is set and %q is given", pair[0], pair[1])
		}
	}
	for _, key := range []string{"MINIO_UPLOAD", "MINIO_MULTIPART", "MINIO_DOWNLOAD", "MINIO_CONFIRM", "MINIO_WORKER"} {
		for _, half := range []string{key + "_KEY", key + "_SECRET"} {
			for name, s := range p.Services {
				if got, ok := environment(s)[half]; ok && got != of("provision", half) {
					t.Errorf("%s has %s %q, provision makes %q", name, half, got, of("provision", half))
				}
			}
		}
		if n := len(of("provision", key+"_KEY")); n < 3 || n > 20 {
			t.Errorf("%s_KEY has %d characters, MinIO takes 3 to 20", key, n)
		}
	}
	if strings.Contains(fmt.Sprint(environment(p.Services["consumers"])), "minioupload") {
		t.Error("the consumers hold the key that signs uploads")
	}
}

func password(url string) string {
	_, rest, _ := strings.Cut(strings.TrimPrefix(url, "postgres://"), ":")
	password, _, _ := strings.Cut(rest, "@")
	return password
}

func TestServicesAreConfined(t *testing.T) {
	for name, s := range project(t).Services {
		if !s.ReadOnly || !slices.Contains(s.CapDrop, "ALL") || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s may write to its image, has capabilities or may gain privileges", name)
		}
		if s.Build != nil && s.User != "10001:10001" {
			t.Errorf("%s runs as %q, want the unprivileged user of the image", name, s.User)
		}
		if s.Deploy == nil || s.Deploy.Resources.Limits == nil || s.Deploy.Resources.Limits.MemoryBytes == 0 {
			t.Errorf("%s may take all memory", name)
		}
		once := slices.Contains([]string{"queue-check", "migrate", "provision", "operator"}, name)
		if want := map[bool]string{true: "no", false: "unless-stopped"}[once]; s.Restart != want {
			t.Errorf("%s is restarted %q, want %q", name, s.Restart, want)
		}
		if !once && (s.HealthCheck == nil || len(s.HealthCheck.Test) == 0) {
			t.Errorf("%s has no health check", name)
		}
	}
}

// The script fills in every secret, with passwords that NATS and MinIO take, and leaves a .env alone that is there.
func TestWriteEnv(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{".env.example", "infra/docker/write-env.sh"} {
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, []byte(read(t, name)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	script := filepath.Join(dir, "infra/docker/write-env.sh")
	if out, err := exec.CommandContext(t.Context(), "sh", script).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	env, err := dotenv.Read(filepath.Join(dir, ".env"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := load(t, env); err != nil {
		t.Error(err)
	}
	seen, form := map[string]bool{}, regexp.MustCompile(`^[a-z][A-Za-z0-9]{31,39}$`)
	for name := range settings(t) {
		value := env[name]
		if name == "DEFAULT_AI_PROVIDER" {
			continue
		}
		if !form.MatchString(value) || seen[value] {
			t.Errorf("%s has a value of %d characters that NATS or MinIO would not take, or that came before", name, len(value))
		}
		seen[value] = true
	}
	info, err := os.Stat(filepath.Join(dir, ".env"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf(".env has mode %v (%v), want 0600", info.Mode(), err)
	}
	if err := exec.CommandContext(t.Context(), "sh", script).Run(); err == nil {
		t.Error("a second run did not refuse")
	}
	again, err := dotenv.Read(filepath.Join(dir, ".env"))
	if err != nil || !maps.Equal(again, env) {
		t.Errorf("a second run changed .env (%v)", err)
	}
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
