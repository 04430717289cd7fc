package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"intray/api"
	"intray/infra/minio"
	"intray/infra/postgres"
	"intray/schema"
)

// APIConfig says how fast the API is to be measured, and on which system.
type APIConfig struct {
	Config
	// RoleURL reaches the database as the role api, as the API does.
	RoleURL string
	// Round is how long each of the things measured runs, in turns, Rounds times.
	Round  time.Duration
	Rounds int
}

// APIReport is what was measured. Rates are answers a second. All figures are medians of the rounds, also those that compare:
// the machine may be slower in one round than in another.
type APIReport struct {
	InFlight int     `json:"in_flight"`
	Rounds   int     `json:"rounds"`
	Load     float64 `json:"load_average"`
	// Steps are the floor first, then a poll that is answered 304 with one step
	// more each time, then the whole API.
	Steps []Step `json:"steps"`
	// URLs are requests for an upload URL.
	URLs Step `json:"upload_url"`
}

// Step is one way of answering.
type Step struct {
	Name string  `json:"name"`
	Rate float64 `json:"rate"`
	// OfFloor is the rate as a part of the floor's.
	OfFloor float64 `json:"of_floor"`
	// Adds is what the step adds to the time that an answer takes the machine, in µs:
	// the difference of what one answer costs with and without it.
	Adds float64 `json:"adds_us"`
}

// The steps' names, in their order.
const (
	StepFloor    = "floor: a handler with one SELECT by primary key"
	StepHandler  = "the API's handler alone"
	StepRLS      = "with row-level security"
	StepToken    = "with authentication"
	StepContract = "with validation"
	StepAll      = "the whole API: polls answered 304"
	StepURLs     = "the whole API: URL requests"
)

// RunAPI measures the API in this process, over HTTP, on the database of a running
// system. What it returns beside an error is what was measured until then.
func RunAPI(ctx context.Context, config APIConfig) (report APIReport, err error) {
	b, err := open(ctx, config.Config)
	if err != nil {
		return report, err
	}
	defer b.close()
	release, err := b.begin(ctx)
	if err != nil {
		return report, err
	}
	defer release()
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
		defer cancel()
		err = errors.Join(err, b.cleanup(ctx))
	}()
	m := &meter{bench: b, config: config}
	defer m.close()
	if err := m.prepare(ctx); err != nil {
		return report, err
	}
	report = APIReport{InFlight: inFlight, Rounds: config.Rounds, Load: loadAverage()}
	return report, m.measure(ctx, &report)
}

// meter measures the API.
type meter struct {
	*bench
	config  APIConfig
	targets []target
	closers []func()
	last    uuid.UUID // of the documents that stay
}

// clients is how many users there are. Each request in flight is theirs in turns, so that
// none exceeds the API's own limits, which are the default ones.
const clients = 4 * inFlight

// target is one way of answering, on an address of its own, and each user's request
// for it.
type target struct {
	name     string
	status   int
	address  string
	requests [clients][]byte
	rates    []float64
}

func (m *meter) close() {
	for _, c := range slices.Backward(m.closers) {
		c()
	}
}

