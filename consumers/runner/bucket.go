package runner

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"intray/schema"
)

// BucketBatch passes the object keys in a batch of bucket notifications to handle, each key once,
// and returns one error for each message: the first error of any of its keys. It skips records of
// other buckets and records for which relevant returns false. A key that is not a valid object key
// is a permanent failure.
//
// handle returns the keys that failed with their errors; its own error applies to all keys.
func BucketBatch(ctx context.Context, bucket string, batch []Message[[]schema.BucketRecord],
	relevant func(schema.BucketRecord) bool,
	handle func(ctx context.Context, keys []string) (failed map[string]error, err error),
) []error {
	errs := make([]error, len(batch))
	keysOf := make([][]string, len(batch))
	listed := make(map[string]bool)
	var keys []string
	for i, m := range batch {
		for _, r := range m.Event {
			if r.Bucket != bucket || !relevant(r) {
				continue
			}
			if r.Key == "" || !utf8.ValidString(r.Key) || strings.ContainsRune(r.Key, 0) {
				errs[i] = Permanent(fmt.Errorf("invalid object key %q", r.Key))
				continue
			}
			keysOf[i] = append(keysOf[i], r.Key)
			if !listed[r.Key] {
				listed[r.Key] = true
				keys = append(keys, r.Key)
			}
		}
	}
	if len(keys) == 0 {
		return errs
	}
	failed, err := handle(ctx, keys)
	for i := range batch {
		for _, key := range keysOf[i] {
			if cause := errors.Join(err, failed[key]); cause != nil {
				// This replaces a permanent error: another record's invalid key must not dead-letter the
				// message before its valid keys have had their attempts.
				errs[i] = cause
				break
			}
		}
	}
	return errs
}
