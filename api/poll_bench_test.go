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

// pollsInFlight is how many polls BenchmarkPollSteps has in flight, each of which is sent
// pollsARound times in a row.
const (
	pollsInFlight = 16
	pollsARound   = 200
)

// BenchmarkPollSteps measures what each step of a poll that is answered 304 costs: an echo handler
// with one SELECT by primary key (the floor), the API's handler alone, then with row-level security,
// authentication and validation one after the other, and the API as it is. There is no HTTP between.
// An iteration is a round of polls of each of these in turns; the metrics are medians of the rounds,
// in µs of the machine's time: what the floor takes, what each step adds to the one before, and what
// a poll takes with all of them.
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

	unbound := s.config
	unbound.DB = s.owner
	steps := func(c api.Config, taken api.Steps) http.Handler {
		h, err := api.PollHandler(c, taken)
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
		times   []float64 // µs a poll, of the rounds
	}{
		{"floor", http.StatusOK, s.floor(), nil},
		{"handler", notModified, steps(unbound, api.Steps{}), nil},
		{"RLS", notModified, steps(s.config, api.Steps{User: s.alice.id}), nil},
		{"authentication", notModified, steps(s.config, api.Steps{Authenticate: true}), nil},
		{"validation", notModified, steps(s.config, api.Steps{Authenticate: true, Validate: true}), nil},
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
	round() // connections, plans and caches
	for i := range targets {
		targets[i].times = nil
	}
	for b.Loop() {
		round()
	}
	b.ReportMetric(0, "ns/op") // the sum of all steps says nothing
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

// poll sends a round of polls and returns how long one takes the machine, in µs.
func poll(b *testing.B, h http.Handler, request *http.Request, want int) float64 {
	b.Helper()
	var wrong atomic.Int64
	var polling sync.WaitGroup
	began := time.Now()
	for range pollsInFlight {
		polling.Go(func() {
			for range pollsARound {
				answer := httptest.NewRecorder()
				h.ServeHTTP(answer, request.Clone(b.Context()))
				if answer.Code != want {
					wrong.Store(int64(answer.Code))
				}
			}
		})
	}
	polling.Wait()
	took := time.Since(began)
	if got := wrong.Load(); got != 0 {
		b.Fatalf("got status %d, want %d", got, want)
	}
	return float64(took.Nanoseconds()) / 1000 / pollsInFlight / pollsARound
}

// floor is the least that an answer from the database costs: echo and one SELECT by primary key as
// the owner, in one round trip, through a pool of the same size.
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
	db.SetMaxOpenConns(pollsInFlight)
	db.SetMaxIdleConns(pollsInFlight)
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