// prepare makes the users and their documents, and starts the servers.
func (m *meter) prepare(ctx context.Context) error {
	pool := postgres.Options{MaxConns: inFlight}
	owner, err := postgres.Open(ctx, m.config.Database, pool)
	if err != nil {
		return err
	}
	m.closers = append(m.closers, func() { _ = owner.Close() })
	role, err := postgres.Open(ctx, m.config.RoleURL, pool)
	if err != nil {
		return err
	}
	m.closers = append(m.closers, func() { _ = role.Close() })

	public := &url.URL{Scheme: "http", Host: m.MinIO.Endpoint}
	presigner, err := minio.NewPresigner(minio.PresignerConfig{Public: public, Bucket: m.MinIO.Bucket, Upload: m.MinIO.Key, Download: m.MinIO.Key})
	if err != nil {
		return err
	}
	multipart, err := minio.NewMultipart(m.MinIO)
	if err != nil {
		return err
	}
	m.closers = append(m.closers, multipart.Close)
	settings := api.Config{
		DB: role, Presigner: presigner, Objects: m.objects, Multipart: multipart, NATS: m.conn,
		TokenKey: []byte(rand.Text() + rand.Text()), Log: slog.New(slog.DiscardHandler),
	}
	whole, err := api.New(settings)
	if err != nil {
		return err
	}
	m.closers = append(m.closers, whole.Close)
	wholeAddress, err := m.serve(ctx, whole)
	if err != nil {
		return err
	}
	tokens, err := m.signIn(ctx, wholeAddress)
	if err != nil {
		return err
	}
	docs, err := m.documents(ctx)
	if err != nil {
		return err
	}

	poll := func(i int) []byte {
		return fmt.Appendf(nil, "GET /api/documents/%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nIf-None-Match: \"%d\"\r\n\r\n", docs[i].ID, tokens[i], docs[i].Version)
	}
	add := func(name string, status int, h http.Handler, request func(i int) []byte) error {
		address, err := m.serve(ctx, h)
		if err != nil {
			return err
		}
		t := target{name: name, status: status, address: address}
		for i := range t.requests {
			t.requests[i] = request(i)
		}
		m.targets = append(m.targets, t)
		return nil
	}
	if err := add(StepFloor, http.StatusOK, floor(owner), poll); err != nil {
		return err
	}
	unbound := settings
	unbound.DB = owner
	for _, step := range []struct {
		name   string
		config api.Config
		api.Bare
	}{
		{StepHandler, unbound, api.Bare{}},
		{StepRLS, settings, api.Bare{User: m.users[0]}},
		{StepToken, settings, api.Bare{Authenticate: true}},
		{StepContract, settings, api.Bare{Authenticate: true, Validate: true}},
	} {
		h, err := api.NewBare(step.config, step.Bare)
		if err != nil {
			return err
		}
		request := poll
		if step.User != uuid.Nil { // who sees no other's document
			request = func(int) []byte { return poll(0) }
		}
		if err := add(step.name, http.StatusNotModified, h, request); err != nil {
			return err
		}
	}
	if err := add(StepAll, http.StatusNotModified, whole, poll); err != nil {
		return err
	}
	// An empty file, so that nothing lies in the bucket of what is measured.
	const body = `{"filename":"bench.txt","content_type":"text/plain","size":0}`
	return add(StepURLs, http.StatusCreated, whole, func(i int) []byte {
		return fmt.Appendf(nil, "POST /api/documents/upload-url HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", tokens[i], len(body), body)
	})
}

// floor is the least that an answer from the database costs: echo and one SELECT by
// primary key, through a pool of the same size.
func floor(db *postgres.DB) http.Handler {
	e := echo.New()
	e.GET("/api/documents/:id", func(c echo.Context) error {
		id, err := uuid.Parse(c.Param("id"))
		if err != nil {
			return err
		}
		version, err := db.Version(c.Request().Context(), id)
		if err != nil {
			return err
		}
		return c.JSON(http.StatusOK, map[string]int64{"version": version})
	})
	return e
}

// serve answers with h on a free port until the end.
func (m *meter) serve(ctx context.Context, h http.Handler) (address string, err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("listen: %w", err)
	}
	server := api.Server(h, slog.New(slog.DiscardHandler))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // until it is closed
	}()
	m.closers = append(m.closers, func() {
		_ = server.Close()
		<-done
	})
	return listener.Addr().String(), nil
}

