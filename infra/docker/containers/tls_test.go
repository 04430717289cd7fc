//go:build containers

package containers

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

const frontURL = "https://localhost"

// The front must be the only way in, and everything must work through it at one origin.
func TestFront(t *testing.T) {
	d, err := start()
	if err != nil {
		t.Fatal(err)
	}
	addFront(t)
	through, address := throughFront(t)
	c, err := d.signInAt(frontURL, through)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("only the front is published", onlyFrontIsPublished)
	t.Run("the address of the client is recorded", func(t *testing.T) {
		out := run(t, "docker compose run --rm --no-TTY operator "+
			"audit list --kind signed_in --limit 1 --json")
		if want := `"address":"` + address + `"`; !strings.Contains(out, want) {
			t.Errorf("got %s, want %s", out, want)
		}
	})
	t.Run("page", func(t *testing.T) {
		resp, err := c.http.Get(frontURL + "/")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if kind := resp.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/html") {
			t.Errorf("got status %d with %s, want the page", resp.StatusCode, kind)
		}
	})
	t.Run("upload and download", func(t *testing.T) { uploadAndDownload(t, c) })
	t.Run("events", func(t *testing.T) { eventsArrive(t, c) })
	t.Run("1 GiB", func(t *testing.T) { uploadGibibyte(t, c) })
	t.Run("replicas", func(t *testing.T) { loadReplicas(t, c) })
	t.Run("log", func(t *testing.T) {
		logs := run(t, "docker compose logs --no-log-prefix front")
		if !strings.Contains(logs, `"uri":"/documents/documents/`) {
			t.Errorf("got no upload in the access log, want the uploads of this test")
		}
		for _, secret := range []string{"X-Amz-", c.token} {
			if strings.Contains(logs, secret) {
				t.Errorf("got a credential in the access log (%s), want none", secret)
			}
		}
	})
}

// addFront adds the front to the deployment. It stays, because no other test follows.
func addFront(t *testing.T) {
	t.Helper()
	setting(t, "COMPOSE_FILE", "compose.yaml:compose.front.yaml")
	began := time.Now()
	run(t, "docker compose up --build --detach")
	waitReplicas(t, map[string]int{"front": 1, "api": 1, "gateway": 1, "consumers": 1})
	t.Logf("the front was added in %s", seconds(began))
}

// waitReplicas waits until these numbers of containers of the services, and the other servers, are
// healthy.
func waitReplicas(t *testing.T, want map[string]int) {
	t.Helper()
	waitFor(t, "every replica is healthy", 2*time.Minute,
		func() bool { return replicasHealthy(t, want) })
}

// An http2Only fails if the answer to a request does not come over HTTP/2.
type http2Only struct{ http.RoundTripper }

func (h http2Only) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := h.RoundTripper.RoundTrip(req)
	if err == nil && resp.ProtoMajor != 2 {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("got %s, want HTTP/2", resp.Proto)
	}
	return resp, err
}

// throughFront returns a client that trusts the front's certificate authority and speaks HTTP/2
// only, and the address that it connects from. It connects to an address of this machine other than
// 127.0.0.1: for connections to that one, the engine replaces the address of the client.
func throughFront(t *testing.T) (*http.Client, string) {
	t.Helper()
	route, err := net.Dial("udp4", "192.0.2.1:9") // sends nothing
	if err != nil {
		t.Fatal(err)
	}
	address, _, err := net.SplitHostPort(route.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = route.Close()
	authority := x509.NewCertPool()
	if !authority.AppendCertsFromPEM([]byte(run(t,
		"docker compose exec --no-TTY front cat /data/caddy/pki/authorities/local/root.crt"))) {
		t.Fatal("got no certificate of the front's authority")
	}
	var dialer net.Dialer
	return &http.Client{Timeout: 2 * time.Minute, Transport: http2Only{&http.Transport{
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{RootCAs: authority, MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, net.JoinHostPort(address, "443"))
		},
	}}}, address
}

func onlyFrontIsPublished(t *testing.T) {
	for name, c := range inspect(t) {
		if got := len(c.HostConfig.PortBindings); (got > 0) != (serviceOf(name) == "front") {
			t.Errorf("%s: got %d published ports", name, got)
		}
	}
	for _, port := range []string{"8080", "9000"} {
		if conn, err := net.DialTimeout("tcp", "127.0.0.1:"+port, 2*time.Second); err == nil {
			_ = conn.Close()
			t.Errorf("got a connection to port %s, want none", port)
		}
	}
}

func uploadAndDownload(t *testing.T, c *client) {
	ids := uploadAll(t, c, 20, 5, note)
	waitClassified(t, c, ids, time.Minute)
	_, _, want := note(0)
	got, err := c.download(ids[0])
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
}

