package runner

import (
	"context"
	"errors"

	"intray/infra/postgres"
)

// InHalves calls do with all keys. If that fails, it calls do with each half of them, recursively,
// so that one key cannot make the others fail. The errors of individual keys are stored in failed.
// An outage is returned. A statement that PostgreSQL has aborted is one if db is not writable.
func InHalves(
	ctx context.Context, db *postgres.DB, keys []string,
	do func(context.Context, []string) error, failed map[string]error,
) error {
	if len(keys) == 0 {
		return nil
	}
	err := do(ctx, keys)
	if errors.Is(err, postgres.ErrAborted) && !errors.Is(err, postgres.ErrLocked) {
		probe, cancel := context.WithTimeout(ctx, probeTimeout)
		if outage := db.Writable(probe, 0); outage != nil {
			err = &outageError{cause: err, outage: outage}
		}
		cancel()
	}
	switch {
	case err == nil:
		return nil
	case Outage(err) || ctx.Err() != nil:
		return err
	case len(keys) == 1:
		failed[keys[0]] = err
		return nil
	}
	half := len(keys) / 2
	if err := InHalves(ctx, db, keys[:half], do, failed); err != nil {
		return err
	}
	return InHalves(ctx, db, keys[half:], do, failed)
}
