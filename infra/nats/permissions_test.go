package nats_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	natsgo "github.com/nats-io/nats.go"

	"intray/infra/local/localtest"
	"intray/infra/nats"
	"intray/schema"
)

var users = []string{nats.UserMinIO, nats.UserAPI, nats.UserWorker, nats.UserOperator}

// permissions lists the users that may publish and subscribe to each subject. The operator, who has
// all permissions, is left out.
var permissions = []struct {
	subject            string
	publish, subscribe []string
}{
	{"bucket.created.direct", []string{nats.UserMinIO}, nil},
	{"bucket.created.durable", []string{nats.UserMinIO}, nil},
	{"bucket.removed.durable", []string{nats.UserMinIO}, nil},
	{"bucket.other", nil, nil},
	{"documents.uploaded", []string{nats.UserAPI, nats.UserWorker}, nil},
	{"documents.deleted", []string{nats.UserAPI, nats.UserWorker}, nil},
	{"hints.pending.x", []string{nats.UserAPI}, []string{nats.UserAPI}},
	{"hints.quota.x", []string{nats.UserAPI, nats.UserWorker}, []string{nats.UserAPI}},
	{"hints.topics.all", []string{nats.UserAPI, nats.UserWorker}, []string{nats.UserAPI}},
	{"hints.removed.x", nil, []string{nats.UserAPI}},
	{"hints.other.x", nil, []string{nats.UserAPI}},
	{"hints.quota.x.y", nil, nil},
	{"hints.*.*", nil, []string{nats.UserAPI}},
	{"hints.>", nil, nil},
	{"stored.documents.uploaded", nil, []string{nats.UserAPI}},
	{"documents.a.b", nil, nil},
	{"replay.confirm", nil, nil},
	{"replay.confirm.nightly", nil, nil},
	// What leaves the account is tested in accounts_test.go.
	{"INTRAY.API.STREAM.INFO.DOCUMENTS", []string{nats.UserAPI, nats.UserWorker}, nil},
	{"$JS.ACK.BUCKET.confirm.1.1.1.1.0", []string{nats.UserWorker}, nil},
	{"$JS.ACK._.hash.BUCKET.confirm.1.1.1.1.0", []string{nats.UserWorker}, nil},
	{"$JS.API.INFO", nil, nil},
	{"$JS.API.STREAM.INFO.DOCUMENTS", nil, nil},
	{"$JS.API.STREAM.DELETE.BUCKET", nil, nil},
	{"$JS.API.DIRECT.GET.DOCUMENTS", nil, nil},
	{"$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.BUCKET.confirm", nil, nil},
	{"_INBOX.x", nil, []string{nats.UserMinIO}},
	{"_INBOX_api.x", nil, []string{nats.UserAPI}},
	{"_INBOX_worker.x", nil, []string{nats.UserWorker}},
	{"_INBOX_operator.x", nil, nil},
	{"anything", nil, nil},
	{">", nil, nil},
	{"bucket.>", nil, nil},
	{"_INBOX_*.>", nil, nil},
}

func TestUserPermissions(t *testing.T) {
	server := localtest.NATS(t)
	provision(t, server)
	for _, user := range users {
		t.Run(user, func(t *testing.T) {
			for _, p := range permissions {
				if !strings.ContainsAny(p.subject, "*>") { // a message cannot be published to a wildcard
					got := allowed(t, server, user, func(conn *natsgo.Conn) error {
						return conn.Publish(p.subject, nil)
					})
					want := user == nats.UserOperator || slices.Contains(p.publish, user)
					if got != want {
						t.Errorf("publish to %s: got allowed %v, want %v", p.subject, got, want)
					}
				}
				got := allowed(t, server, user, func(conn *natsgo.Conn) error {
					_, err := conn.SubscribeSync(p.subject)
					return err
				})
				want := user == nats.UserOperator || slices.Contains(p.subscribe, user)
				if got != want {
					t.Errorf("subscribe to %s: got allowed %v, want %v", p.subject, got, want)
				}
			}
		})
	}
}

// allowed reports whether the server permits the action to the user. The server sends a permission
// error before it answers the flush.
func allowed(
	t *testing.T, server *localtest.NATSServer, user string, action func(*natsgo.Conn) error,
) bool {
	t.Helper()
	conn, err := natsgo.Connect(server.URL, natsgo.UserInfo(user, server.Passwords[user]),
		natsgo.ErrorHandler(func(*natsgo.Conn, *natsgo.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := action(conn); err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	return !errors.Is(conn.LastError(), natsgo.ErrPermissionViolation)
}

// The server stores streams under the name of the operator's account: with another name, those of
// an existing deployment would be lost.
func TestAccountOfTheStreams(t *testing.T) {
	server := localtest.NATS(t)
	operator := dial(t, server, nats.UserOperator)
	answer, err := operator.Request("$SYS.REQ.USER.INFO", nil, timeout)
	if err != nil {
		t.Fatal(err)
	}
	var info struct {
		Data struct{ Account string }
	}
	if err := json.Unmarshal(answer.Data, &info); err != nil || info.Data.Account != "INTRAY" {
		t.Errorf("got account %q, %v; want INTRAY", info.Data.Account, err)
	}
}

func TestConnectionsRequireAPassword(t *testing.T) {
	server := localtest.NATS(t)
	for name, option := range map[string]natsgo.Option{
		"no user":      natsgo.UserInfo("", ""),
		"no password":  natsgo.UserInfo(nats.UserOperator, ""),
		"unknown user": natsgo.UserInfo("admin", "admin"),
	} {
		if conn, err := natsgo.Connect(server.URL, option); err == nil {
			conn.Close()
			t.Errorf("%s: got a connection, want an error", name)
		}
	}
}

// MinIO publishes to JetStream with the legacy API of nats.go, and waits for the acknowledgment on
// an inbox with the default prefix.
func TestMinIOCanPublishWithTheLegacyAPI(t *testing.T) {
	server := localtest.NATS(t)
	provision(t, server)
	credentials := natsgo.UserInfo(nats.UserMinIO, server.Passwords[nats.UserMinIO])
	conn, err := natsgo.Connect(server.URL, credentials)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := conn.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	ack, err := js.Publish(schema.SubjectCreatedDirect, []byte("{}"), natsgo.AckWait(timeout))
	if err != nil || ack.Stream != schema.StreamBucket {
		t.Errorf("got acknowledgment %+v, %v; want stream %s", ack, err, schema.StreamBucket)
	}
}
