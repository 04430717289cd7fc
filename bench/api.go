package bench

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"intray/api"
	"intray/infra/minio"
	"intray/infra/postgres"
	"intray/schema"
)

// APIConfig says how API measures, and on which system.
type APIConfig struct {
	Config
	// RoleURL reaches the database in the role api, as the API does.
	RoleURL string
	// Round is how long each of the things measured runs at a time, in turns, Rounds times.
	Round  time.Duration
	Rounds int
}

// APIReport is what API measured. All figures are medians of the rounds, also those that compare:
// the machine may be slower in one round than in another.
type APIReport struct {
	InFlight int     `json:"in_flight"`
	Rounds   int     `json:"rounds"`
	Load     float64 `json:"load_average"`
	// Steps are the floor and polls that are answered 304.
	Steps []Step `json:"steps"`
	// URLs are requests for an upload URL.
	URLs Step `json:"upload_url"`
}

// Step is one way of answering.
type Step struct {
	Name string  `json:"name"`
	Rate float64 `json:"rate"` // answers a second
	// OfFloor is the rate as a share of the floor's.
	OfFloor float64 `json:"of_floor"`
	// Adds is how much longer than the floor an answer takes the machine, in µs; of the floor
	// itself, how long it takes.
	Adds float64 `json:"adds_us"`
}

// The names of the steps.
const (
	StepFloor = "floor: a handler with one SELECT by primary key"
	StepPolls = "the whole API: polls answered 304"
	StepURLs  = "the whole API: URL requests"
)

// clients is how many users send requests. Those in flight are theirs in turns, so that no user
// exceeds the API's limits, which are the default ones.
const clients = 4 * inFlight

// apiRun is one run of API.
type apiRun struct {
	*bench
	config  APIConfig
	targets []target
	closers []func()
	last    uuid.UUID // of the documents that stay
}

// API measures the HTTP API in this process, over HTTP, on the database of a running system. The
// report that it returns beside an error has what was measured until then.
func API(ctx context.Context, config APIConfig) (report APIReport, err error) {
	measure := func(b *bench, ctx context.Context) error {
		r := &apiRun{bench: b, config: config}
		defer r.close()
		if err := r.prepare(ctx); err != nil {
			return err
		}
		report = APIReport{InFlight: inFlight, Rounds: config.Rounds, Load: loadAverage()}
		return r.measure(ctx, &report)
	}
	err = run(ctx, config.Config, measure, (*bench).cleanup)
	return report, err
}

func (r *apiRun) close() {
	for _, c := range slices.Backward(r.closers) {
		c()
	}
}

