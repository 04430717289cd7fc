package runner

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"intray/schema"
)

// BucketBatch runs decide on the keys in a batch of bucket notifications, each key once, and returns
// an error for each message: the first that decide returned for one of its keys. It ignores records of
// other buckets and those for which relevant reports false. A key that no object can have is a
// permanent failure.
//
// decide returns the keys that failed; its error fails all of them.
func BucketBatch(ctx context.Context, bucket string, batch []Message[[]schema.BucketRecord],
	relevant func(schema.BucketRecord) bool,
	decide func(ctx context.Context, keys []string) (failed map[string]error, err error),
) []error {
	errs := make([]error, len(batch))
	keysOf := make([][]string, len(batch))
	seen := make(map[string]bool)
	var keys []string
	for i, m := range batch {
		for _, r := range m.Event {
			if r.Bucket != bucket || !relevant(r) {
				continue
			}
			if r.Key == "" || !utf8.ValidString(r.Key) || strings.ContainsRune(r.Key, 0) {
				errs[i] = Permanent(fmt.Errorf("impossible object key %q", r.Key))
				continue
			}
			keysOf[i] = append(keysOf[i], r.Key)
			if !seen[r.Key] {
				seen[r.Key] = true
				keys = append(keys, r.Key)
			}
		}
	}
	if len(keys) == 0 {
		return errs
	}
	failed, err := decide(ctx, keys)
	for i := range batch {
		for _, key := range keysOf[i] {
			if cause := errors.Join(err, failed[key]); cause != nil {
				// Another record's impossible key must not dead-letter this one without an attempt.
				errs[i] = cause
				break
			}
		}
	}
	return errs
}
