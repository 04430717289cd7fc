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

// APIConfig configures API.
type APIConfig struct {
	Config
	// RoleURL and AuthURL are the URLs of the database for the roles api and auth, which the API uses.
	RoleURL, AuthURL string
	// Round is how long each step is measured in one round.
	Round time.Duration
	// Rounds is how many rounds are measured. In each round the steps run one after the other.
	Rounds int
}

// APIReport is the result of API. All figures are medians over the rounds. Ratios and differences
// are calculated within each round, because the machine may be slower in one round than in another.
type APIReport struct {
	InFlight int     `json:"in_flight"`
	Rounds   int     `json:"rounds"`
	Load     float64 `json:"load_average"`
	// Steps are the floor and polls that get a 304.
	Steps []Step `json:"steps"`
	// URLs are requests for an upload URL.
	URLs Step `json:"upload_url"`
}

// Step is the result for one kind of request.
type Step struct {
	Name string  `json:"name"`
	Rate float64 `json:"rate"` // responses per second
	// OfFloor is the rate divided by the rate of the floor.
	OfFloor float64 `json:"of_floor"`
	// Adds is the machine's time for each response, in µs, minus that of the floor. For the floor
	// itself nothing is subtracted.
	Adds float64 `json:"adds_us"`
}

// The names of the steps. The floor is the smallest amount of work that answers a request from the
// database.
const (
	StepFloor = "floor: a handler with one SELECT by primary key"
	StepPolls = "the whole API: polls that get a 304"
	StepURLs  = "the whole API: URL requests"
)

// apiUsers is the number of users that send requests. They take turns, so that none of them exceeds
// the API's default rate limits.
const apiUsers = 4 * inFlight

// apiRun is one run of API.
type apiRun struct {
	*bench
	config  APIConfig
	targets []target
	closers []func()
	last    uuid.UUID // greatest id of the documents that exist before the first round
}

// API measures the HTTP API over HTTP. The API runs in this process and uses the database of a
// running system. If API returns an error, the report contains what was measured until then.
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

// prepare creates the users and their documents, and starts the servers.
func (r *apiRun) prepare(ctx context.Context) error {
	handler, err := r.handler()
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
	// The declared file is empty, so that its size is not charged. It is never uploaded.
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

// handler returns the API with its default limits.
func (r *apiRun) handler() (http.Handler, error) {
	auth, err := postgres.OpenAuth(r.config.AuthURL, postgres.Options{})
	if err != nil {
		return nil, err
	}
	r.closers = append(r.closers, func() { _ = auth.Close() })
	role, err := postgres.Open(r.config.RoleURL, postgres.Options{MaxConns: inFlight, Auth: auth})
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
		DB: role, Auth: auth, Presigner: presigner, Objects: r.objects, Multipart: multipart,
		NATS:     r.conn,
		TokenKey: []byte(rand.Text() + rand.Text()), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	r.closers = append(r.closers, handler.Close)
	return handler, nil
}

// floor returns a handler for [StepFloor]: echo and one SELECT by primary key, without row-level
// security, through a pool of the same size as the API's.
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

// serve serves h on a free port until r.close is called.
func (r *apiRun) serve(ctx context.Context, h http.Handler) (address string, err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("listen: %w", err)
	}
	server := api.Server(h, slog.New(slog.DiscardHandler))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // returns when the server is closed
	}()
	r.closers = append(r.closers, func() {
		_ = server.Close()
		<-done
	})
	return listener.Addr().String(), nil
}

// signIn creates the users and returns an access token of each.
func (r *apiRun) signIn(ctx context.Context, address string) ([]string, error) {
	password, hash, err := newPassword()
	if err != nil {
		return nil, err
	}
	transport := newTransport()
	defer transport.CloseIdleConnections()
	tokens := make([]string, apiUsers)
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

// addDocuments stores the additional rows and then one classified document for each user.
func (r *apiRun) addDocuments(ctx context.Context) ([]schema.Document, error) {
	if err := r.addRows(ctx); err != nil {
		return nil, err
	}
	docs := make([]schema.Document, apiUsers)
	now := time.Now().UTC()
	for i := range docs {
		id, err := uuid.NewV7()
		if err != nil {
			return nil, fmt.Errorf("generate a document id: %w", err)
		}
		docs[i] = schema.NewDocument(id, r.users[i], "bench.txt", "text/plain", 0, now)
		docs[i].Status, docs[i].Version = schema.StatusClassified, 3
		r.last = id
	}
	return docs, r.sql.addDocuments(ctx, docs)
}

// measure runs one round to warm up, whose results it discards, and then the measured rounds.
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

// removePending removes the pending documents that the round created, because the API limits how
// many a user may have.
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
