package nats_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"intray/infra/local/localtest"
	"intray/infra/nats"
	"intray/schema"
)

var streams = []string{schema.StreamBucket, schema.StreamDocuments, schema.StreamReplay}

// victim is a durable consumer that no role may use.
const victim = "victim"

// payloads are what an attacker sends, or makes the server send: an acknowledgment, and requests
// that delete a message, restrict a stream or create a consumer.
var payloads = []string{
	"", "+ACK", "+TERM", `{"seq":1}`,
	`{"name":"BUCKET","subjects":["bucket.>"],"max_msgs":1,"discard":"old","num_replicas":1}`,
	`{"stream_name":"BUCKET","config":{"durable_name":"intruder","ack_policy":"explicit"}}`,
}

// targets returns the subjects on which a message would change a stream or a consumer, or reach a
// subscriber of another role.
func targets() []string {
	subjects := []string{
		"bucket.created.direct", "bucket.removed.durable", "bucket.other", "documents.uploaded",
		"documents.forged", "replay.confirm.forged", "replay.classify.forged",
		"stored.documents.forged", "hints.quota.forged", "hints.topics.forged", "hints.pending.forged",
		"hints.removed.forged", "_INBOX.forged", "_INBOX_api.forged", "_INBOX_worker.forged",
		"_INBOX_operator.forged", "$JS.API.STREAM.CREATE.INTRUDER", "$JS.API.STREAM.LIST",
		"$JS.API.STREAM.NAMES", "$JS.API.INFO", "$JS.API.ACCOUNT.PURGE.INTRAY",
	}
	for _, stream := range streams {
		for _, operation := range []string{
			"STREAM.INFO", "STREAM.UPDATE", "STREAM.PURGE", "STREAM.DELETE", "STREAM.MSG.GET",
			"STREAM.MSG.DELETE", "DIRECT.GET", "STREAM.SNAPSHOT", "STREAM.RESTORE",
			"STREAM.LEADER.STEPDOWN", "CONSUMER.LIST", "CONSUMER.NAMES",
		} {
			subjects = append(subjects, "$JS.API."+operation+"."+stream)
		}
		for _, consumer := range []string{
			schema.ConsumerConfirm, schema.ConsumerRemove, schema.ConsumerClassify, victim, "intruder",
		} {
			name := stream + "." + consumer
			for _, operation := range []string{
				"INFO", "CREATE", "DURABLE.CREATE", "DELETE", "PAUSE", "RESET", "UNPIN",
				"LEADER.STEPDOWN", "MSG.NEXT",
			} {
				subjects = append(subjects, "$JS.API.CONSUMER."+operation+"."+name)
			}
			// The first message of the stream, delivered once, in both forms.
			subjects = append(subjects,
				"$JS.ACK."+name+".1.1.1.0.0", "$JS.ACK._.hash."+name+".1.1.1.0.0")
		}
	}
	return subjects
}

// imported returns the subject of the same request in an account that imports it.
func imported(subject string) string {
	return strings.Replace(subject, "$JS.API.", "INTRAY.API.", 1)
}

