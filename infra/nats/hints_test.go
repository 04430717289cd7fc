package nats_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	natsgo "github.com/nats-io/nats.go"

	"intray/infra/local/localtest"
	"intray/infra/nats"
	"intray/schema"
)

// hintRecorder records the calls of FollowHints, as subjects, and "missed".
type hintRecorder struct {
	sync.Mutex
	got []string
}

// followHints runs FollowHints as the API until the end of the test.
func followHints(t *testing.T, server *localtest.NATSServer) *hintRecorder {
	t.Helper()
	conn := connect(t, server, nats.UserAPI)
	r := &hintRecorder{}
	add := func(s string) {
		r.Lock()
		defer r.Unlock()
		r.got = append(r.got, s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- conn.FollowHints(ctx,
			func(h schema.Hint, user uuid.UUID) { add(h.Subject(user)) }, func() { add("missed") })
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("FollowHints: got %v, want nil after its context ended", err)
		}
	})
	probe := connect(t, server, nats.UserOperator)
	eventually(t, "FollowHints has subscribed", func() bool {
		if err := probe.Core().Publish("hints.quota.all", nil); err != nil {
			t.Fatal(err)
		}
		return len(r.all()) > 0
	})
	return r
}

func (r *hintRecorder) all() []string {
	r.Lock()
	defer r.Unlock()
	return slices.Clone(r.got)
}

func (r *hintRecorder) count(subject string) (n int) {
	for _, s := range r.all() {
		if s == subject {
			n++
		}
	}
	return n
}

func TestHintsAreCombinedAndTheLastOneArrives(t *testing.T) {
	server := localtest.NATS(t)
	r := followHints(t, server)
	worker := connect(t, server, nats.UserWorker)
	user := uuid.New()
	began, tick := time.Now(), time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 1000 {
		worker.Hint(schema.HintQuota, user)
		<-tick.C
	}
	worker.Hint(schema.HintTopics, uuid.Nil, user)
	subjects := []string{
		schema.HintQuota.Subject(user), schema.HintTopics.Subject(user),
		schema.HintTopics.Subject(uuid.Nil),
	}
	for _, subject := range subjects {
		eventually(t, subject+" arrives", func() bool { return r.count(subject) > 0 })
	}
	most := 2 + int(time.Since(began)/(200*time.Millisecond))
	if got := r.count(subjects[0]); got > most {
		t.Errorf("got %d hints for 1000 changes, want at most %d", got, most)
	}
}

// A hint reaches the API and a watching operator once each, whoever publishes it.
func TestHintsArriveOnce(t *testing.T) {
	server := localtest.NATS(t)
	r := followHints(t, server)
	watching := dial(t, server, nats.UserOperator)
	watched := make(chan *natsgo.Msg, 100)
	if _, err := watching.ChanSubscribe(schema.SubjectsHints, watched); err != nil {
		t.Fatal(err)
	}
	if err := watching.Flush(); err != nil {
		t.Fatal(err)
	}
	last := uuid.New()
	for _, test := range []struct {
		user  string
		hints []schema.Hint
	}{
		{nats.UserAPI, []schema.Hint{schema.HintPending, schema.HintQuota, schema.HintTopics}},
		{nats.UserWorker, []schema.Hint{schema.HintQuota, schema.HintTopics}},
		{nats.UserOperator, []schema.Hint{schema.HintQuota, schema.HintRemoved}},
	} {
		conn := dial(t, server, test.user)
		for _, hint := range test.hints {
			subject, end := hint.Subject(uuid.New()), hint.Subject(last)
			for _, s := range []string{subject, end} {
				if err := conn.Publish(s, nil); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, "the hints arrive", func() bool { return r.count(end) > 0 })
			if n := r.count(subject); n != 1 {
				t.Errorf("%s of user %s: arrived %d times, want once", hint, test.user, n)
			}
			seen := map[string]int{}
			for seen[end] == 0 {
				select {
				case m := <-watched:
					seen[m.Subject]++
				case <-time.After(timeout):
					t.Fatalf("%s of user %s: the operator did not see it", hint, test.user)
				}
			}
			if seen[subject] != 1 {
				t.Errorf("%s of user %s: the operator saw it %d times, want once",
					hint, test.user, seen[subject])
			}
			last = uuid.New()
		}
	}
}

// Close publishes what is waiting, without the delay, and later hints are dropped.
func TestHintsBeforeClose(t *testing.T) {
	server := localtest.NATS(t)
	r := followHints(t, server)
	worker := connect(t, server, nats.UserWorker)
	first := uuid.New()
	worker.Hint(schema.HintQuota, first)
	eventually(t, "the first hint arrives", func() bool {
		return r.count(schema.HintQuota.Subject(first)) == 1
	})
	users := make([]uuid.UUID, 100) // these wait
	for i := range users {
		users[i] = uuid.New()
	}
	worker.Hint(schema.HintQuota, users...)
	worker.Close()
	worker.Hint(schema.HintQuota, users[0])
	for _, user := range users {
		subject := schema.HintQuota.Subject(user)
		eventually(t, subject+" arrives", func() bool { return r.count(subject) == 1 })
	}
}

func TestHintsMissedDuringAnOutage(t *testing.T) {
	server := localtest.NATS(t)
	r := followHints(t, server)
	before := r.count("missed")
	worker := connect(t, server, nats.UserWorker)
	server.Stop()
	eventually(t, "the worker loses its connection", func() bool { return !worker.Connected() })
	worker.Hint(schema.HintQuota, uuid.New()) // is lost
	server.Start()
	eventually(t, "missed is called", func() bool { return r.count("missed") == before+1 })
}

// A hint has no effect but that of its subject: no stream stores it, and nobody answers it,
// whatever its reply subject is.
func TestHintsWithReplySubjects(t *testing.T) {
	server := localtest.NATS(t)
	operator := provision(t, server)
	r := followHints(t, server)
	conn, err := natsgo.Connect(server.URL,
		natsgo.UserInfo(nats.UserWorker, server.Passwords[nats.UserWorker]))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	user := uuid.New()
	subject := schema.HintQuota.Subject(user)
	answers := make(chan *natsgo.Msg, 100)
	if _, err := operator.Core().ChanSubscribe(">", answers); err != nil {
		t.Fatal(err)
	}
	if err := operator.Core().Flush(); err != nil {
		t.Fatal(err)
	}
	for _, reply := range []string{
		"documents.uploaded", "bucket.created.direct", "$JS.API.STREAM.DELETE.BUCKET",
	} {
		if err := conn.PublishRequest(subject, reply, []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the hints arrive", func() bool { return r.count(subject) == 3 })
	if err := operator.Core().Flush(); err != nil {
		t.Fatal(err)
	}
	for range len(answers) {
		if m := <-answers; m.Subject != subject {
			t.Errorf("got a message on %s, want only the hints", m.Subject)
		}
	}
	for _, stream := range []string{schema.StreamDocuments, schema.StreamBucket} {
		state, err := operator.State(t.Context(), stream)
		if err != nil || state.LastSequence != 0 {
			t.Errorf("stream %s: got last sequence %d, %v; want none", stream, state.LastSequence, err)
		}
	}
}
