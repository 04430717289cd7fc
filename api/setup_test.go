package api_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	_ "github.com/lib/pq" // for queries as the owner of the database
	miniogo "github.com/minio/minio-go/v7"

	"intray/api"
	"intray/infra/local/localtest"
	"intray/infra/minio"
	"intray/infra/nats"
	"intray/infra/postgres"
	"intray/infra/postgres/postgrestest"
	"intray/schema"
)

const userPassword = "seven quiet boats at noon"

var tokenKey = []byte("0123456789abcdef0123456789abcdef")

// bundle is an API with a database and a bucket of its own, and with three users.
type bundle struct {
	t        testing.TB
	base     string
	roleURL  string // the URL of the database for the api role
	ownerURL string // the URL of the database for its owner
	owner    *postgres.DB
	sql      *sqlx.DB // as the owner
	config   api.Config
	bucket   string
	store    localtest.MinIOServer
	minio    *miniogo.Client
	log      *logBuffer
	// anonymous sends no token.
	anonymous, alice, bob, admin *client
}

// setup starts an API. Unless change sets a NATS connection, the API is given the address of a NATS
// server that does not exist.
func setup(t testing.TB, change ...func(*api.Config)) *bundle {
	t.Helper()
	address := localtest.PostgresMigrated(t, postgrestest.Migrate)
	store := localtest.MinIO(t)
	b := &bundle{
		t:        t,
		ownerURL: address,
		owner:    open(t, address),
		bucket:   store.Bucket,
		store:    store,
		minio:    store.Client(t),
		log:      &logBuffer{},
	}
	var err error
	if b.sql, err = sqlx.Open("postgres", address); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.sql.Close() })

	key := minio.Key{Access: store.RootUser, Secret: store.RootPassword}
	config := minio.Config{Endpoint: store.Endpoint, Bucket: store.Bucket, Key: key}
	objects, err := minio.NewObjects(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(objects.Close)
	multipart, err := minio.NewMultipart(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(multipart.Close)
	presigner, err := minio.NewPresigner(minio.PresignerConfig{
		Public:   &url.URL{Scheme: "http", Host: store.Endpoint},
		Bucket:   store.Bucket,
		Upload:   key,
		Download: key,
	})
	if err != nil {
		t.Fatal(err)
	}
	b.roleURL = postgrestest.RoleURL(address, "api")
	logOptions := &slog.HandlerOptions{Level: slog.LevelDebug}
	b.config = api.Config{
		Presigner: presigner,
		Objects:   objects,
		Multipart: multipart,
		TokenKey:  tokenKey,
		Log:       slog.New(slog.NewJSONHandler(b.log, logOptions)),
	}
	b.useDatabase(&b.config, b.roleURL, postgres.Options{})
	for _, c := range change {
		c(&b.config)
	}
	if b.config.NATS == nil {
		b.config.NATS = connect(t, "nats://127.0.0.1:1", "password")
	}
	b.base = b.serve(b.config)
	b.anonymous = b.client()
	b.alice = b.user("alice", schema.RoleUser)
	b.bob = b.user("bob", schema.RoleUser)
	b.admin = b.user("admin", schema.RoleAdmin)
	return b
}

// in returns a copy of the bundle that reports failures to t, for use in a subtest.
func (b *bundle) in(t testing.TB) *bundle {
	other := *b
	other.t = t
	for _, c := range []**client{&other.anonymous, &other.alice, &other.bob, &other.admin} {
		*c = (*c).in(t)
	}
	return &other
}

// serve starts another server, which is closed when the test ends, and returns its base URL. The
// functions change the HTTP server before it starts.
func (b *bundle) serve(config api.Config, change ...func(*http.Server)) string {
	b.t.Helper()
	_, base := b.serveHandler(config, change...)
	return base
}

// serveHandler is like serve and also returns the API.
func (b *bundle) serveHandler(config api.Config, change ...func(*http.Server)) (*api.API, string) {
	b.t.Helper()
	handler, err := api.New(config)
	if err != nil {
		b.t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.Config = api.Server(handler, config.Log)
	for _, c := range change {
		c(server.Config)
	}
	server.Start()
	b.t.Cleanup(func() {
		server.Close()
		handler.Close()
	})
	return handler, server.URL
}

// listeningServer is a server that can be shut down.
type listeningServer struct {
	handler *api.API
	base    string
	// shutdown shuts the server down and waits until it has stopped.
	shutdown func()
}

// listen starts a server in the same way as cmd/intray.
func (b *bundle) listen() listeningServer {
	b.t.Helper()
	handler, err := api.New(b.config)
	if err != nil {
		b.t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	server := api.Server(handler, b.config.Log)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	shutdown := sync.OnceFunc(func() {
		if err := server.Shutdown(context.WithoutCancel(b.t.Context())); err != nil {
			b.t.Errorf("shut down: got error %v, want none", err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			b.t.Errorf("serve: got error %v, want %v", err, http.ErrServerClosed)
		}
		handler.Close()
	})
	b.t.Cleanup(shutdown)
	return listeningServer{handler, "http://" + listener.Addr().String(), shutdown}
}

// client returns a client that sends no token.
func (b *bundle) client() *client {
	transport := &http.Transport{}
	b.t.Cleanup(transport.CloseIdleConnections)
	noRedirects := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client{
		t: b.t, base: b.base, http: &http.Client{Transport: transport, CheckRedirect: noRedirects},
	}
}

// cheapHash returns a hash of userPassword that is quick to check. A hash contains its parameters.
var cheapHash = sync.OnceValue(func() string {
	hash, err := argon2id.CreateHash(userPassword, &argon2id.Params{
		Memory: 1024, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32,
	})
	if err != nil {
		panic(err)
	}
	return hash
})

// user creates a user and signs in.
func (b *bundle) user(name string, role schema.Role) *client {
	b.t.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		b.t.Fatal(err)
	}
	c := b.client()
	c.id, c.email = id, name+"@example.com"
	user := postgres.NewUser{ID: id, Email: c.email, PasswordHash: cheapHash(), Role: role}
	if err := b.owner.AddUser(b.t.Context(), user); err != nil {
		b.t.Fatal(err)
	}
	credentials := api.Credentials{Email: c.email, Password: userPassword}
	token := as[api.Token](c.post("/api/auth/login", credentials).is(http.StatusOK))
	c.token = token.AccessToken
	return c
}

// exec runs a statement as the owner.
func (b *bundle) exec(statement string, args ...any) {
	b.t.Helper()
	if _, err := b.sql.ExecContext(b.t.Context(), statement, args...); err != nil {
		b.t.Fatal(err)
	}
}

// classify classifies a document in the same way as the classify consumer.
func (b *bundle) classify(id uuid.UUID, topics ...schema.DocumentTopic) {
	b.t.Helper()
	ids := []uuid.UUID{id}
	classified := func(d *schema.Document, _ *schema.Quota, _ time.Time) schema.Decision {
		return d.Classify(topics, "builtin", "bm25", d.ChangedAt)
	}
	docs, err := b.owner.Transition(b.t.Context(), ids, classified)
	if err != nil || len(docs) != 1 || docs[0].Status != schema.StatusClassified {
		b.t.Fatalf("classify %s: got %v and error %v, want it classified", id, docs, err)
	}
}

// useDatabase makes an API use the database at the address, which has the credentials of the role
// api, also with the role auth. The connections are closed when the test ends.
func (b *bundle) useDatabase(c *api.Config, address string, o postgres.Options) {
	b.t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		b.t.Fatal(err)
	}
	password, _ := u.User.Password()
	u.User = url.UserPassword("auth", password)
	if o.Auth, err = postgres.OpenAuth(u.String(), o); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = o.Auth.Close() })
	c.DB, c.Auth = openWith(b.t, address, o), o.Auth
}

// open opens a database, which is closed when the test ends.
func open(t testing.TB, address string) *postgres.DB {
	t.Helper()
	return openWith(t, address, postgres.Options{})
}

func openWith(t testing.TB, address string, o postgres.Options) *postgres.DB {
	t.Helper()
	db, err := postgres.Open(address, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// connect connects to NATS as the API. The connection is closed when the test ends.
func connect(t testing.TB, address, password string) *nats.Conn {
	t.Helper()
	conn, err := nats.Connect(t.Context(), nats.Options{
		URL:      address,
		User:     nats.UserAPI,
		Password: password,
		Name:     "test",
		Log:      slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// logBuffer is a log that tests can read.
type logBuffer struct {
	sync.Mutex
	text bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.Lock()
	defer l.Unlock()
	return l.text.Write(p)
}

func (l *logBuffer) String() string {
	l.Lock()
	defer l.Unlock()
	return l.text.String()
}

func itoa(n int) string { return strconv.Itoa(n) }
