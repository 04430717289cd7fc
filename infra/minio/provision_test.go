package minio_test

import (
	"crypto/rand"
	"errors"
	"net"
	"net/http"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	miniogo "github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/notification"

	"intray/infra/minio"
)

// rules returns the bucket's notifications as sorted lines.
func (s *stack) rules(t *testing.T) string {
	t.Helper()
	config, err := s.root.GetBucketNotification(t.Context(), s.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, queue := range config.QueueConfigs {
		line := queue.Queue
		for _, event := range queue.Events {
			line += " " + string(event)
		}
		if queue.Filter != nil {
			for _, filter := range queue.Filter.S3Key.FilterRules {
				line += " " + filter.Name + "=" + filter.Value
			}
		}
		lines = append(lines, line)
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

const wantRules = `arn:minio:sqs::CREATED_DIRECT:nats s3:ObjectCreated:* prefix=documents/
arn:minio:sqs::CREATED_DURABLE:nats s3:ObjectCreated:* prefix=documents/
arn:minio:sqs::REMOVED_DURABLE:nats s3:ObjectRemoved:*`

func TestProvisionMakesTheBucketAndItsRules(t *testing.T) {
	s := unprovisioned(t)
	if err := s.root.RemoveBucket(t.Context(), s.Bucket); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := minio.Provision(t.Context(), s.Admin); err != nil {
			t.Fatal(err)
		}
		if got := s.rules(t); got != wantRules {
			t.Errorf("rules:\n%s\nwant:\n%s", got, wantRules)
		}
	}
}

func TestProvisionRepairsRules(t *testing.T) {
	s := setup(t)
	for name, break_ := range map[string]func(c *notification.Configuration){
		"none":     func(c *notification.Configuration) { *c = notification.Configuration{} },
		"one gone": func(c *notification.Configuration) { c.QueueConfigs = c.QueueConfigs[1:] },
		"wrong":    func(c *notification.Configuration) { c.QueueConfigs[0].Filter.S3Key.FilterRules[0].Value = "old/" },
		"one extra": func(c *notification.Configuration) {
			extra := notification.NewConfig(notification.NewArn("minio", "sqs", "", minio.TargetCreatedDirect, "nats"))
			extra.AddEvents(notification.ObjectCreatedPut)
			extra.AddFilterPrefix("old/")
			c.AddQueue(extra)
		},
	} {
		config, err := s.root.GetBucketNotification(t.Context(), s.Bucket)
		if err != nil {
			t.Fatal(err)
		}
		break_(&config)
		if err := s.root.SetBucketNotification(t.Context(), s.Bucket, config); err != nil {
			t.Fatal(err)
		}
		if s.rules(t) == wantRules {
			t.Fatalf("%s: the rules are not broken", name)
		}
		if err := minio.Provision(t.Context(), s.Admin); err != nil {
			t.Fatal(err)
		}
		if got := s.rules(t); got != wantRules {
			t.Errorf("%s: rules:\n%s\nwant:\n%s", name, got, wantRules)
		}
	}
}

// TestProvisionAgainLeavesNoKeyUnknown provisions again and again while every key is in use.
func TestProvisionAgainLeavesNoKeyUnknown(t *testing.T) {
	s := setup(t)
	key := newKey(t)
	s.put(t, key, "x")
	confirm, worker, presigner := s.objects(t, s.Keys.Confirm), s.objects(t, s.Keys.Worker), s.presigner(t)
	done := make(chan struct{})
	var wg sync.WaitGroup
	counts := make([]int, 3)
	for i, use := range []func() error{
		func() error { _, err := confirm.Stat(t.Context(), key); return err },
		func() error { _, err := worker.Stat(t.Context(), key); return err },
		func() error {
			address, _, err := presigner.DownloadURL(t.Context(), key, "x", "text/plain", time.Minute)
			if err != nil {
				return err
			}
			if status, _, body := do(t, http.MethodGet, address, nil, nil); status != 200 {
				return errors.New(body)
			}
			return nil
		},
	} {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					if err := use(); err != nil {
						t.Error(err)
						return
					}
					counts[i]++
				}
			}
		})
	}
	var slowest time.Duration
	for range 20 {
		begin := time.Now()
		if err := minio.Provision(t.Context(), s.Admin); err != nil {
			t.Error(err)
		}
		slowest = max(slowest, time.Since(begin))
	}
	close(done)
	wg.Wait()
	t.Logf("slowest of 20 under load: %s; uses meanwhile: %v", slowest, counts)
	for i, n := range counts {
		if n == 0 {
			t.Errorf("use %d never ran", i)
		}
	}
}

