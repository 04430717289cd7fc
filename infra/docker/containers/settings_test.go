//go:build containers

package containers

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// A recorder is the collector of traces and all AI providers. It keeps the requests that it gets,
// and refuses them.
type recorder struct {
	url string

	mu       sync.Mutex
	requests []string // each with its path, headers and body
}

// startRecorder starts a recorder at an address of this machine that containers reach.
func startRecorder(t *testing.T, address string) *recorder {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{url: "http://" + listener.Addr().String()}
	server := httptest.NewUnstartedServer(http.HandlerFunc(
		func(w http.ResponseWriter, req *http.Request) {
			body, _ := io.ReadAll(req.Body)
			r.mu.Lock()
			r.requests = append(r.requests, fmt.Sprintf("%s %v %s", req.URL.Path, req.Header, body))
			r.mu.Unlock()
			w.WriteHeader(http.StatusUnauthorized)
		}))
	_ = server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	return r
}

// got reports whether a request to a path contained every text.
func (r *recorder) got(path string, texts ...string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
next:
	for _, request := range r.requests {
		if !strings.HasPrefix(request, path+" ") {
			continue
		}
		for _, text := range texts {
			if !strings.Contains(request, text) {
				continue next
			}
		}
		return true
	}
	return false
}

// Settings in .env must have an effect, and not only reach the process. One `up` applies them all.
func TestSettings(t *testing.T) {
	d := setup(t)
	if !forwardedForIsIgnored(t) {
		t.Error("X-Forwarded-For is not reported as ignored, want it without TRUSTED_PROXIES")
	}
	// For a proxy on this machine, the gateway of the network is the address that the API sees.
	gateway := strings.TrimSpace(run(t, `docker network inspect \
		"${COMPOSE_PROJECT_NAME:-intray}_outside" --format '{{(index .IPAM.Config 0).Gateway}}'`))
	fake := startRecorder(t, gateway)
	// The next `up` applies the former settings again.
	for name, value := range map[string]string{
		"INTRAY_TARGET":        "ocr",
		"OCR_LANGUAGES":        "deu+eng",
		"TRUSTED_PROXIES":      gateway,
		"LOG_LEVEL":            "debug",
		"ACCESS_TOKEN_TTL":     "7m",
		"SESSION_IDLE":         "5h",
		"CORS_ORIGINS":         "https://app.example.org",
		"MAX_DOCUMENT_BYTES":   "12345678",
		"ALLOWED_TYPES":        "text/plain,image/png",
		"OIDC_ISSUER":          fake.url + "/issuer",
		"OIDC_AUDIENCE":        "check-audience",
		"OIDC_CLIENT_ID":       "check-client",
		"GATEWAY_URL":          "http://localhost:9000",
		"REQUESTS_BURST":       "30",
		"READS_PER_SECOND":     "20",
		"DEFAULT_QUOTA_BYTES":  "1234567",
		"NATS_BUCKET_BYTES":    "1100000000",
		"NATS_DOCUMENTS_BYTES": "1200000000",
		"NATS_REPLAY_BYTES":    "600000000",

		"OTEL_EXPORTER_OTLP_ENDPOINT": fake.url,
		"OTEL_EXPORTER_OTLP_HEADERS":  "x-check=traces",

		"DEFAULT_AI_MODEL":   "check-model",
		"SYSTEM_PROMPT":      "check-prompt",
		"OLLAMA_URL":         fake.url + "/ollama",
		"OLLAMA_API_KEY":     "check-ollama-key",
		"OLLAMA_NUM_CTX":     "4321",
		"OPENAI_BASE_URL":    fake.url + "/openai",
		"OPENAI_API_KEY":     "check-openai-key",
		"ANTHROPIC_BASE_URL": fake.url + "/anthropic",
		"ANTHROPIC_API_KEY":  "check-anthropic-key",
	} {
		t.Cleanup(setting(t, name, value))
	}
	run(t, "docker compose up --build --detach")
	waitHealthy(t)
	t.Run("OCR", func(t *testing.T) { readPicture(t, d) })
	t.Run("API", func(t *testing.T) { settingsOfAPI(t, d, fake) })
	t.Run("consumers", func(t *testing.T) { settingsOfConsumers(t, fake) })
	t.Run("accounts and streams", settingsOfProvision)
	t.Run("logs", func(t *testing.T) {
		for _, service := range []string{"api", "gateway", "consumers"} {
			logs := run(t, "docker compose logs --no-log-prefix %s", service)
			if !strings.Contains(logs, `"level":"DEBUG"`) {
				t.Errorf("%s: got no debug line in the log, want one", service)
			}
		}
	})
	t.Run("traces", func(t *testing.T) {
		waitFor(t, "traces arrive", 30*time.Second,
			func() bool { return fake.got("/v1/traces", "X-Check:[traces]") })
	})
}

