package api_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/labstack/echo/v4"

	"intray/api"
	"intray/infra/postgres/postgrestest"
	"intray/schema"
)

const (
	// pollers is the number of goroutines of BenchmarkPollSteps that poll concurrently.
	pollers = 16
	// pollsPerRound is the number of polls that each of these goroutines sends in a round.
	pollsPerRound = 200
)

// BenchmarkPollSteps measures the cost of each step of a poll that is answered with 304. It calls
// these handlers directly, without an HTTP connection:
//
//   - the floor, which is an echo handler with one SELECT by primary key,
//   - the API's handler alone,
//   - the handler with row-level security,
//   - the handler with row-level security and authentication,
//   - the handler with row-level security, authentication and validation,
//   - the whole API.
//
// Each iteration is a round in which every handler handles polls. The metrics are medians over the
// rounds in µs per poll: the time of the floor, the time that each step adds to the previous one,
// and the time of the whole API. The time per poll is the elapsed time divided by the number of
// polls, which are handled concurrently.
//
//	go test -run '^$' -bench PollSteps -benchtime 25x ./api
func BenchmarkPollSteps(b *testing.B) {
	s := setup(b, func(c *api.Config) {
		c.Log = slog.New(slog.DiscardHandler)
		c.Limits.Reads = api.Rate{Burst: 1 << 30, Every: time.Nanosecond}
	})
	id := uuid.Must(uuid.NewV7())
	document := schema.NewDocument(id, s.alice.id, "a.txt", "text/plain", 0, time.Now())
	document.Status, document.Version = schema.StatusClassified, 3
	if err := postgrestest.AddDocuments(b.Context(), s.sql, []schema.Document{document}); err != nil {
		b.Fatal(err)
	}
	s.exec(`ANALYZE documents`)

	withoutRLS := s.config
	withoutRLS.DB = s.owner
	withSteps := func(c api.Config, steps api.Steps) http.Handler {
		h, err := api.PollHandler(c, steps)
		if err != nil {
			b.Fatal(err)
		}
		return h
	}
	whole, err := api.New(s.config)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(whole.Close)
	const notModified = http.StatusNotModified
	targets := []struct {
		name    string
		status  int
		handler http.Handler
		times   []float64 // µs per poll, by round
	}{
		{"floor", http.StatusOK, s.floor(), nil},
		{"handler", notModified, withSteps(withoutRLS, api.Steps{}), nil},
		{"RLS", notModified, withSteps(s.config, api.Steps{User: s.alice.id}), nil},
		{"authentication", notModified, withSteps(s.config, api.Steps{Authenticate: true}), nil},
		{"validation", notModified, withSteps(s.config, api.Steps{Authenticate: true, Validate: true}), nil},
		{"API", notModified, whole, nil},
	}
	request := httptest.NewRequest(http.MethodGet, "/api/documents/"+id.String(), http.NoBody)
	request.Header.Set("Authorization", "Bearer "+s.alice.token)
	request.Header.Set("If-None-Match", `"3"`)
	round := func() {
		for i := range targets {
			t := &targets[i]
			t.times = append(t.times, poll(b, t.handler, request, t.status))
		}
	}
	round() // not measured: it opens connections and fills caches
	for i := range targets {
		targets[i].times = nil
	}
	for b.Loop() {
		round()
	}
	b.ReportMetric(0, "ns/op") // hidden, because the sum over all handlers is meaningless
	for i, t := range targets {
		if i == 0 {
			b.ReportMetric(median(t.times), t.name+"-µs")
			continue
		}
		adds := make([]float64, len(t.times))
		for round, took := range t.times {
			adds[round] = took - targets[i-1].times[round]
		}
		b.ReportMetric(median(adds), "+"+t.name+"-µs")
	}
	b.ReportMetric(median(targets[len(targets)-1].times), "all-µs")
}

// poll has h handle a round of polls and returns the time per poll in µs.
func poll(b *testing.B, h http.Handler, request *http.Request, want int) float64 {
	b.Helper()
	var wrong atomic.Int64
	var polling sync.WaitGroup
	began := time.Now()
	for range pollers {
		polling.Go(func() {
			for range pollsPerRound {
				recorder := httptest.NewRecorder()
				h.ServeHTTP(recorder, request.Clone(b.Context()))
				if recorder.Code != want {
					wrong.Store(int64(recorder.Code))
				}
			}
		})
	}
	polling.Wait()
	took := time.Since(began)
	if got := wrong.Load(); got != 0 {
		b.Fatalf("got status %d, want %d", got, want)
	}
	return float64(took.Nanoseconds()) / 1000 / pollers / pollsPerRound
}

// floor returns the cheapest handler whose response depends on the database. It is an echo handler
// with one SELECT by primary key as the owner, in one round trip, with a connection per poller.
func (b *bundle) floor() http.Handler {
	b.t.Helper()
	address, err := url.Parse(b.ownerURL)
	if err != nil {
		b.t.Fatal(err)
	}
	settings := address.Query()
	settings.Set("binary_parameters", "yes")
	address.RawQuery = settings.Encode()
	db, err := sqlx.Open("postgres", address.String())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(pollers)
	db.SetMaxIdleConns(pollers)
	e := echo.New()
	e.GET("/api/documents/:id", func(c echo.Context) error {
		var version int64
		const query = `SELECT version FROM documents WHERE id = $1`
		if err := db.GetContext(c.Request().Context(), &version, query, c.Param("id")); err != nil {
			return err
		}
		return c.JSON(http.StatusOK, map[string]int64{"version": version})
	})
	return e
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