func TestProvisionTakesANewSecret(t *testing.T) {
	s := setup(t)
	key := newKey(t)
	s.put(t, key, "x")
	before := s.objects(t, s.Keys.Worker)
	s.Keys.Worker.Secret = rand.Text()
	if err := minio.Provision(t.Context(), s.Admin); err != nil {
		t.Fatal(err)
	}
	if _, err := before.Stat(t.Context(), key); err == nil {
		t.Error("the old secret still works")
	}
	if _, err := s.objects(t, s.Keys.Worker).Stat(t.Context(), key); err != nil {
		t.Errorf("the new secret: %v", err)
	}
}

func TestProvisionsAtTheSameTime(t *testing.T) {
	s := unprovisioned(t)
	if err := s.root.RemoveBucket(t.Context(), s.Bucket); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := minio.Provision(t.Context(), s.Admin); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := s.rules(t); got != wantRules {
		t.Errorf("rules:\n%s", got)
	}
}

func TestProvisionSaysWhatItCouldNotMake(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	s := setup(t)
	for name, test := range map[string]struct {
		change      func(a *minio.Admin)
		want        string
		unavailable bool
	}{
		"short secret":    {func(a *minio.Admin) { a.Keys.Worker.Secret = "short" }, s.Keys.Worker.Access, false},
		"no key":          {func(a *minio.Admin) { a.Keys.Confirm = minio.Key{} }, "confirm key is empty", false},
		"one key twice":   {func(a *minio.Admin) { a.Keys.Confirm = a.Keys.Upload }, "two roles", false},
		"root as a key":   {func(a *minio.Admin) { a.Keys.Upload.Access = a.RootUser }, "same as admin access key", false},
		"wrong password":  {func(a *minio.Admin) { a.RootPassword = "wrong-password" }, "403", false},
		"bad bucket name": {func(a *minio.Admin) { a.Bucket = "No_Bucket" }, "ucket", false},
		"nothing listens": {func(a *minio.Admin) { a.Endpoint = closed.Addr().String() }, "refused", true},
	} {
		t.Run(name, func(t *testing.T) {
			admin := s.Admin
			test.change(&admin)
			err := minio.Provision(t.Context(), admin)
			if err == nil || !strings.Contains(err.Error(), test.want) || errors.Is(err, minio.ErrUnavailable) != test.unavailable {
				t.Fatalf("got %v, want %q, unavailable %v", err, test.want, test.unavailable)
			}
			for _, secret := range []string{admin.RootPassword, admin.Keys.Worker.Secret} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("a secret is in the error: %v", err)
				}
			}
		})
	}
}

// TestEventsArrive has the shared MinIO say what happens in the bucket, and to which subject.
func TestEventsArrive(t *testing.T) {
	s := setup(t)
	nc := stream(t, s.server)
	messages, err := nc.SubscribeSync("bucket.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	key := newKey(t)
	s.put(t, "null-user/old", "x") // outside: no created event
	s.put(t, key, "x")
	for _, key := range []string{key, "null-user/old"} {
		if err := s.root.RemoveObject(t.Context(), s.Bucket, key, miniogo.RemoveObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]int{
		"bucket.created.direct " + key: 1, "bucket.created.durable " + key: 1,
		"bucket.removed.durable " + key: 1, "bucket.removed.durable null-user/old": 1,
	}
	got := map[string]int{}
	for deadline := time.Now().Add(15 * time.Second); len(got) < len(want); {
		message, err := messages.NextMsg(time.Until(deadline))
		if err != nil {
			t.Fatalf("%v; got %v", err, got)
		}
		name := string(message.Data)
		if !strings.Contains(name, s.Bucket+"/") {
			continue // another test's
		}
		for _, object := range []string{key, "null-user/old"} {
			if strings.Contains(name, `"Key":"`+s.Bucket+"/"+object+`"`) {
				got[message.Subject+" "+object]++
			}
		}
	}
	for name := range got {
		if want[name] == 0 {
			t.Errorf("%s: not expected", name)
		}
	}
}