// roles are what each role may do. A subject that ends with ">" or "*" stands for all that begin
// with the rest.
var roles = []struct {
	user string
	// requests are the subjects that the role may use and that the server answers.
	requests []string
	// others are further subjects on which messages of the role arrive, and replies those on which
	// it can only receive an answer in its own account.
	others, replies []string
	inbox           string
}{
	{
		user:     nats.UserMinIO,
		requests: []string{"bucket.created.direct", "bucket.removed.durable"},
		inbox:    "_INBOX.",
	},
	{
		user: nats.UserAPI,
		requests: []string{
			"documents.uploaded", "documents.forged", "$JS.API.STREAM.INFO.DOCUMENTS",
			"$JS.API.DIRECT.GET.DOCUMENTS",
		},
		others:  []string{"hints.quota.*", "hints.topics.*", "hints.pending.*"},
		replies: []string{"hints.removed.*", "stored.documents.*"},
		inbox:   "_INBOX_api.",
	},
	{
		user: nats.UserWorker,
		requests: []string{
			"documents.uploaded", "documents.forged",
			"$JS.API.STREAM.INFO.BUCKET", "$JS.API.STREAM.INFO.DOCUMENTS", "$JS.API.STREAM.INFO.REPLAY",
			"$JS.API.STREAM.MSG.GET.BUCKET", "$JS.API.STREAM.PURGE.BUCKET",
			"$JS.API.STREAM.PURGE.DOCUMENTS", "$JS.API.CONSUMER.LIST.BUCKET",
			"$JS.API.CONSUMER.LIST.DOCUMENTS", "$JS.API.CONSUMER.INFO.BUCKET.confirm",
			"$JS.API.CONSUMER.INFO.BUCKET.remove", "$JS.API.CONSUMER.INFO.DOCUMENTS.classify",
			"$JS.API.CONSUMER.INFO.REPLAY.confirm", "$JS.API.CONSUMER.INFO.REPLAY.classify",
			"$JS.API.CONSUMER.MSG.NEXT.BUCKET.confirm", "$JS.API.CONSUMER.MSG.NEXT.BUCKET.remove",
			"$JS.API.CONSUMER.MSG.NEXT.DOCUMENTS.classify",
			"$JS.API.CONSUMER.MSG.NEXT.REPLAY.confirm", "$JS.API.CONSUMER.MSG.NEXT.REPLAY.classify",
		},
		others: []string{
			"hints.quota.*", "hints.topics.*", "$JS.ACK.BUCKET.confirm.>", "$JS.ACK.BUCKET.remove.>",
			"$JS.ACK.DOCUMENTS.classify.>", "$JS.ACK.REPLAY.confirm.>", "$JS.ACK.REPLAY.classify.>",
			"$JS.ACK._.hash.BUCKET.confirm.>", "$JS.ACK._.hash.BUCKET.remove.>",
			"$JS.ACK._.hash.DOCUMENTS.classify.>", "$JS.ACK._.hash.REPLAY.confirm.>",
			"$JS.ACK._.hash.REPLAY.classify.>",
		},
		inbox: "_INBOX_worker.",
	},
}

func matches(patterns []string, subject string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		prefix := strings.TrimRight(p, ">*")
		return subject == p || prefix != p && strings.HasPrefix(subject, prefix)
	})
}

// target is a deployment with messages in all streams, which a role attacks.
type target struct {
	t        *testing.T
	server   *localtest.NATSServer
	operator *nats.Conn
	attacker *natsgo.Conn
	// messages are those that the operator and the other roles receive.
	messages chan *natsgo.Msg
}

