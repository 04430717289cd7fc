package main_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	miniogo "github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"intray/cmd/internal/stacktest"
	"intray/infra/local"
	"intray/schema"
)

func TestOperatorsCommands(t *testing.T) {
	collector, spansOf := spans(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector)
	s := up(t)
	t.Run("reconcile", func(t *testing.T) { reconciles(t, s) })
	t.Run("status", func(t *testing.T) { tellsStatus(t, s) })
	t.Run("metrics", func(t *testing.T) { showsMetrics(t, s) })
	t.Run("traces", func(t *testing.T) { traces(t, s, spansOf) })
	t.Run("deadletters", func(t *testing.T) { deadLetters(t, s) })
	t.Run("through the environment", func(t *testing.T) { throughTheEnvironment(t, s) })
}

func reconciles(t *testing.T, s *stack) {
	alice := s.Login(t, "alice")
	alice.Becomes(alice.Upload("invoice.txt", "text/plain", []byte(invoice)), 30*time.Second, "classified")
	if out := s.operator(t, 0, "reconcile"); !strings.Contains(out, "1 objects") || !strings.Contains(out, "Everything is in order") {
		t.Errorf("it says\n%s", out)
	}
	root, err := miniogo.New(s.MinIO.Endpoint, &miniogo.Options{Creds: credentials.NewStaticV4(s.MinIO.RootUser, s.MinIO.RootPassword, "")})
	if err != nil {
		t.Fatal(err)
	}
	const key = "documents/0000000000/unknown\x1b[31m"
	if _, err := root.PutObject(t.Context(), s.MinIO.Bucket, key, strings.NewReader("who?"), 4, miniogo.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	db := s.database(t)
	if _, err := db.Exec(`UPDATE quotas SET used_bytes = used_bytes + 5`); err != nil {
		t.Fatal(err)
	}

	out := s.operator(t, 1, "reconcile", "--settle", "1ms")
	if !strings.Contains(out, "documents/0000000000/unknown") || !strings.Contains(out, "reconcile --fix") || strings.Contains(out, "\x1b") {
		t.Errorf("it says\n%q", out)
	}
	lines := strings.Split(strings.TrimSpace(s.operator(t, 1, "reconcile", "--settle", "1ms", "--fix", "--json")), "\n")
	fixed := map[string]int{}
	for _, line := range lines[:len(lines)-1] {
		var f struct {
			Kind  string `json:"kind"`
			Fixed bool   `json:"fixed"`
		}
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		fixed[fmt.Sprint(f.Kind, " ", f.Fixed)]++
	}
	if len(fixed) != 2 || fixed["unknown_object false"] != 1 || fixed["quota_drift true"] != 3 {
		t.Errorf("findings %v", fixed)
	}
	var last struct {
		Summary struct {
			Found, Left int64
			Kinds       map[string]struct{ Found, Fixed, Bytes int64 }
		}
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || last.Summary.Found != 4 || last.Summary.Left != 1 || last.Summary.Kinds["quota_drift"].Bytes != 15 {
		t.Errorf("summary %+v, %v", last, err)
	}
	// What is left to a person is told until it is settled, by whoever does that.
	port, err := local.KeptPort(s.Dir, "consume")
	if err != nil {
		t.Fatal(err)
	}
	told := func(status int, left string) {
		t.Helper()
		if out := s.operator(t, status, "status"); strings.Contains(out, left+" places that are left to you") != (status == 1) {
			t.Errorf("status says\n%s", out)
		}
		stacktest.Await(t, 20*time.Second, "the metrics to tell what is left", func() error {
			if text := scrape(t, fmt.Sprintf("http://127.0.0.1:%d", port)); !strings.Contains(text, "intray_drift_left "+left+"\n") {
				return errors.New("they do not")
			}
			return nil
		})
	}
	told(1, "1")
	s.operator(t, 2, "reconcile", "--delete-unknown")
	s.operator(t, 1, "reconcile", "--settle", "1ms", "--fix", "--delete-unknown") // it is too young
	s.operator(t, 0, "reconcile", "--settle", "1ms", "--fix", "--delete-unknown", "--older-than", "1ms")
	if _, err := root.StatObject(t.Context(), s.MinIO.Bucket, key, miniogo.StatObjectOptions{}); miniogo.ToErrorResponse(err).Code != miniogo.NoSuchKey {
		t.Errorf("the unknown object: %v", err)
	}
	if out := s.operator(t, 0, "reconcile"); !strings.Contains(out, "1 objects") {
		t.Errorf("it says\n%s", out)
	}
	told(0, "0")
}

func deadLetters(t *testing.T, s *stack) {
	if out := s.operator(t, 0, "deadletters", "list"); !strings.Contains(out, "No dead letters") {
		t.Errorf("it lists\n%s", out)
	}
	conn, err := natsgo.Connect(s.NATS)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{`{"Records": [], "Key": "x"}`, "no JSON at all\x1b[31m", "nor this"} {
		m := natsgo.NewMsg(schema.SubjectCreatedDirect)
		m.Data = []byte(data)
		m.Header.Set("Trace", "t1")
		if _, err := js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	type letter struct {
		ID       int64
		Sequence int
		Consumer string
		Reason   string
		Headers  map[string][]string
		Data     json.RawMessage
		Base64   []byte `json:"data_base64"`
	}
	// list waits for n letters and returns them in the order of their messages.
	list := func(n int, filters ...string) (all []letter) {
		t.Helper()
		stacktest.Await(t, time.Minute, strconv.Itoa(n)+" dead letters", func() error {
			all = nil
			for line := range strings.Lines(s.operator(t, 0, append([]string{"deadletters", "list", "--json"}, filters...)...)) {
				var l letter
				if err := json.Unmarshal([]byte(line), &l); err != nil {
					return err
				}
				all = append(all, l)
			}
			if len(all) != n {
				return fmt.Errorf("there are %d", len(all))
			}
			return nil
		})
		slices.SortFunc(all, func(a, b letter) int { return cmp.Compare(a.Sequence, b.Sequence) })
		return all
	}
	byID := func(a, b letter) int { return cmp.Compare(a.ID, b.ID) }
	all := list(3)
	list(3, "--consumer", "confirm", "--since", "1h", "--reason", "UNDECODABLE")
	list(0, "--consumer", "remove")
	list(0, "--since", "2999-01-01")
	list(3, "--since", "7d", "--until", "0s")
	list(0, "--until", "1h")
	s.operator(t, 2, "deadletters", "list", "--since", "1h", "--until", "2h")
	for _, change := range []string{"list", "retry", "drop"} { // not as if there were none
		if _, stderr, status := stacktest.Run(t, nil, "intray", "deadletters", change, "--consumer", "confrim", "--data", t.TempDir()); status != 2 || !strings.Contains(stderr, "choose confirm") {
			t.Errorf("%s of a consumer that there is not: status %d, %s", change, status, stderr)
		}
	}
	list(2, "--limit", "2")
	s.operator(t, 2, "deadletters", "list", "--since", "yesterday")
	if out := s.operator(t, 0, "deadletters", "list", "--limit", "2"); strings.Count(out, "bucket.created.direct") != 2 || !strings.Contains(out, "1 more") {
		t.Errorf("it lists\n%s", out)
	}

	id := func(i int) string { return strconv.FormatInt(all[i].ID, 10) }
	out := s.operator(t, 0, "deadletters", "show", id(0))
	for _, want := range []string{"undecodable event: no records", "Trace: t1", "stream BUCKET", "{\n  \"Records\": [],\n  \"Key\": \"x\"\n}\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("it shows\n%s\nwithout %q", out, want)
		}
	}
	if out := s.operator(t, 0, "deadletters", "show", id(1)); strings.Contains(out, "\x1b") || !strings.Contains(out, "6e 6f 20 4a 53 4f 4e") {
		t.Errorf("it shows\n%q", out)
	}
	var shown letter
	if err := json.Unmarshal([]byte(s.operator(t, 0, "deadletters", "show", "--json", id(1))), &shown); err != nil ||
		string(shown.Base64) != "no JSON at all\x1b[31m" || shown.Data != nil || shown.Headers["Trace"][0] != "t1" {
		t.Errorf("it shows %+v, %v", shown, err)
	}
	s.operator(t, 1, "deadletters", "show", "999999")

	s.operator(t, 2, "deadletters", "retry")
	s.operator(t, 2, "deadletters", "retry", id(0), "--all")
	s.operator(t, 1, "deadletters", "retry", "999999")
	if out := s.operator(t, 0, "deadletters", "retry", "--all", "--dry-run"); strings.Count(out, "would retry") != 3 {
		t.Errorf("it says\n%s", out)
	}
	// What nothing mends comes back, each time as a new one.
	for range 2 {
		before := all
		if out := s.operator(t, 0, "deadletters", "retry", "--all", "--rate", "1000"); !strings.Contains(out, "3 dead letters retried") {
			t.Errorf("it says\n%s", out)
		}
		all = list(3)
		if slices.MinFunc(all, byID).ID <= slices.MaxFunc(before, byID).ID {
			t.Errorf("dead letters %+v after %+v", all, before)
		}
	}

	s.operator(t, 2, "deadletters", "drop")
	s.operator(t, 2, "deadletters", "drop", "--all") // more than one
	list(3)
	s.operator(t, 0, "deadletters", "drop", id(0))
	s.operator(t, 1, "deadletters", "drop", id(0))
	s.operator(t, 0, "deadletters", "drop", "--all", "--yes")
	list(0)
}

func throughTheEnvironment(t *testing.T, s *stack) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	database, bucket := "DATABASE_URL="+s.Postgres, "MINIO_BUCKET="+s.MinIO.Bucket
	key, secret := "MINIO_WORKER_KEY="+s.MinIO.RootUser, "MINIO_WORKER_SECRET="+s.MinIO.RootPassword
	for name, c := range map[string]struct {
		environment []string
		args        []string
		want        int
	}{
		"without NATS":       {[]string{database, bucket, key, secret, "MINIO_ENDPOINT=http://" + s.MinIO.Endpoint}, []string{"reconcile"}, 0},
		"MinIO is away":      {[]string{database, bucket, key, secret, "MINIO_ENDPOINT=http://" + nobody}, []string{"reconcile"}, 3},
		"the bucket is gone": {[]string{database, "MINIO_BUCKET=gone", key, secret, "MINIO_ENDPOINT=http://" + s.MinIO.Endpoint}, []string{"status"}, 3},
		"the key is refused": {[]string{database, bucket, key, "MINIO_WORKER_SECRET=another-one", "MINIO_ENDPOINT=http://" + s.MinIO.Endpoint}, []string{"status"}, 3},
		"MinIO is unnamed":   {[]string{database}, []string{"reconcile"}, 2},
		"no database":        {[]string{"DATABASE_URL=postgres://intray@" + nobody + "/intray?sslmode=disable"}, []string{"deadletters", "list"}, 3},
		"list":               {[]string{database}, []string{"deadletters", "list"}, 0},
		"no stack":           {nil, []string{"reconcile", "--data", filepath.Join(t.TempDir(), "none")}, 3},
	} {
		if out, errs, status := stacktest.Run(t, c.environment, "intray", c.args...); status != c.want || (status > 1 && errs == "") {
			t.Errorf("%s: status %d, want %d\n%s%s", name, status, c.want, out, errs)
		}
	}
	if _, err := s.database(t).Exec(`INSERT INTO dead_letters (stream, sequence, consumer, subject, data, reason, tries, first_at)
		VALUES ('BUCKET', 1, 'confirm', 'bucket.created.direct', '', 'test', 1, now())`); err != nil {
		t.Fatal(err)
	}
	if _, _, status := stacktest.Run(t, []string{database, "NATS_URL=nats://" + nobody, "NATS_PASSWORD=x"}, "intray", "deadletters", "retry", "--all"); status != 3 {
		t.Errorf("without NATS a retry ends with status %d, want 3", status)
	}
}
