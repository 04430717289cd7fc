package api_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"intray/api"
	"intray/infra/postgres"
	"intray/infra/postgres/postgrestest"
	"intray/infra/telemetry"
	"intray/schema"
)

func TestUnknownPathsAndMethods(t *testing.T) {
	b := setup(t)
	for name, c := range map[string]*client{
		"anonymous": b.anonymous, "user": b.alice, "administrator": b.admin,
	} {
		t.Run(name, func(t *testing.T) {
			c := c.in(t)
			for _, path := range []string{
				"/", "/api", "/api/settings", "/api/nothing", "/api/me/", "/api/documents/",
				"/api/topics/a/b", "/api/documents/a/b", "/api/documents/a/confirm/b", "//api/me",
				"/metrics", "/debug/pprof/", "/api/admin/users/x/y",
			} {
				c.get(path).fails(schema.CodeNotFound)
			}
			for path, methods := range map[string]string{
				"/api/me": "GET", "/api/topics": "GET, POST", "/healthz": "GET",
			} {
				response := c.do(http.MethodPut, path, nil).fails("method_not_allowed")
				allow := response.header.Get("Allow")
				for method := range strings.SplitSeq(methods, ", ") {
					if !strings.Contains(allow, method) {
						t.Errorf("%s: got Allow %q, want it to contain %s", path, allow, method)
					}
				}
			}
		})
	}
}

func TestReadinessReportsDependencies(t *testing.T) {
	b := setup(t, func(c *api.Config) {
		c.Dependencies = []api.Dependency{
			{Name: "minio", Check: func(context.Context) error { return nil }},
			{Name: "nats", Check: func(context.Context) error { return errors.New("down") }},
		}
	})
	got := as[api.Readiness](b.anonymous.get("/readyz").is(200)).Parts
	if len(got) != 3 || got["postgres"] != "up" || got["minio"] != "up" || got["nats"] != "down" {
		t.Errorf("got parts %v, want postgres and minio up and nats down", got)
	}
}

func TestContractIsServed(t *testing.T) {
	b := setup(t)
	got := b.anonymous.get("/api/openapi.yaml").is(200)
	if string(got.body) != string(api.Contract) {
		t.Errorf("got %d bytes, want the %d bytes of openapi.yaml", len(got.body), len(api.Contract))
	}
	if got := got.header.Get("Content-Type"); got != "application/yaml" {
		t.Errorf("got content type %q, want application/yaml", got)
	}
}

// TestHealthWithoutDatabase checks the health checks before the migrations have run, and after the
// connection to the database was closed.
func TestHealthWithoutDatabase(t *testing.T) {
	b := setup(t)
	if got := as[api.Health](b.anonymous.get("/healthz").is(200)).Status; got != "ok" {
		t.Errorf("got health %q, want ok", got)
	}
	t.Run("not ready before the migrations", func(t *testing.T) {
		b.sql.MustExec(`DELETE FROM applied_migrations`)
		b.anonymous.in(t).get("/readyz").fails(schema.CodeUnavailable).says("migrate up")
	})
	t.Run("healthy with a closed database", func(t *testing.T) {
		b := b.in(t)
		if err := b.config.DB.Close(); err != nil {
			t.Fatal(err)
		}
		b.anonymous.get("/healthz").is(200)
		if got := b.alice.get("/api/me").status; got < 500 {
			t.Errorf("got status %d, want a server error", got)
		}
		if !strings.Contains(b.log.String(), `"level":"ERROR"`) {
			t.Error("got no error in the log, want one for the request")
		}
	})
}

// TestMetricsRevealNothingAboutUsers checks that the metrics contain routes and codes, but neither
// ids nor paths that clients made up.
func TestMetricsRevealNothingAboutUsers(t *testing.T) {
	b := setup(t)
	d := b.alice.confirmed("a", []byte("x"))
	b.bob.get(path(d)).fails(schema.CodeNotFound)
	const madeUp = "/api/made-up-by-somebody"
	b.anonymous.get(madeUp)

	w := httptest.NewRecorder()
	request := httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody)
	telemetry.MetricsHandler(api.Metrics()...).ServeHTTP(w, request)
	metrics := w.Body.String()
	for _, want := range []string{
		`intray_api_requests_total{method="GET",route="/api/documents/:id",status="404"}`,
		`intray_api_requests_total{method="GET",route="none",status="404"}`,
		`intray_api_request_seconds_count{method="GET",route="/api/documents/:id"}`,
		`intray_api_refusals_total{code="not_found"}`,
		"go_goroutines", "process_resident_memory_bytes",
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("got metrics without %s, want it included", want)
		}
	}
	for _, secret := range []string{
		madeUp, d.ID.String(), b.alice.id.String(), b.bob.id.String(), "@",
	} {
		if strings.Contains(metrics, secret) {
			t.Errorf("got %q in the metrics, want it absent", secret)
		}
	}
}

