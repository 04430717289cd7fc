//go:build containers

package containers

import (
	"net"
	"strings"
	"testing"
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