// prepare makes the users and their documents, and starts the servers.
func (r *apiRun) prepare(ctx context.Context) error {
	handler, err := r.handler(ctx)
	if err != nil {
		return err
	}
	address, err := r.serve(ctx, handler)
	if err != nil {
		return err
	}
	floorAddress, err := r.serve(ctx, floor(r.sql))
	if err != nil {
		return err
	}
	tokens, err := r.signIn(ctx, address)
	if err != nil {
		return err
	}
	docs, err := r.addDocuments(ctx)
	if err != nil {
		return err
	}
	poll := func(user int) []byte {
		return fmt.Appendf(nil, "GET /api/documents/%s HTTP/1.1\r\nHost: x\r\n"+
			"Authorization: Bearer %s\r\nIf-None-Match: \"%d\"\r\n\r\n",
			docs[user].ID, tokens[user], docs[user].Version)
	}
	// An empty file, so that the bucket keeps nothing of what is measured.
	const body = `{"filename":"bench.txt","content_type":"text/plain","size":0}`
	issue := func(user int) []byte {
		return fmt.Appendf(nil, "POST /api/documents/upload-url HTTP/1.1\r\nHost: x\r\n"+
			"Authorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			tokens[user], len(body), body)
	}
	r.targets = []target{
		newTarget(StepFloor, floorAddress, http.StatusOK, poll),
		newTarget(StepPolls, address, http.StatusNotModified, poll),
		newTarget(StepURLs, address, http.StatusCreated, issue),
	}
	return nil
}

// handler returns the API as it is.
func (r *apiRun) handler(ctx context.Context) (http.Handler, error) {
	role, err := postgres.Open(ctx, r.config.RoleURL, postgres.Options{MaxConns: inFlight})
	if err != nil {
		return nil, err
	}
	r.closers = append(r.closers, func() { _ = role.Close() })
	presigner, err := minio.NewPresigner(minio.PresignerConfig{
		Public: &url.URL{Scheme: "http", Host: r.MinIO.Endpoint}, Bucket: r.MinIO.Bucket,
		Upload: r.MinIO.Key, Download: r.MinIO.Key,
	})
	if err != nil {
		return nil, err
	}
	multipart, err := minio.NewMultipart(r.MinIO)
	if err != nil {
		return nil, err
	}
	r.closers = append(r.closers, multipart.Close)
	handler, err := api.New(api.Config{
		DB: role, Presigner: presigner, Objects: r.objects, Multipart: multipart, NATS: r.conn,
		TokenKey: []byte(rand.Text() + rand.Text()), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	r.closers = append(r.closers, handler.Close)
	return handler, nil
}

// floor is the least that an answer from the database costs: echo and one SELECT by primary key,
// without row-level security, through a pool of the same size.
func floor(db *database) http.Handler {
	e := echo.New()
	e.GET("/api/documents/:id", func(c echo.Context) error {
		id, err := uuid.Parse(c.Param("id"))
		if err != nil {
			return err
		}
		version, err := db.version(c.Request().Context(), id)
		if err != nil {
			return err
		}
		return c.JSON(http.StatusOK, map[string]int64{"version": version})
	})
	return e
}

// serve answers with h on a free port until close.
func (r *apiRun) serve(ctx context.Context, h http.Handler) (address string, err error) {
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
	r.closers = append(r.closers, func() {
		_ = server.Close()
		<-done
	})
	return listener.Addr().String(), nil
}

// signIn makes the users and returns their tokens.
func (r *apiRun) signIn(ctx context.Context, address string) ([]string, error) {
	password, hash, err := newPassword()
	if err != nil {
		return nil, err
	}
	transport := newTransport()
	defer transport.CloseIdleConnections()
	tokens := make([]string, clients)
	for i := range tokens {
		name := "api" + strconv.Itoa(i)
		if err := r.addUser(ctx, name, hash); err != nil {
			return nil, err
		}
		c := &client{transport: transport, api: "http://" + address}
		if err := c.login(ctx, name+Domain, password); err != nil {
			return nil, err
		}
		tokens[i] = c.token
		r.Progress("users", i+1, len(tokens))
	}
	return tokens, nil
}

// addDocuments stores a classified document of each user, after those that lie beside.
func (r *apiRun) addDocuments(ctx context.Context) ([]schema.Document, error) {
	if err := r.addRows(ctx); err != nil {
		return nil, err
	}
	docs := make([]schema.Document, clients)
	now := time.Now().UTC()
	for i := range docs {
		id, err := uuid.NewV7()
		if err != nil {
			return nil, fmt.Errorf("make an id: %w", err)
		}
		docs[i] = schema.NewDocument(id, r.users[i], "bench.txt", "text/plain", 0, now)
		docs[i].Status, docs[i].Version = schema.StatusClassified, 3
		r.last = id
	}
	return docs, r.sql.addDocuments(ctx, docs)
}

// measure runs everything once to warm up, then in turns.
func (r *apiRun) measure(ctx context.Context, report *APIReport) error {
	total := (r.config.Rounds + 1) * len(r.targets)
	for round := range r.config.Rounds + 1 {
		for i := range r.targets {
			t := &r.targets[i]
			rate, err := t.run(ctx, r.config.Round)
			if err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
			if err := r.removePending(ctx); err != nil {
				return err
			}
			if round > 0 {
				t.rates = append(t.rates, rate)
			}
			r.Progress("rounds", round*len(r.targets)+i+1, total)
		}
	}
	first := r.targets[0].rates
	steps := make([]Step, len(r.targets))
	for i, t := range r.targets {
		steps[i] = Step{
			Name:    t.name,
			Rate:    median(r.config.Rounds, func(i int) float64 { return t.rates[i] }),
			OfFloor: median(r.config.Rounds, func(i int) float64 { return t.rates[i] / first[i] }),
			Adds:    median(r.config.Rounds, func(i int) float64 { return 1e6/t.rates[i] - 1e6/first[i] }),
		}
	}
	steps[0].Adds = 1e6 / steps[0].Rate
	last := len(steps) - 1
	report.Steps, report.URLs = steps[:last], steps[last]
	return nil
}

// removePending leaves no user more pending documents than one round adds, for the API counts them
// against the limit.
func (r *apiRun) removePending(ctx context.Context) error {
	for {
		rows, err := r.sql.documentsOf(ctx, r.users, r.last, 5000)
		if err != nil || len(rows) == 0 {
			return err
		}
		if err := r.sql.removeDocuments(ctx, rows); err != nil {
			return err
		}
	}
}
