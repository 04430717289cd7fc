package docker_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
)

// loadFront loads the deployment with the front and these settings besides those of settings.
func loadFront(t *testing.T, with map[string]string) *types.Project {
	t.Helper()
	env := settings(t)
	maps.Copy(env, with)
	p, err := load(t, env, "compose.front.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// frontProject loads the deployment with the front, which has every service.
func frontProject(t *testing.T) *types.Project {
	t.Helper()
	return loadFront(t, nil)
}

func TestOnlyTheFrontIsPublished(t *testing.T) {
	for name, s := range frontProject(t).Services {
		var got []string
		for _, port := range s.Ports {
			got = append(got, port.Published)
		}
		var want []string
		if name == "front" {
			want = []string{"80", "443"}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got published ports %v, want %v", name, got, want)
		}
	}
}

// The front must share a network with the servers that it passes requests to, and with no other.
func TestFrontReachesOnlyAPIAndGateway(t *testing.T) {
	p := frontProject(t)
	for name, s := range p.Services {
		want := name == "front" || name == "api" || name == "gateway"
		if got := shareNetwork(p.Services["front"], s); got != want {
			t.Errorf("front and %s: got a common network %v, want %v", name, got, want)
		}
	}
	// Compose recreates a service together with those that it depends on.
	if got := p.Services["front"].DependsOn; len(got) > 0 {
		t.Errorf("front: got dependencies %v, want none", got)
	}
	if !p.Networks["proxied"].Internal {
		t.Error("network proxied: got access to other networks, want internal")
	}
}

// FRONT_URL must be the address in presigned URLs, the API must trust the addresses of the network
// of the front, and the gateway must accept all connections from one address.
func TestFrontSettings(t *testing.T) {
	p := loadFront(t, map[string]string{
		"FRONT_URL": "https://intray.example.org:8443", "FRONT_PORT": "8443",
		"FRONT_SUBNET": "10.1.2.0/24", "MAX_CONNECTIONS": "500", "GATEWAY_URL": "http://ignored.example",
	})
	for _, c := range []struct{ service, name, want string }{
		{"front", "FRONT_URL", "https://intray.example.org:8443"},
		{"api", "GATEWAY_URL", "https://intray.example.org:8443"},
		{"api", "TRUSTED_PROXIES", "10.1.2.0/24"},
		{"gateway", "MAX_CONNECTIONS_PER_ADDRESS", "500"},
	} {
		if got := environment(p.Services[c.service])[c.name]; got != c.want {
			t.Errorf("%s: got %s %q, want %q", c.service, c.name, got, c.want)
		}
	}
	if got := p.Networks["proxied"].Ipam.Config[0].Subnet; got != "10.1.2.0/24" {
		t.Errorf("network proxied: got subnet %s, want 10.1.2.0/24", got)
	}
	port := p.Services["front"].Ports[1]
	if port.Published != "8443" || port.Target != 8443 {
		t.Errorf("front: got port %s for %d, want 8443 for 8443", port.Published, port.Target)
	}
}

// Replicas in .env must survive each `docker compose up`, which flags of the command do not.
func TestReplicas(t *testing.T) {
	p := loadFront(t, map[string]string{
		"API_REPLICAS": "2", "GATEWAY_REPLICAS": "3", "CONSUMERS_REPLICAS": "4",
	})
	for name, want := range map[string]int{"api": 2, "gateway": 3, "consumers": 4, "front": 1} {
		service := p.Services[name]
		if got := service.GetScale(); got != want {
			t.Errorf("%s: got %d replicas, want %d", name, got, want)
		}
	}
}

// The machine must have no address in the networks of the servers that clients do not reach.
func TestInternalNetworksExcludeTheMachine(t *testing.T) {
	for name, network := range frontProject(t).Networks {
		got := network.DriverOpts["com.docker.network.bridge.inhibit_ipv4"]
		if want := map[bool]string{true: "true"}[network.Internal]; got != want {
			t.Errorf("network %s: got inhibit_ipv4 %q, want %q", name, got, want)
		}
	}
}
