package api_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"intray/api"
	"intray/infra/telemetry"
	"intray/schema"
)

func TestUnknownRoutes(t *testing.T) {
	b := setup(t)
	for _, c := range []*client{b.anonymous, b.alice, b.admin} {
		for _, path := range []string{"/", "/api", "/api/settings", "/api/nothing", "/api/me/", "/api/documents/", "/api/topics/a/b", "/api/documents/a/b", "/api/documents/a/confirm/b", "//api/me", "/metrics", "/debug/pprof/", "/api/admin/users/x/y"} {
			c.get(path).fails(schema.CodeNotFound)
		}
		for path, allow := range map[string]string{"/api/me": "GET", "/api/topics": "GET, POST", "/healthz": "GET"} {
			a := c.do(http.MethodPut, path, nil).fails("method_not_allowed")
			for method := range strings.SplitSeq(allow, ", ") {
				if !strings.Contains(a.header.Get("Allow"), method) {
					t.Errorf("%s allows %q", path, a.header.Get("Allow"))
				}
			}
		}
	}
}

func TestOperation(t *testing.T) {
	down := errors.New("secret of the outage")
	b := setup(t, func(c *api.Config) {
		c.Dependencies = []api.Dependency{
			{Name: "minio", Check: func(context.Context) error { return nil }},
			{Name: "nats", Check: func(context.Context) error { return down }},
		}
	})
	if h := as[api.Health](b.anonymous.get("/healthz").is(200)); h.Status != "ok" {
		t.Errorf("health: %+v", h)
	}
	ready := as[api.Readiness](b.anonymous.get("/readyz").is(200))
	if len(ready.Parts) != 3 || ready.Parts["postgres"] != "up" || ready.Parts["minio"] != "up" || ready.Parts["nats"] != "down" {
		t.Errorf("readiness: %+v", ready)
	}
	contract := b.anonymous.get("/api/openapi.yaml").is(200)
	if string(contract.body) != string(api.Contract) || contract.header.Get("Content-Type") != "application/yaml" {
		t.Errorf("contract: %v", contract.header)
	}

	b.metrics(t)

	// Before the migrations it is not ready, and says what to do.
	b.sql.MustExec(`DELETE FROM applied_migrations`)
	if p := b.anonymous.get("/readyz").fails(schema.CodeUnavailable); !strings.Contains(string(p.body), "migrate up") {
		t.Errorf("without migrations: %s", p.body)
	}

	// Without the database nothing works but the sign of life.
	if err := b.config.DB.Close(); err != nil {
		t.Fatal(err)
	}
	b.anonymous.get("/healthz").is(200)
	a := b.alice.get("/api/me")
	if a.status < 500 {
		t.Errorf("without a database: %d", a.status)
	}
	if !strings.Contains(b.log.String(), `"level":"ERROR"`) {
		t.Error("the log does not tell of it")
	}
}

// metrics checks that what is measured names routes and codes, and nobody's ids or
// made-up paths.
func (b *bundle) metrics(t *testing.T) {
	t.Helper()
	d := b.alice.confirmed("a", []byte("x"))
	b.bob.get(path(d)).fails(schema.CodeNotFound)
	const made = "/api/made-up-by-somebody"
	b.anonymous.get(made)
	w := httptest.NewRecorder()
	request := httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody)
	telemetry.MetricsHandler(api.Metrics()...).ServeHTTP(w, request)
	text := w.Body.String()
	for _, line := range []string{
		`intray_api_requests_total{method="GET",route="/api/documents/:id",status="404"}`,
		`intray_api_requests_total{method="GET",route="none",status="404"}`,
		`intray_api_request_seconds_count{method="GET",route="/api/documents/:id"}`,
		`intray_api_refusals_total{code="not_found"}`,
		"go_goroutines", "process_resident_memory_bytes",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("no %s in the metrics", line)
		}
	}
	for _, secret := range []string{made, d.ID.String(), b.alice.id.String(), b.bob.id.String(), "@"} {
		if strings.Contains(text, secret) {
			t.Errorf("the metrics tell %q", secret)
		}
	}
}

// TestDatabaseAway: a server that refuses connections is an outage, not our fault, and so is one that refuses our password.
func TestDatabaseAway(t *testing.T) {
	b := setup(t)
	for name, url := range map[string]string{
		"nobody listens":           "postgres://api:secret-of-the-url@127.0.0.1:1/intray?sslmode=disable",
		"the password was changed": strings.Replace(b.roleURL, rolePassword, "secret-of-the-url", 1),
	} {
		t.Run(name, func(t *testing.T) { b.withoutDatabase(t, url) })
	}
}