func TestUnreachableDatabaseIsUnavailable(t *testing.T) {
	b := setup(t)
	const password = "secret-of-the-url"
	for name, url := range map[string]string{
		"connection refused": "postgres://api:" + password + "@127.0.0.1:1/intray?sslmode=disable",
		"password refused":   strings.Replace(b.roleURL, postgrestest.RolePassword, password, 1),
	} {
		t.Run(name, func(t *testing.T) {
			b := b.in(t)
			config := b.config
			b.useDatabase(&config, url, postgres.Options{})
			b.alice.base = b.serve(config)
			login := api.Credentials{Email: "a", Password: "b"}
			for _, got := range []*response{
				b.alice.get("/api/me"),
				b.alice.get("/readyz"),
				b.alice.post("/api/documents/upload-url", "{"),
				b.alice.post("/api/auth/login", login),
			} {
				if got.fails(schema.CodeUnavailable).header.Get("Retry-After") == "" {
					t.Errorf("%s: got no Retry-After, want one", got.request)
				}
			}
			b.alice.get("/healthz").is(200)
			if strings.Contains(b.log.String(), password) {
				t.Error("got the database password in the log, want it absent")
			}
		})
	}
}

// TestUnreachableRoleAuth checks that the API is not ready, and says why, if only the role that
// signs users in cannot connect.
func TestUnreachableRoleAuth(t *testing.T) {
	b := setup(t)
	config := b.config
	var err error
	config.Auth, err = postgres.OpenAuth(
		"postgres://auth:x@127.0.0.1:1/intray?sslmode=disable", postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = config.Auth.Close() })
	b.alice.base = b.serve(config)
	b.alice.get("/readyz").fails(schema.CodeUnavailable)
	b.alice.get("/readyz").says("not to the role that signs users in")
	b.alice.login(b.alice.email, userPassword).fails(schema.CodeUnavailable)
	b.alice.get("/api/me").is(http.StatusOK)
}

// brokenObjects implements api.Objects. Its method returns an error that the API does not
// recognize.
type brokenObjects struct{}

func (brokenObjects) Stat(context.Context, string) (schema.Object, error) {
	return schema.Object{}, errors.New("the secret cause")
}

func TestUnexpectedErrorsAreLoggedAndNotSent(t *testing.T) {
	b := setup(t, func(c *api.Config) { c.Objects = brokenObjects{} })
	d := b.alice.upload("a", []byte("x"))
	got := b.alice.post(path(d)+"/confirm", nil).fails(schema.CodeInternal)
	if strings.Contains(string(got.body), "secret") {
		t.Errorf("got body %s, want it without the cause", got.body)
	}
	log := b.log.String()
	if id := got.header.Get("X-Request-Id"); !strings.Contains(log, "the secret cause") ||
		!strings.Contains(log, id) {
		t.Errorf("got log %s, want the cause and the request id %s in it", log, id)
	}
}

