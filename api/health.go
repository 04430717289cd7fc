package api

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// readyTimeout bounds what /readyz waits for each part.
const readyTimeout = 2 * time.Second

// GetHealth says that the process lives.
func (s *server) GetHealth(context.Context, GetHealthRequestObject) (GetHealthResponseObject, error) {
	return GetHealth200JSONResponse{Status: HealthStatusOk}, nil
}

// GetReadiness reports whether the API can serve, which takes PostgreSQL alone, with the schema
// that this program needs.
func (s *server) GetReadiness(ctx context.Context, _ GetReadinessRequestObject) (GetReadinessResponseObject, error) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	parts := append([]Dependency{{Name: "postgres", Check: s.db.CheckSchema}}, s.config.Dependencies...)
	failures := make([]error, len(parts))
	var checks sync.WaitGroup
	for i, p := range parts {
		checks.Go(func() { failures[i] = p.Check(ctx) })
	}
	checks.Wait()
	if failures[0] != nil {
		return nil, fmt.Errorf("not ready: %w", failures[0])
	}
	states := make(map[string]ReadinessParts, len(parts))
	for i, p := range parts {
		states[p.Name] = ReadinessPartsUp
		if failures[i] != nil {
			states[p.Name] = ReadinessPartsDown
		}
	}
	return GetReadiness200JSONResponse{Status: ReadinessStatusReady, Parts: states}, nil
}
