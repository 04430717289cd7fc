//go:build containers

package containers

import (
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestPostgresSettings(t *testing.T) {
	setup(t)
	for name, want := range map[string]string{"jit": "off\n", "max_connections": "200\n"} {
		got := run(t, "docker compose exec --no-TTY postgres psql -U postgres -Atc 'SHOW %s'", name)
		if got != want {
			t.Errorf("got %s %q, want %q", name, got, want)
		}
	}
}

// Logs must be rotated, and must not consist of health checks.
func TestLogs(t *testing.T) {
	setup(t)
	for name, c := range inspect(t) {
		if c.HostConfig.LogConfig.Config["max-size"] == "" {
			t.Errorf("%s: got logs %v, want a maximum size", name, c.HostConfig.LogConfig)
		}
	}
	logs := run(t, "docker compose logs --no-log-prefix api gateway")
	for line := range strings.Lines(logs) {
		if strings.Contains(line, `"/healthz"`) || strings.Contains(line, `"/readyz"`) {
			t.Errorf("got the health check in the log, want none: %s", line)
			break
		}
	}
}

// Users of the machine must not reach MinIO, NATS and PostgreSQL, although they can reach
// containers at the addresses of other networks: without an address in a network, the machine has
// no route to it.
func TestTheMachineHasNoAddressInside(t *testing.T) {
	setup(t)
	own, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	containers := inspect(t)
	for _, name := range []string{"minio", "nats", "postgres"} {
		for network, at := range containers[name+"-1"].NetworkSettings.Networks {
			for _, address := range own {
				if n, ok := address.(*net.IPNet); ok && n.Contains(net.ParseIP(at.IPAddress)) {
					t.Errorf("%s: got the machine's address %s in %s, want none", name, address, network)
				}
			}
		}
	}
}

// X-Forwarded-For counts only if it comes from TRUSTED_PROXIES. For a proxy on this machine that is
// the gateway of the network, through which the engine forwards published ports.
func TestTrustedProxies(t *testing.T) {
	setup(t)
	ignored := func() bool {
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
	if !ignored() {
		t.Error("X-Forwarded-For is not reported as ignored, want it without TRUSTED_PROXIES")
	}
	gateway := strings.TrimSpace(run(t, `docker network inspect \
		"${COMPOSE_PROJECT_NAME:-intray}_outside" --format '{{(index .IPAM.Config 0).Gateway}}'`))
	t.Cleanup(func() {
		run(t, "docker compose up --detach")
		waitHealthy(t)
	})
	t.Cleanup(setting(t, "TRUSTED_PROXIES", gateway))
	run(t, "docker compose up --detach")
	waitHealthy(t)
	if ignored() {
		t.Errorf("X-Forwarded-For is ignored, want it accepted from %s", gateway)
	}
}