func TestRequestLog(t *testing.T) {
	b := setup(t)
	const id = "request-0123456789"
	t.Run("a request may set its id", func(t *testing.T) {
		b := b.in(t)
		headers := with{"X-Request-Id": id, "User-Agent": "secret-agent"}
		got := b.alice.get("/api/documents?q=secret-query", headers).is(200)
		if got := got.header.Get("X-Request-Id"); got != id {
			t.Errorf("got X-Request-Id %s, want %s", got, id)
		}
	})
	t.Run("a malformed id is replaced", func(t *testing.T) {
		got := b.alice.in(t).get("/api/me", with{"X-Request-Id": "a\tb"}).is(200)
		if got := got.header.Get("X-Request-Id"); got == "a\tb" {
			t.Errorf("got X-Request-Id %q, want a new id", got)
		}
	})
	t.Run("contains routes and no secrets", func(t *testing.T) {
		b := b.in(t)
		d := b.alice.confirmed("a", []byte("x"))
		b.alice.get(path(d) + "/download-url").is(200)
		log := b.log.String()
		for _, want := range []string{
			`"request_id":"` + id + `"`, `"route":"/api/documents/:id/download-url"`,
			`"method":"GET"`, `"status":200`, `"duration":`, b.alice.id.String(),
		} {
			if !strings.Contains(log, want) {
				t.Errorf("got a log without %s, want it included", want)
			}
		}
		for _, secret := range []string{"secret", "X-Amz", b.alice.token, userPassword} {
			if strings.Contains(log, secret) {
				t.Errorf("got %q in the log, want it absent", secret)
			}
		}
	})
}

func TestCrossOriginRequests(t *testing.T) {
	const page = "http://localhost:5173"
	preflight := with{
		"Origin":                         page,
		"Access-Control-Request-Method":  "PATCH",
		"Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
	}
	const allowOrigin = "Access-Control-Allow-Origin"

	t.Run("no other origin is allowed by default", func(t *testing.T) {
		b := setup(t)
		for _, got := range []*response{
			b.alice.get("/api/me", with{"Origin": page}).is(200),
			b.anonymous.do(http.MethodOptions, "/api/topics/x", nil, preflight),
		} {
			if got := got.header.Get(allowOrigin); got != "" {
				t.Errorf("got %s %q, want none", allowOrigin, got)
			}
		}
	})
	t.Run("only configured origins are allowed", func(t *testing.T) {
		b := setup(t, func(c *api.Config) { c.AllowedOrigins = []string{page} })
		h := b.anonymous.do(http.MethodOptions, "/api/topics/x", nil, preflight).is(204).header
		if h.Get(allowOrigin) != page ||
			!strings.Contains(h.Get("Access-Control-Allow-Headers"), "Idempotency-Key") ||
			!strings.Contains(h.Get("Access-Control-Allow-Methods"), "PATCH") {
			t.Errorf("preflight: got headers %v, want the origin, headers and methods allowed", h)
		}
		for _, got := range []*response{
			b.alice.get("/api/me", with{"Origin": page}).is(200),
			b.anonymous.get("/api/me", with{"Origin": page}).is(401),
		} {
			exposed := got.header.Get("Access-Control-Expose-Headers")
			if got.header.Get(allowOrigin) != page || !strings.Contains(exposed, "Retry-After") {
				t.Errorf("%s: got headers %v, want the origin allowed and Retry-After exposed",
					got.request, got.header)
			}
		}
		other := b.alice.get("/api/me", with{"Origin": "http://evil.example"})
		if got := other.header.Get(allowOrigin); got != "" {
			t.Errorf("another origin: got %s %q, want none", allowOrigin, got)
		}
	})
}

// Requests that find nothing new are logged only at level debug, because they would outnumber all
// others.
func TestPollsAreLoggedAtDebug(t *testing.T) {
	b := setup(t)
	document := path(b.alice.upload("a", []byte("x")))
	for _, test := range []struct {
		path, etag string
		status     int
		level      string
	}{
		{"/healthz", "", 200, "DEBUG"},
		{document, "", 200, "INFO"},
		{document, b.alice.get(document).header.Get("ETag"), 304, "DEBUG"},
		{"/api/documents/none", "", 404, "INFO"},
	} {
		before := len(b.log.String())
		headers := with{}
		if test.etag != "" {
			headers["If-None-Match"] = test.etag
		}
		b.alice.get(test.path, headers).is(test.status)
		status := fmt.Sprintf(`"status":%d`, test.status)
		level := ""
		eventually(t, "the request is logged", func() bool {
			for line := range strings.Lines(b.log.String()[before:]) {
				if strings.Contains(line, `"msg":"request"`) && strings.Contains(line, status) {
					_, level, _ = strings.Cut(line, `"level":"`)
					level, _, _ = strings.Cut(level, `"`)
				}
			}
			return level != ""
		})
		if level != test.level {
			t.Errorf("%s with %d: got level %s, want %s", test.path, test.status, level, test.level)
		}
	}
}