// newTarget returns a deployment that user attacks. The streams have messages with all payloads. Of
// each consumer, one message is delivered and not acknowledged.
func newTarget(t *testing.T, user string) *target {
	t.Helper()
	server := localtest.NATS(t)
	a := &target{t: t, server: server, operator: provision(t, server)}
	js := a.operator.JetStream()
	for _, stream := range streams {
		_, err := js.CreateConsumer(t.Context(), stream, jetstream.ConsumerConfig{Durable: victim})
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 30 {
		for _, subject := range []string{
			"bucket.created.direct", "bucket.removed.durable", "documents.uploaded",
			"replay.confirm.a", "replay.classify.a",
		} {
			for _, payload := range payloads {
				if _, err := js.Publish(t.Context(), subject, []byte(payload)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for _, stream := range streams {
		for _, name := range consumerNames(t, a.operator, stream) {
			consumer, err := js.Consumer(t.Context(), stream, name)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := consumer.Next(); err != nil {
				t.Fatal(err)
			}
		}
	}
	a.messages = make(chan *natsgo.Msg, 1<<16)
	for _, other := range users {
		if other == user {
			continue
		}
		conn := dial(t, server, other)
		for subject, receivers := range map[string][]string{
			">": {nats.UserOperator}, "_INBOX.>": {nats.UserMinIO}, "_INBOX_api.>": {nats.UserAPI},
			"_INBOX_worker.>": {nats.UserWorker}, "hints.*.*": {nats.UserAPI},
			"stored.documents.*": {nats.UserAPI},
		} {
			if !slices.Contains(receivers, other) {
				continue
			}
			if _, err := conn.ChanSubscribe(subject, a.messages); err != nil {
				t.Fatal(err)
			}
		}
		if err := conn.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	a.attacker = dial(t, server, user)
	return a
}

// dial connects without the restrictions of nats.Connect.
func dial(t *testing.T, server *localtest.NATSServer, user string) *natsgo.Conn {
	t.Helper()
	conn, err := natsgo.Connect(server.URL, natsgo.UserInfo(user, server.Passwords[user]),
		natsgo.ErrorHandler(func(*natsgo.Conn, *natsgo.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

func consumerNames(t *testing.T, operator *nats.Conn, stream string) (names []string) {
	t.Helper()
	s, err := operator.JetStream().Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	list := s.ConsumerNames(t.Context())
	for name := range list.Name() {
		names = append(names, name)
	}
	if list.Err() != nil {
		t.Fatal(list.Err())
	}
	slices.Sort(names)
	return names
}

// attack publishes a message with each payload.
func (a *target) attack(subject, reply string, header natsgo.Header, payloads []string) {
	a.t.Helper()
	for _, payload := range payloads {
		m := &natsgo.Msg{Subject: subject, Reply: reply, Header: header, Data: []byte(payload)}
		if err := a.attacker.PublishMsg(m); err != nil {
			a.t.Fatal(err)
		}
	}
}

// settle waits until the server has handled everything that the attacker has sent.
func (a *target) settle() {
	a.t.Helper()
	if err := a.attacker.Flush(); err != nil {
		a.t.Fatal(err)
	}
	// Requests wait in a queue, and what they lead to waits there after them.
	for range 20 {
		if _, err := a.operator.JetStream().AccountInfo(a.t.Context()); err != nil {
			a.t.Fatal(err)
		}
	}
}

// state describes the streams and consumers. It leaves out what user may change.
func (a *target) state(user string) map[string]string {
	a.t.Helper()
	state := map[string]string{}
	js := a.operator.JetStream()
	names := []string{}
	list := js.StreamNames(a.t.Context())
	for name := range list.Name() {
		names = append(names, name)
	}
	if list.Err() != nil {
		a.t.Fatal(list.Err())
	}
	slices.Sort(names)
	state["streams"] = fmt.Sprint(names)
	for _, name := range streams {
		stream, err := js.Stream(a.t.Context(), name)
		if err != nil {
			state[name] = err.Error()
			continue
		}
		info := stream.CachedInfo()
		s := info.State
		state[name] = describe(a.t, info.Config, s.Msgs, s.FirstSeq, s.LastSeq, s.NumDeleted)
		for _, consumer := range consumerNames(a.t, a.operator, name) {
			c, err := js.Consumer(a.t.Context(), name, consumer)
			if err != nil {
				a.t.Fatal(err)
			}
			key, i := name+"."+consumer, c.CachedInfo()
			state[key] = describe(a.t, i.Config, i.Paused)
			if user != nats.UserWorker || consumer == victim {
				state[key] += describe(a.t, i.AckFloor.Stream, i.NumAckPending, i.Delivered.Stream)
			}
		}
	}
	return state
}

func describe(t *testing.T, values ...any) string {
	t.Helper()
	text, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// expectUnchanged compares the state with that before the attack, and checks that no message
// arrived on one of the subjects.
func (a *target) expectUnchanged(user string, before map[string]string, subjects []string) {
	a.t.Helper()
	a.settle()
	after := a.state(user)
	for key, want := range before {
		if after[key] != want {
			a.t.Errorf("%s: got state %s, want %s", key, after[key], want)
		}
	}
	for key, got := range after {
		if _, ok := before[key]; !ok {
			a.t.Errorf("%s: got state %s, want that it does not exist", key, got)
		}
	}
	if len(a.messages) == cap(a.messages) {
		a.t.Fatal("too many messages arrived")
	}
	reported := map[string]bool{}
	for range len(a.messages) {
		m := <-a.messages
		if m.Sub.Subject == ">" {
			// This subscription also sees requests of this test, and fetched messages on their way to
			// the client that fetches them.
			fetched := strings.HasPrefix(m.Reply, "$JS.ACK.")
			if fetched || strings.HasPrefix(m.Reply, "_INBOX_operator.") ||
				!slices.Contains(subjects, m.Subject) {
				continue
			}
		}
		if id := m.Sub.Subject + " " + m.Subject; !reported[id] {
			reported[id] = true
			a.t.Errorf("a message arrived on %s (subscription %s): %q", m.Subject, m.Sub.Subject, m.Data)
		}
	}
}

// Every role publishes on every subject that it may not use, with and without a reply subject.
func TestRolesCannotPublishElsewhere(t *testing.T) {
	for _, role := range roles {
		t.Run(role.user, func(t *testing.T) {
			a := newTarget(t, role.user)
			before := a.state(role.user)
			var forbidden []string
			for _, subject := range targets() {
				if !matches(role.requests, subject) && !matches(role.others, subject) {
					forbidden = append(forbidden, subject)
				}
			}
			for _, subject := range forbidden {
				for _, s := range []string{subject, imported(subject)} {
					a.attack(s, "", nil, payloads)
					a.attack(s, role.inbox+"answer", nil, payloads)
				}
				a.settle()
			}
			a.expectUnchanged(role.user, before, forbidden)
		})
	}
}

// Every role makes the server answer on every subject that it may not use, in each way that it
// has: as the reply subject of each of its requests, and as the destination of message traces.
func TestReplySubjectsDoNotLeaveTheAccount(t *testing.T) {
	for _, role := range roles {
		t.Run(role.user, func(t *testing.T) {
			a := newTarget(t, role.user)
			before := a.state(role.user)
			var forbidden []string
			for _, subject := range targets() {
				if matches(role.requests, subject) || matches(role.others, subject) ||
					matches(role.replies, subject) || strings.HasPrefix(subject, role.inbox) {
					continue
				}
				forbidden = append(forbidden, subject)
			}
			for _, request := range role.requests {
				for _, reply := range forbidden {
					a.request(request, reply, nil)
					a.request(request, role.inbox+"answer", natsgo.Header{"Nats-Trace-Dest": {reply}})
				}
				a.settle()
			}
			a.expectUnchanged(role.user, before, forbidden)
		})
	}
}

// request sends a request that changes nothing that the role may not change.
func (a *target) request(subject, reply string, header natsgo.Header) {
	if header == nil {
		header = natsgo.Header{}
	}
	switch _, operation, _ := strings.Cut(subject, "$JS.API."); {
	case operation == "": // the stream refuses the event, and answers that it does
		header.Set(natsgo.ExpectedLastSeqHdr, "1")
		a.attack(subject, reply, header, payloads)
	case strings.HasPrefix(operation, "STREAM.PURGE."):
		a.attack(imported(subject), reply, header, []string{`{"seq":1}`})
		a.attack(subject, reply, header, []string{`{"seq":1}`})
	case strings.HasPrefix(operation, "CONSUMER.MSG.NEXT."):
		a.attack(imported(subject), reply, header, []string{`{"batch":1,"no_wait":true}`})
		a.attack(subject, reply, header, []string{`{"batch":1,"no_wait":true}`})
	case strings.HasPrefix(operation, "STREAM.MSG.GET."), strings.HasPrefix(operation, "DIRECT.GET."):
		for i := range payloads {
			get := []string{fmt.Sprintf(`{"seq":%d}`, i+1)}
			a.attack(imported(subject), reply, header, get)
			a.attack(subject, reply, header, get)
		}
	default:
		a.attack(imported(subject), reply, header, []string{""})
		a.attack(subject, reply, header, []string{""})
	}
}

// Each role gets answers to its requests.
func TestRolesReceiveAnswers(t *testing.T) {
	for _, role := range roles {
		t.Run(role.user, func(t *testing.T) {
			a := newTarget(t, role.user)
			for _, request := range role.requests {
				inbox := role.inbox + "answer"
				sub, err := a.attacker.SubscribeSync(inbox)
				if err != nil {
					t.Fatal(err)
				}
				a.request(request, inbox, nil)
				m, err := sub.NextMsg(timeout)
				if err != nil || m.Header.Get("Status") == "503" {
					t.Errorf("%s: got %+v, %v; want an answer", request, m, err)
				}
				if err := sub.Unsubscribe(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// Requests and answers pass between accounts from any server of a cluster.
func TestRolesInACluster(t *testing.T) {
	server := localtest.NATSCluster(t, 3)
	operator := connect(t, server, nats.UserOperator)
	eventually(t, "the cluster can create streams", func() bool {
		return nats.Provision(t.Context(), operator, nats.StreamLimits{Replicas: 3}) == nil
	})
	for i, url := range strings.Split(server.URL, ",") {
		node := *server
		node.URL = url
		api, worker := connect(t, &node, nats.UserAPI), connect(t, &node, nats.UserWorker)
		publish(t, api, documents(3))
		publish(t, worker, documents(40)) // a batch
		consumer, err := worker.JetStream().Consumer(
			t.Context(), schema.StreamDocuments, schema.ConsumerClassify)
		if err != nil {
			t.Fatal(err)
		}
		batch, err := consumer.Fetch(43, jetstream.FetchMaxWait(timeout))
		if err != nil {
			t.Fatal(err)
		}
		fetched := 0
		for m := range batch.Messages() {
			fetched++
			if err := m.DoubleAck(t.Context()); err != nil {
				t.Errorf("server %d: ack: %v", i, err)
			}
		}
		if fetched != 43 || batch.Error() != nil {
			t.Errorf("server %d: got %d messages, %v; want 43", i, fetched, batch.Error())
		}
		f := follow(t, api, 10)
		f.expectResets(t, uint64(43*(i+1)-10))
	}
}