// signIn makes the users and returns their tokens.
func (m *meter) signIn(ctx context.Context, address string) ([]string, error) {
	password := rand.Text()
	hash, err := m.HashPassword(password)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	tokens := make([]string, clients)
	for i := range tokens {
		if err := m.addUser(ctx, "api"+strconv.Itoa(i), hash); err != nil {
			return nil, err
		}
	}
	// One after another: a password takes a processor whole, and who waits too long for it is refused.
	for i := range tokens {
		c := &client{transport: transport, api: "http://" + address}
		if err := c.login(ctx, "api"+strconv.Itoa(i)+Domain, password); err != nil {
			return nil, err
		}
		tokens[i] = c.token
		m.Progress("users", i+1, len(tokens))
	}
	return tokens, nil
}

// documents are settled, one of each user, among those that lie beside.
func (m *meter) documents(ctx context.Context) ([]schema.Document, error) {
	docs := make([]schema.Document, clients)
	now := time.Now().UTC()
	for i := range docs {
		id, err := uuid.NewV7()
		if err != nil {
			return nil, fmt.Errorf("make an id: %w", err)
		}
		docs[i] = schema.NewDocument(id, m.users[i], "bench.txt", "text/plain", 0, now)
		docs[i].Status, docs[i].Version = schema.StatusClassified, 3
	}
	if err := errors.Join(m.fill(ctx), m.db.AddDocuments(ctx, docs)); err != nil {
		return nil, err
	}
	m.last = docs[len(docs)-1].ID
	return docs, nil
}

// measure runs everything once to warm up, then in turns.
func (m *meter) measure(ctx context.Context, report *APIReport) error {
	total := (m.config.Rounds + 1) * len(m.targets)
	for round := range m.config.Rounds + 1 {
		for i := range m.targets {
			t := &m.targets[i]
			rate, err := t.run(ctx, m.config.Round)
			if err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
			if t.name == StepURLs {
				if err := m.forgetPending(ctx); err != nil {
					return err
				}
			}
			if round > 0 {
				t.rates = append(t.rates, rate)
			}
			m.Progress("rounds", round*len(m.targets)+i+1, total)
		}
	}
	steps := make([]Step, len(m.targets))
	for i, t := range m.targets {
		before := m.targets[max(0, i-1)]
		if t.name == StepURLs {
			before = m.targets[0]
		}
		steps[i] = Step{
			Name: t.name, Rate: median(t.rates, func(i int) float64 { return t.rates[i] }),
			OfFloor: median(t.rates, func(i int) float64 { return t.rates[i] / m.targets[0].rates[i] }),
			Adds:    median(t.rates, func(i int) float64 { return 1e6/t.rates[i] - 1e6/before.rates[i] }),
		}
	}
	steps[0].Adds = 1e6 / steps[0].Rate
	last := len(steps) - 1
	report.Steps, report.URLs = steps[:last], steps[last]
	return nil
}

// forgetPending leaves no user more pending documents than one round brings: the
// check against the limit counts them.
func (m *meter) forgetPending(ctx context.Context) error {
	for {
		docs, err := m.db.DocumentsOf(ctx, m.users, m.last, 5000)
		if err != nil || len(docs) == 0 {
			return err
		}
		ids := make([]uuid.UUID, len(docs))
		for i, d := range docs {
			ids[i] = d.ID
		}
		if err := m.db.ForgetDocuments(ctx, ids); err != nil {
			return err
		}
	}
}

// median of what each round gives.
func median(rounds []float64, of func(round int) float64) float64 {
	values := make([]float64, len(rounds))
	for i := range rounds {
		values[i] = of(i)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// run keeps a request in flight on each of as many connections and returns how
// many are answered a second.
func (t *target) run(ctx context.Context, d time.Duration) (rate float64, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var answers atomic.Int64
	var asking sync.WaitGroup
	began := time.Now()
	for requests := range slices.Chunk(t.requests[:], clients/inFlight) {
		asking.Go(func() {
			n, err := t.ask(ctx, requests, began.Add(d))
			answers.Add(n)
			if err != nil {
				cancel(err)
			}
		})
	}
	asking.Wait()
	return float64(answers.Load()) / time.Since(began).Seconds(), context.Cause(ctx)
}