func (b *bundle) withoutDatabase(t *testing.T, url string) {
	config := b.config
	config.DB = open(t, url)
	b.alice.base = b.serve(config)
	for _, a := range []*response{b.alice.get("/api/me"), b.alice.get("/readyz"), b.alice.post("/api/documents/upload-url", "{"),
		b.alice.post("/api/auth/login", api.Credentials{Email: "a", Password: "b"})} {
		if a.fails(schema.CodeUnavailable).header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", a.request)
		}
	}
	b.alice.get("/healthz").is(200)
	if strings.Contains(b.log.String(), "secret-of-the-url") {
		t.Error("the log has the password")
	}
}

// broken stands for MinIO with a fault that nobody foresaw.
type broken struct{}

func (broken) Stat(context.Context, string) (schema.Object, error) {
	return schema.Object{}, errors.New("the secret cause")
}

// TestInternal: what nobody foresaw is a 500 that gives nothing away, and is in
// the log under the request's id.
func TestInternal(t *testing.T) {
	b := setup(t, func(c *api.Config) {
		c.Objects = broken{}
		c.Dependencies = []api.Dependency{{Name: "x", Check: func(context.Context) error { return nil }}}
	})
	d := b.alice.upload("a", []byte("x"))
	a := b.alice.post(path(d)+"/confirm", nil).fails(schema.CodeInternal)
	if strings.Contains(string(a.body), "secret") {
		t.Errorf("the answer tells the cause: %s", a.body)
	}
	if log := b.log.String(); !strings.Contains(log, "the secret cause") || !strings.Contains(log, a.header.Get("X-Request-Id")) {
		t.Errorf("the log does not tell the cause: %s", log)
	}
}

func TestRequestLog(t *testing.T) {
	b := setup(t)
	id := "request-0123456789"
	a := b.alice.get("/api/documents?q=secret-query", with{"X-Request-Id": id, "User-Agent": "secret-agent"}).is(200)
	if a.header.Get("X-Request-Id") != id {
		t.Errorf("the request's own id became %s", a.header.Get("X-Request-Id"))
	}
	if a := b.alice.get("/api/me", with{"X-Request-Id": "a\tb"}).is(200); a.header.Get("X-Request-Id") == "a\tb" {
		t.Error("any request id is taken")
	}
	d := b.alice.confirmed("a", []byte("x"))
	b.alice.get(path(d) + "/download-url").is(200)
	log := b.log.String()
	for _, want := range []string{`"request_id":"` + id + `"`, `"route":"/api/documents/:id/download-url"`, `"method":"GET"`, `"status":200`, `"duration":`, b.alice.id.String()} {
		if !strings.Contains(log, want) {
			t.Errorf("the log has no %s", want)
		}
	}
	for _, secret := range []string{"secret", "X-Amz", b.alice.token, userPassword} {
		if strings.Contains(log, secret) {
			t.Errorf("the log has %q", secret)
		}
	}
}

func TestCrossOrigin(t *testing.T) {
	const page = "http://localhost:5173"
	preflight := with{"Origin": page, "Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization,content-type,idempotency-key"}
	closed := setup(t)
	if a := closed.alice.get("/api/me", with{"Origin": page}).is(200); a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("open to other origins by default")
	}
	if a := closed.anonymous.do(http.MethodOptions, "/api/topics/x", nil, preflight); a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("open to other origins' preflights by default")
	}
	b := setup(t, func(c *api.Config) { c.AllowedOrigins = []string{page} })
	if a := b.anonymous.do(http.MethodOptions, "/api/topics/x", nil, preflight).is(204); a.header.Get("Access-Control-Allow-Origin") != page ||
		!strings.Contains(a.header.Get("Access-Control-Allow-Headers"), "Idempotency-Key") || !strings.Contains(a.header.Get("Access-Control-Allow-Methods"), "PATCH") {
		t.Errorf("preflight: %v", a.header)
	}
	for _, a := range []*response{b.alice.get("/api/me", with{"Origin": page}).is(200), b.anonymous.get("/api/me", with{"Origin": page}).is(401)} {
		if a.header.Get("Access-Control-Allow-Origin") != page || !strings.Contains(a.header.Get("Access-Control-Expose-Headers"), "Retry-After") {
			t.Errorf("%s: %v", a.request, a.header)
		}
	}
	if a := b.alice.get("/api/me", with{"Origin": "http://evil.example"}); a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("open to any origin")
	}
}
