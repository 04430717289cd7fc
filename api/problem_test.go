package api

import (
	"testing"

	"intray/schema"
)

func TestEveryErrorCodeHasAProblemType(t *testing.T) {
	for _, code := range []schema.Code{
		schema.CodeUnauthenticated,
		schema.CodeForbidden,
		schema.CodeNotFound,
		schema.CodeObjectMissing,
		schema.CodeWrongStatus,
		schema.CodeNotDownloadable,
		schema.CodeNameTaken,
		schema.CodeTooManyPending,
		schema.CodeTooManyTopics,
		schema.CodeQuotaExceeded,
		schema.CodeTooLarge,
		schema.CodeTypeNotAllowed,
		schema.CodeInvalid,
		schema.CodeUnknownTopic,
		schema.CodeIdempotencyMismatch,
		schema.CodeRateLimited,
		schema.CodeUnavailable,
		schema.CodeInternal,
	} {
		if got := problemTypes[code]; got.status == 0 || got.title == "" {
			t.Errorf("%s: got problem type %+v, want a status and a title", code, got)
		}
	}
}