// A change must arrive on a stream at once: the front must not wait for more.
func eventsArrive(t *testing.T, c *client) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.api+"/api/documents/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := c.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	ids, lines := uploadAll(t, c, 1, 1, note), bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "data:") && strings.Contains(lines.Text(), ids[0]) {
			return
		}
	}
	t.Errorf("the stream ended (%v) without an event of %s", lines.Err(), ids[0])
}

// repeated is an endless text.
type repeated string

func (r repeated) Read(p []byte) (n int, err error) {
	for n < len(p) {
		n += copy(p[n:], r)
	}
	return n, nil
}

// A file that is larger than the front's memory must pass through it.
func uploadGibibyte(t *testing.T, c *client) {
	before, began := inspect(t), time.Now()
	id, err := c.uploadFrom("large.txt", "text/plain",
		io.LimitReader(repeated("Invoice of the electricity company.\n"), 1<<30), 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("1 GiB was uploaded in %s", seconds(began))
	logUse(t, "after 1 GiB")
	waitStored(t, c, id)
	if limit := before["front-1"].HostConfig.Memory; limit >= 1<<30 {
		t.Errorf("front: got a memory limit of %d bytes, want it below the size of the file", limit)
	}
	stable(t, before)
	if err := c.call(http.MethodDelete, c.api+"/api/documents/"+id, nil, nil); err != nil {
		t.Errorf("delete the file: %v", err)
	}
}

// Several replicas must share the work. While files are uploaded, one of each is killed, and then
// all are upgraded.
func loadReplicas(t *testing.T, c *client) {
	run(t, "docker compose up --detach --scale api=2 --scale gateway=2 --scale consumers=3")
	waitReplicas(t, map[string]int{"front": 1, "api": 2, "gateway": 2, "consumers": 3})
	l := startLoad(c, 4)
	l.more(t, 20)
	t.Run("killed", func(t *testing.T) { killReplicas(t, l) })
	t.Run("upgraded", func(t *testing.T) { upgradeReplicas(t, l) })
	ids := l.end()
	waitClassified(t, c, ids, 3*time.Minute)
	checkStored(t, c, ids)
	t.Logf("%d uploads acknowledged and classified", len(ids))
}

// killReplicas kills one replica of each service. Uploads must go on. The engine does not restart
// what was ended with `docker kill`.
func killReplicas(t *testing.T, l *load) {
	before, _ := l.failures()
	for _, name := range []string{"consumers", "api", "gateway"} {
		run(t, "docker kill %s", inspect(t)[name+"-1"].ID)
		l.more(t, 40)
	}
	failed, _ := l.failures()
	t.Logf("%d requests failed", failed-before)
	logs := run(t, "docker logs %s 2>&1", inspect(t)["api-2"].ID)
	if !strings.Contains(logs, "/api/documents/upload-url") {
		t.Error("got no request in the log of the second API, want the front to use both")
	}
}

// upgradeReplicas upgrades with the commands of docs/operations.md, which must fail no request. A
// change of Intray's source must rebuild only its image, and recreate only its processes.
func upgradeReplicas(t *testing.T, l *load) {
	for _, name := range []string{"API_REPLICAS", "GATEWAY_REPLICAS", "CONSUMERS_REPLICAS"} {
		t.Cleanup(setting(t, name, "2"))
	}
	want := map[string]int{"front": 1, "api": 2, "gateway": 2, "consumers": 2}
	run(t, "docker compose up --detach") // starts the replicas that were killed
	waitReplicas(t, want)
	l.more(t, 20)
	logUse(t, "4 clients that upload small files")
	before := inspect(t)
	failed, _ := l.failures()
	changeSource(t)
	began := time.Now()
	run(t, "%s", commands(t, "operations.md", "Upgrades without failed requests", 1)[0])
	waitReplicas(t, want)
	t.Logf("the upgrade took %s", seconds(began))
	l.more(t, 20)
	if n, last := l.failures(); n > failed {
		t.Errorf("got %d failed requests, want none; the last: %v\n%s", n-failed, last,
			run(t, "docker logs %s 2>&1 | grep '\"level\":\"error\"' | tail -n 5", before["front-1"].ID))
	}
	own := []string{"api", "consumers", "gateway", "migrate", "provision"}
	for name, now := range inspect(t) {
		same := now.ID == before[name].ID && now.State.StartedAt.Equal(before[name].State.StartedAt)
		if slices.Contains(own, serviceOf(name)) == same {
			t.Errorf("%s: got it left alone %v, want %v", name, same, !same)
		}
	}
}
