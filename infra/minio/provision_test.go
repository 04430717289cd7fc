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

func TestProvisionCreatesBucketAndRules(t *testing.T) {
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
	damage := map[string]func(c *notification.Configuration){
		"no rules":       func(c *notification.Configuration) { *c = notification.Configuration{} },
		"a missing rule": func(c *notification.Configuration) { c.QueueConfigs = c.QueueConfigs[1:] },
		"wrong prefix": func(c *notification.Configuration) {
			c.QueueConfigs[0].Filter.S3Key.FilterRules[0].Value = "old/"
		},
		"an extra rule": func(c *notification.Configuration) {
			arn := notification.NewArn("minio", "sqs", "", minio.TargetCreatedDirect, "nats")
			extra := notification.NewConfig(arn)
			extra.AddEvents(notification.ObjectCreatedPut)
			extra.AddFilterPrefix("old/")
			c.AddQueue(extra)
		},
	}
	for name, change := range damage {
		t.Run(name, func(t *testing.T) {
			config, err := s.root.GetBucketNotification(t.Context(), s.Bucket)
			if err != nil {
				t.Fatal(err)
			}
			change(&config)
			if err := s.root.SetBucketNotification(t.Context(), s.Bucket, config); err != nil {
				t.Fatal(err)
			}
			if s.rules(t) == wantRules {
				t.Fatal("the test did not change the rules")
			}
			if err := minio.Provision(t.Context(), s.Admin); err != nil {
				t.Fatal(err)
			}
			if got := s.rules(t); got != wantRules {
				t.Errorf("got rules:\n%s\nwant:\n%s", got, wantRules)
			}
		})
	}
}

// The test calls Provision repeatedly while every kind of key is in use.
func TestProvisionDoesNotDisturbKeysInUse(t *testing.T) {
	s := setup(t)
	key := newKey(t)
	s.put(t, key, "x")
	confirm, worker := s.objects(t, s.Keys.Confirm), s.objects(t, s.Keys.Worker)
	presigner := s.presigner(t)
	uses := map[string]func() error{
		"confirm key": func() error { _, err := confirm.Stat(t.Context(), key); return err },
		"worker key":  func() error { _, err := worker.Stat(t.Context(), key); return err },
		"download key": func() error {
			address, _, err := presigner.DownloadURL(
				t.Context(), key, minio.Attachment, "x", "text/plain", time.Minute)
			if err != nil {
				return err
			}
			if status, _, body := do(t, http.MethodGet, address, nil, nil); status != 200 {
				return errors.New(body)
			}
			return nil
		},
	}
	done := make(chan struct{})
	used := make(chan struct{}, len(uses)) // receives a value when a key has been used once
	var users sync.WaitGroup
	for name, use := range uses {
		users.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				if err := use(); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				if i == 0 {
					used <- struct{}{}
				}
			}
		})
	}
	for range uses {
		<-used
	}
	for range 20 {
		if err := minio.Provision(t.Context(), s.Admin); err != nil {
			t.Error(err)
		}
	}
	close(done)
	users.Wait()
}

func TestProvisionUpdatesASecret(t *testing.T) {
	s := setup(t)
	key := newKey(t)
	s.put(t, key, "x")
	before := s.objects(t, s.Keys.Worker)
	s.Keys.Worker.Secret = rand.Text()
	if err := minio.Provision(t.Context(), s.Admin); err != nil {
		t.Fatal(err)
	}
	if _, err := before.Stat(t.Context(), key); err == nil {
		t.Error("old secret: got success, want an error")
	}
	if _, err := s.objects(t, s.Keys.Worker).Stat(t.Context(), key); err != nil {
		t.Errorf("new secret: got %v, want success", err)
	}
}

func TestProvisionConcurrently(t *testing.T) {
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
		t.Errorf("got rules:\n%s\nwant:\n%s", got, wantRules)
	}
}

func TestProvisionErrors(t *testing.T) {
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
		"same key twice":  {func(a *minio.Admin) { a.Keys.Confirm = a.Keys.Upload }, "two roles", false},
		"root as a key":   {func(a *minio.Admin) { a.Keys.Upload.Access = a.RootUser }, "same as admin access key", false},
		"wrong password":  {func(a *minio.Admin) { a.RootPassword = "wrong-password" }, "403", false},
		"bad bucket name": {func(a *minio.Admin) { a.Bucket = "No_Bucket" }, "ucket", false},
		"closed port":     {func(a *minio.Admin) { a.Endpoint = closed.Addr().String() }, "refused", true},
	} {
		t.Run(name, func(t *testing.T) {
			admin := s.Admin
			test.change(&admin)
			err := minio.Provision(t.Context(), admin)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got error %v, want one that contains %q", err, test.want)
			}
			if got := errors.Is(err, minio.ErrUnavailable); got != test.unavailable {
				t.Errorf("error %v: got ErrUnavailable %v, want %v", err, got, test.unavailable)
			}
			for _, secret := range []string{admin.RootPassword, admin.Keys.Worker.Secret} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error contains a secret: %v", err)
				}
			}
		})
	}
}

// Each event must be published to the subjects of its rules, and created events for keys below
// documents/ only.
func TestEventsArePublished(t *testing.T) {
	s := setup(t)
	nc := createStream(t, s.server)
	messages, err := nc.SubscribeSync("bucket.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	key := newKey(t)
	s.put(t, "null-user/old", "x") // publishes no created event, because it is not below documents/
	s.put(t, key, "x")
	for _, key := range []string{key, "null-user/old"} {
		err := s.root.RemoveObject(t.Context(), s.Bucket, key, miniogo.RemoveObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]int{
		"bucket.created.direct " + key:         1,
		"bucket.created.durable " + key:        1,
		"bucket.removed.durable " + key:        1,
		"bucket.removed.durable null-user/old": 1,
	}
	got := map[string]int{}
	for len(got) < len(want) {
		message, err := messages.NextMsgWithContext(t.Context())
		if err != nil {
			t.Fatalf("%v; got events %v, want %v", err, got, want)
		}
		event := string(message.Data)
		if !strings.Contains(event, s.Bucket+"/") {
			continue // published for another test
		}
		for _, object := range []string{key, "null-user/old"} {
			if strings.Contains(event, `"Key":"`+s.Bucket+"/"+object+`"`) {
				got[message.Subject+" "+object]++
			}
		}
	}
	for event := range got {
		if want[event] == 0 {
			t.Errorf("got event %s, want only %v", event, want)
		}
	}
}
