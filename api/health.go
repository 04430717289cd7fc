package api

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// readyTimeout bounds how long /readyz waits for PostgreSQL and for each dependency.
const readyTimeout = 2 * time.Second

// GetHealth reports that the process responds.
func (s *server) GetHealth(
	context.Context, GetHealthRequestObject,
) (GetHealthResponseObject, error) {
	return GetHealth200JSONResponse{Status: HealthStatusOk}, nil
}

// GetReadiness reports whether the API can serve requests. It can if PostgreSQL responds and has
// the schema version that this program needs. The other dependencies do not affect readiness.
func (s *server) GetReadiness(
	ctx context.Context, _ GetReadinessRequestObject,
) (GetReadinessResponseObject, error) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	database := Dependency{Name: "postgres", Check: s.db.CheckSchema}
	dependencies := append([]Dependency{database}, s.config.Dependencies...)
	failures := make([]error, len(dependencies))
	var checks sync.WaitGroup
	for i, d := range dependencies {
		checks.Go(func() { failures[i] = d.Check(ctx) })
	}
	checks.Wait()
	if failures[0] != nil {
		return nil, fmt.Errorf("not ready: %w", failures[0])
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
