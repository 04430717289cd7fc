package runner

import "context"

// InHalves calls do with all keys. If that fails, it calls do with each half of them, recursively,
// so that one key cannot make the others fail. The errors of individual keys are stored in failed.
// An outage is returned.
func InHalves(
	ctx context.Context, keys []string, do func(context.Context, []string) error,
	failed map[string]error,
) error {
	if len(keys) == 0 {
		return nil
	}
	err := do(ctx, keys)
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
	if err := InHalves(ctx, keys[:half], do, failed); err != nil {
		return err
	}
	return InHalves(ctx, keys[half:], do, failed)
}