func settingsOfAPI(t *testing.T, d *deployment, fake *recorder) {
	if forwardedForIsIgnored(t) {
		t.Error("X-Forwarded-For is ignored, want it accepted from TRUSTED_PROXIES")
	}
	request := func(method, path, body, header, value string) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequest(method, apiURL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set(header, value)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(text)
	}
	credentials := fmt.Sprintf(`{"email":%q,"password":%q,"cookie":true}`, email, d.password)
	login, answer := request(http.MethodPost, "/api/auth/login", credentials, "Origin", apiURL)
	if want := `"expires_in":420`; !strings.Contains(answer, want) {
		t.Errorf("ACCESS_TOKEN_TTL: got %s, want %s", answer, want)
	}
	if got, want := fmt.Sprint(login.Cookies()), "Max-Age=18000"; !strings.Contains(got, want) {
		t.Errorf("SESSION_IDLE: got %s, want %s", got, want)
	}
	preflight, _ := request(http.MethodGet, "/api/config", "", "Origin", "https://app.example.org")
	if got := preflight.Header.Get("Access-Control-Allow-Origin"); got != "https://app.example.org" {
		t.Errorf("CORS_ORIGINS: got %q, want https://app.example.org", got)
	}
	_, config := request(http.MethodGet, "/api/config", "", "Accept", "application/json")
	for _, want := range []string{`"max_document_bytes":12345678,`, `"text/plain"`, `"image/png"`,
		fake.url + `/issuer"`, `"check-audience"`, `"check-client"`} {
		if !strings.Contains(config, want) || strings.Contains(config, "pdf") {
			t.Errorf("got the configuration %s, want it with %s and without PDF", config, want)
		}
	}
	c, err := d.signIn()
	if err != nil {
		t.Fatal(err)
	}
	signed, err := c.requestUpload("settings.txt", "text/plain", 10)
	if err != nil || !strings.HasPrefix(signed.Upload.URL, "http://localhost:9000/") {
		t.Errorf("GATEWAY_URL: got an upload to %q (%v)", signed.Upload.URL, err)
	}
	limited := 0
	for _, err := range each(100, 20, func(int) error {
		return c.call(http.MethodGet, c.api+"/api/me", nil, nil)
	}) {
		var answer answerError
		if !errors.As(err, &answer) || answer.status != http.StatusTooManyRequests {
			t.Errorf("get the user: %v", err)
		}
		limited++
	}
	if limited == 0 || limited > 70 {
		t.Errorf("REQUESTS_BURST: got %d of 100 requests refused, want 1 to 70", limited)
	}
}

// readPicture checks that the image has tesseract and the languages of .env.
func readPicture(t *testing.T, d *deployment) {
	languages := run(t, "docker compose exec --no-TTY consumers tesseract --list-langs")
	for _, want := range []string{"deu", "eng"} {
		if !strings.Contains(languages, "\n"+want+"\n") {
			t.Errorf("got languages\n%s\nwant %s", languages, want)
		}
	}
	c, err := d.signIn()
	if err != nil {
		t.Fatal(err)
	}
	picture, err := os.ReadFile("docs/images/document-light.png")
	if err != nil {
		t.Fatal(err)
	}
	waitClassified(t, c, uploadAll(t, c, 1, 1, func(int) (string, string, []byte) {
		return "screen.png", "image/png", picture
	}), 2*time.Minute)
}

// forwardedForIsIgnored reports whether the API logs that it did not trust X-Forwarded-For.
func forwardedForIsIgnored(t *testing.T) bool {
	t.Helper()
	const id = "trusted-proxies"
	req, err := http.NewRequest(http.MethodPost, apiURL+"/api/auth/login",
		strings.NewReader(`{"email":"nobody@example.org","password":"wrong-password-1"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{
		"Content-Type": {"application/json"}, "X-Request-Id": {id}, "X-Forwarded-For": {"198.51.100.7"},
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	var logs string
	waitFor(t, "the request is logged", 10*time.Second, func() bool {
		logs = run(t, "docker compose logs --no-log-prefix api")
		return strings.Contains(logs, id)
	})
	return strings.Contains(logs, "X-Forwarded-For was ignored")
}

// settingsOfConsumers checks what the consumers send to AI providers.
func settingsOfConsumers(t *testing.T, fake *recorder) {
	out, _ := exitStatus(t, "docker compose exec --no-TTY consumers intray ai check --json")
	for path, texts := range map[string][]string{
		"/ollama/api/chat":         {"Bearer check-ollama-key", `"check-model"`, "check-prompt", "4321"},
		"/openai/chat/completions": {"Bearer check-openai-key", "check-prompt"},
		"/anthropic/v1/messages":   {"check-anthropic-key", "check-prompt"},
	} {
		if !fake.got(path, texts...) {
			t.Errorf("got no request to %s with %q; ai check printed\n%s", path, texts, out)
		}
	}
}

// settingsOfProvision checks the quota of a new account, and the sizes of the streams.
func settingsOfProvision(t *testing.T) {
	const operator = "docker compose run --rm --no-TTY operator "
	run(t, operator+"users add settings@example.org --generate")
	if out := run(t, operator+"users list --json"); !regexp.MustCompile(
		`"settings@example.org".*\b1234567\b`).MatchString(out) {
		t.Errorf("DEFAULT_QUOTA_BYTES: got users\n%s\nwant one with a quota of 1234567 bytes", out)
	}
	out, _ := exitStatus(t, operator+"status --json 2>/dev/null")
	var status struct {
		Streams []struct {
			Name     string `json:"name"`
			MaxBytes int    `json:"max_bytes"`
		} `json:"streams"`
	}
	if err := json.Unmarshal([]byte(out), &status); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, s := range status.Streams {
		want := map[string]int{"BUCKET": 1_100_000_000, "DOCUMENTS": 1_200_000_000, "REPLAY": 600_000_000}
		if s.MaxBytes != want[s.Name] {
			t.Errorf("stream %s: got %d bytes, want %d", s.Name, s.MaxBytes, want[s.Name])
		}
	}
	if len(status.Streams) != 3 {
		t.Errorf("got streams %v, want three", status.Streams)
	}
}
