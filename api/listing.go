package api

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"intray/infra/postgres"
	"intray/schema"
)

// defaultPageSize is the number of documents per page if the request sets no limit.
const defaultPageSize = 50

// ListDocuments returns a page of the caller's documents, or 304 if the page has not changed. If
// the client asks to wait, ListDocuments waits for a change before it returns 304.
func (s *server) ListDocuments(
	ctx context.Context, r ListDocumentsRequestObject,
) (ListDocumentsResponseObject, error) {
	p := r.Params
	filter, err := listFilter(p)
	if err != nil {
		return nil, err
	}
	var (
		views   []postgres.DocumentView
		page    DocumentPage
		etag    string
		changed bool
	)
	wait := s.waitTime(p.IfNoneMatch, p.Prefer)
	of := waitKey{user: callerOf(ctx).id}
	err = s.await(ctx, of, wait, func() (int64, bool, error) {
		// The position is taken first, so that the page contains every change up to it.
		after, err := s.eventsAfter(ctx)
		if err != nil {
			return 0, false, err
		}
		found, next, err := s.userDB(ctx).Documents(ctx, filter)
		if err != nil {
			return 0, false, err
		}
		views, page = found, pageOf(found, filter, next, after)
		etag = pageETag(views, page.NextCursor)
		changed = !unchanged(p.IfNoneMatch, etag)
		return 0, changed, nil // version 0: read the page again after any change
	})
	if err != nil {
		return nil, err
	}
	retry := retryAfter(slices.ContainsFunc(views, inProgress), wait)
	if !changed {
		return ListDocuments304Response{
			Headers: ListDocuments304ResponseHeaders{ETag: etag, RetryAfter: retry},
		}, nil
	}
	return ListDocuments200JSONResponse{
		Body:    page,
		Headers: ListDocuments200ResponseHeaders{ETag: etag, RetryAfter: retry},
	}, nil
}

// listFilter returns the filter for the query parameters of a listing.
func listFilter(p ListDocumentsParams) (postgres.Filter, error) {
	filter := postgres.Filter{Limit: defaultPageSize}
	if p.Limit != nil {
		filter.Limit = *p.Limit
	}
	if p.Status != nil {
		for _, status := range *p.Status {
			filter.Statuses = append(filter.Statuses, schema.Status(status))
		}
	}
	if p.Topic != nil {
		var err error
		if filter.NoTopic = *p.Topic == "none"; !filter.NoTopic {
			if filter.Topic, err = uuid.Parse(*p.Topic); err != nil {
				return filter, schema.Errorf(schema.CodeInvalid,
					`The query parameter "topic" must be the id of a topic, or none.`)
			}
		}
	}
	if p.Q != nil {
		if !utf8.ValidString(*p.Q) || strings.ContainsRune(*p.Q, 0) {
			return filter, schema.Errorf(schema.CodeInvalid,
				`The query parameter "q" must be UTF-8 text without NUL characters.`)
		}
		filter.Query = *p.Q
	}
	err := setOrder(&filter, p)
	if err != nil {
		return filter, err
	}
	if filter.From, err = parseTime("from", p.From); err != nil {
		return filter, err
	}
	filter.To, err = parseTime("to", p.To)
	return filter, err
}

// setOrder sets the order of a filter and the position at which the page begins.
func setOrder(filter *postgres.Filter, p ListDocumentsParams) (err error) {
	if p.Sort != nil {
		for sort, name := range sortNames {
			if name == string(*p.Sort) {
				filter.Sort = sort
			}
		}
	}
	filter.Ascending = filter.Sort == postgres.ByFilename
	if p.Order != nil {
		filter.Ascending = string(*p.Order) == orderName(true)
	}
	if p.Cursor != nil {
		filter.After, err = decodeDocumentCursor(*filter, *p.Cursor)
	}
	return err
}

// rfc3339 matches the times of RFC 3339. time.Parse refuses t and z, and accepts other times.
var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?` +
	`([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// parseTime returns the time that the query parameter contains, or the zero time if it was not
// sent.
func parseTime(parameter string, value *string) (time.Time, error) {
	if value == nil {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.DateOnly, *value)
	if err != nil && rfc3339.MatchString(*value) {
		t, err = time.Parse(time.RFC3339, strings.ToUpper(*value))
	}
	if err == nil && t.Year() > 0 {
		return t, nil
	}
	return time.Time{}, schema.Errorf(schema.CodeInvalid,
		`The query parameter %q must be a date such as 2026-11-28, or a time such as `+
			`2026-11-28T09:30:00Z (RFC 3339). Send a + as %%2B.`, parameter)
}

func pageOf(
	views []postgres.DocumentView, f postgres.Filter, next *postgres.Cursor, eventsAfter string,
) DocumentPage {
	page := DocumentPage{Items: make([]Document, len(views)), EventsAfter: eventsAfter}
	for i, v := range views {
		page.Items[i] = documentOf(v)
	}
	if next != nil {
		page.NextCursor = nilIfEmpty(encodeDocumentCursor(f, *next))
	}
	return page
}

// pageETag returns the entity tag of a page of documents. It hashes the documents that were read,
// including what does not depend on their versions, such as the names of topics. This takes about
// 10 µs and requires no query.
func pageETag(views []postgres.DocumentView, nextCursor *string) string {
	page := fnv.New128a()
	for _, v := range views {
		page.Write(v.ID[:])
		fmt.Fprintf(page, "%d %v %t", v.Version, v.DuplicateOf, v.Retrying)
		_ = json.NewEncoder(page).Encode(v.Topics) // never fails
	}
	if nextCursor != nil {
		page.Write([]byte(*nextCursor))
	}
	return fmt.Sprintf(`"%x"`, page.Sum(nil))
}

// CountDocuments returns the numbers of the caller's documents, or 304 if they have not changed.
func (s *server) CountDocuments(
	ctx context.Context, r CountDocumentsRequestObject,
) (CountDocumentsResponseObject, error) {
	counts, err := s.userDB(ctx).DocumentCounts(ctx)
	if err != nil {
		return nil, err
	}
	body := countsOf(counts)
	etag := bodyETag(body)
	if unchanged(r.Params.IfNoneMatch, etag) {
		return CountDocuments304Response{
			Headers: CountDocuments304ResponseHeaders{ETag: etag},
		}, nil
	}
	return CountDocuments200JSONResponse{
		Body: body, Headers: CountDocuments200ResponseHeaders{ETag: etag},
	}, nil
}

func countsOf(c postgres.DocumentCounts) DocumentCounts {
	counts := DocumentCounts{
		ByTopic: make(map[string]DocumentCount, len(c.ByTopic)), NoTopic: c.NoTopic,
	}
	for status, field := range map[schema.Status]*DocumentCount{
		schema.StatusPending:     &counts.ByStatus.Pending,
		schema.StatusUploaded:    &counts.ByStatus.Uploaded,
		schema.StatusClassified:  &counts.ByStatus.Classified,
		schema.StatusFailed:      &counts.ByStatus.Failed,
		schema.StatusRejected:    &counts.ByStatus.Rejected,
		schema.StatusExpired:     &counts.ByStatus.Expired,
		schema.StatusQuarantined: &counts.ByStatus.Quarantined,
	} {
		*field = c.ByStatus[status]
	}
	for topic, n := range c.ByTopic {
		counts.ByTopic[topic.String()] = n
	}
	return counts
}
