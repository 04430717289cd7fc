package api

import (
	"context"
	"sync"
	"time"
)

// readyTimeout bounds how long /readyz waits for PostgreSQL and for each dependency.
const readyTimeout = 2 * time.Second

// writableFor is how long PostgreSQL is expected to accept writes after it has accepted one, so
// that frequent requests for /readyz write little.
const writableFor = time.Second

// GetHealth reports that the process responds.
func (s *server) GetHealth(
	context.Context, GetHealthRequestObject,
) (GetHealthResponseObject, error) {
	return GetHealth200JSONResponse{Status: HealthStatusOk}, nil
}

// notReadyError is the reason why the API cannot serve requests.
type notReadyError struct {
	part  string // what is wrong, in a sentence for operators
	cause error
}

func (e *notReadyError) Error() string { return "not ready: " + e.cause.Error() }
func (e *notReadyError) Unwrap() error { return e.cause }

// checkDatabase fails with a notReadyError unless PostgreSQL has the schema version that this
// program needs, accepts writes, and accepts the role auth.
func (s *server) checkDatabase(ctx context.Context) error {
	if err := s.db.CheckSchema(ctx); err != nil {
		return &notReadyError{"PostgreSQL does not respond.", err}
	}
	if err := s.db.Writable(ctx, writableFor); err != nil {
		return &notReadyError{"PostgreSQL responds but does not accept writes.", err}
	}
	if err := s.auth.Ping(ctx); err != nil {
		return &notReadyError{"PostgreSQL responds but not to the role that signs users in.", err}
	}
	return nil
}

// GetReadiness reports whether the API can serve requests. It can if PostgreSQL has the schema
// version that this program needs, accepts writes, and accepts the role auth. The other
// dependencies do not affect readiness.
func (s *server) GetReadiness(
	ctx context.Context, _ GetReadinessRequestObject,
) (GetReadinessResponseObject, error) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	database := Dependency{Name: "postgres", Check: s.checkDatabase}
	dependencies := append([]Dependency{database}, s.config.Dependencies...)
	failures := make([]error, len(dependencies))
	var checks sync.WaitGroup
	for i, d := range dependencies {
		checks.Go(func() { failures[i] = d.Check(ctx) })
	}
	checks.Wait()
	if failures[0] != nil {
		return nil, failures[0]
	}
	states := make(map[string]ReadinessParts, len(dependencies))
	for i, d := range dependencies {
		states[d.Name] = ReadinessPartsUp
		if failures[i] != nil {
			states[d.Name] = ReadinessPartsDown
		}
	}
	return GetReadiness200JSONResponse{Status: ReadinessStatusReady, Parts: states}, nil
}
