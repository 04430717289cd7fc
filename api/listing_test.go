package api_test

import (
	"context"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"intray/api"
	"intray/infra/postgres"
	"intray/schema"
)

// listDocuments returns the filenames on a page of the client's documents and its next_cursor.
func (c *client) listDocuments(query string) (names []string, next *string) {
	c.t.Helper()
	page := as[api.DocumentPage](c.get("/api/documents?" + query).is(200))
	for _, d := range page.Items {
		names = append(names, d.Filename)
	}
	return names, page.NextCursor
}

func TestListDocuments(t *testing.T) {
	b := setup(t)
	names := []string{"Report 0.txt", "Report 1.txt", "Report 2.txt", "Report 3.txt", "Report 4.txt"}
	for _, name := range names {
		b.alice.upload(name, []byte("x"))
	}
	b.bob.upload("Report of bob.txt", []byte("x"))
	newestFirst := slices.Clone(names)
	slices.Reverse(newestFirst)

	t.Run("pages contain all documents of the user", func(t *testing.T) {
		b := b.in(t)
		var all []string
		for query := "limit=2"; ; {
			page, next := b.alice.listDocuments(query)
			all = append(all, page...)
			if next == nil {
				break
			}
			query = "limit=2&cursor=" + *next
		}
		if !slices.Equal(all, newestFirst) {
			t.Errorf("got %q, want %q", all, newestFirst)
		}
	})
	t.Run("a full last page has no next cursor", func(t *testing.T) {
		b := b.in(t)
		if got, next := b.alice.listDocuments("limit=5"); len(got) != 5 || next != nil {
			t.Errorf("got %q and next_cursor %v, want 5 documents and none", got, next)
		}
	})
	t.Run("filters", func(t *testing.T) {
		b := b.in(t)
		newest := b.alice.confirm(b.alice.documents()[0])
		topic := b.alice.createTopic("T")
		b.classify(newest.ID, schema.DocumentTopic{TopicID: topic.ID, Confidence: 50})
		for query, want := range map[string][]string{
			"q=REPORT+3": {"Report 3.txt"},
			"q=%25":      nil, // % is not a wildcard
			"status=classified&topic=" + topic.ID.String():      {newest.Filename},
			"status=classified,expired":                         {newest.Filename},
			"status=pending,classified&limit=2":                 {newest.Filename, "Report 3.txt"},
			"status=uploaded,failed":                            nil,
			"topic=none":                                        newestFirst[1:],
			"topic=none&status=classified":                      nil,
			"from=2000-01-01&to=2000-01-02":                     nil,
			"from=2000-01-01&topic=none&sort=filename":          names[:4],
			"from=" + newest.CreatedAt.Format(time.RFC3339Nano): {newest.Filename},
			"to=" + newest.CreatedAt.Format(time.RFC3339Nano):   newestFirst[1:],
			"to=" + url.QueryEscape(newest.CreatedAt.In(time.FixedZone("", 7200)).
				Format(time.RFC3339Nano)): newestFirst[1:],
			"from=" + strings.ToLower(newest.CreatedAt.Format(time.RFC3339Nano)): {newest.Filename},
			"to=2000-01-01":                  nil,
			"sort=created_at&order=asc":      names,
			"sort=filename":                  names,
			"sort=filename&order=desc":       newestFirst,
			"sort=size":                      newestFirst,
			"sort=size&order=asc&topic=none": names[:4],
		} {
			if got, _ := b.alice.listDocuments(query); !slices.Equal(got, want) {
				t.Errorf("%s: got %q, want %q", query, got, want)
			}
		}
	})
	for query, says := range map[string]string{
		"limit=1&limit=2":                     `"limit" was sent more than once`,
		"page=2":                              `no query parameter "page"`,
		"q=%zz":                               "malformed",
		"limit=0":                             `"limit" must be at least 1`,
		"limit=101":                           `"limit" must be at most 100`,
		"limit=x":                             "whole number",
		"limit=":                              `"limit"`,
		"status=gone":                         `"status" must be one of pending, uploaded`,
		"status=pending,gone":                 `"status" must be one of pending, uploaded`,
		"status=deleting":                     `"status" must be one of pending, uploaded`,
		"status=pending,":                     `"status"`,
		"status=":                             `"status"`,
		"status=pending&status=failed":        `"status" was sent more than once`,
		"topic=x":                             `"topic" is malformed. Expected: The id of a topic, or none`,
		"topic=NONE":                          `"topic"`,
		"from=yesterday":                      `"from" must be a date such as`,
		"from=2026-02-30":                     `"from" must be a date such as`,
		"from=0000-01-01":                     `"from" must be a date such as`,
		"to=2026-11-28T10:00:00":              `"to" must be a date such as`,
		"to=2026-11-28T10:00:00+01:00":        `Send a + as %2B`,
		"to=2026-11-28T10:00:00,5Z":           `"to" must be a date such as`,
		"to=2026-11-28T9:00:00Z":              `"to" must be a date such as`,
		"to=2026-11-28T10:00:00%2B25:00":      `"to" must be a date such as`,
		"sort=name":                           `"sort" must be one of created_at, filename, size`,
		"order=up":                            `"order" must be one of asc, desc`,
		"q=":                                  `"q"`,
		"q=%00":                               `"q"`,
		"q=%ff":                               `"q"`,
		"cursor=x":                            `"cursor"`,
		"cursor=" + url.QueryEscape("AQ=="):   `"cursor"`,
		"cursor=" + strings.Repeat("A", 2049): `"cursor"`,
	} {
		t.Run("invalid "+query, func(t *testing.T) {
			b.alice.in(t).get("/api/documents?" + query).fails(schema.CodeInvalid).says(says)
		})
	}
}

// TestListingOrders checks the pages of each order, and that a cursor is refused in another.
func TestListingOrders(t *testing.T) {
	b := setup(t)
	for i, name := range []string{"b.txt", "Σίσυφος", "A.txt", "straße", "a.txt", "B.txt", "c.txt"} {
		b.alice.requestUpload(name, i%3)
	}
	orders := map[string][]string{
		"":                          {"c.txt", "B.txt", "a.txt", "straße", "A.txt", "Σίσυφος", "b.txt"},
		"sort=created_at&order=asc": {"b.txt", "Σίσυφος", "A.txt", "straße", "a.txt", "B.txt", "c.txt"},
		"sort=filename":             {"A.txt", "a.txt", "b.txt", "B.txt", "c.txt", "straße", "Σίσυφος"},
		"sort=filename&order=desc":  {"Σίσυφος", "straße", "c.txt", "B.txt", "b.txt", "a.txt", "A.txt"},
		"sort=size":                 {"B.txt", "A.txt", "a.txt", "Σίσυφος", "c.txt", "straße", "b.txt"},
		"sort=size&order=asc":       {"b.txt", "straße", "c.txt", "Σίσυφος", "a.txt", "A.txt", "B.txt"},
	}
	for order, want := range orders {
		t.Run(order, func(t *testing.T) {
			b := b.in(t)
			var got []string
			for cursor := ""; ; {
				page, next := b.alice.listDocuments(order + "&limit=3" + cursor)
				got = append(got, page...)
				if next == nil {
					break
				}
				cursor = "&cursor=" + *next
				for other := range orders {
					// The filters and the limit may change, and the default order may be written out.
					if other == order {
						b.alice.get("/api/documents?" + other + "&limit=1&q=txt" + cursor).is(200)
					} else {
						b.alice.get("/api/documents?" + other + cursor).fails(schema.CodeInvalid).
							says("belongs to a listing with sort=")
					}
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	for query, want := range map[string]string{
		"STRASSE": "straße", "strasse": "straße", "ΣΊΣΥΦΟΣ": "Σίσυφος", "σίσυφοσ": "Σίσυφος",
		"Σι\u0301σ": "Σίσυφος",
	} {
		got, _ := b.alice.listDocuments("q=" + url.QueryEscape(query))
		if !slices.Equal(got, []string{want}) {
			t.Errorf("q=%s: got %q, want %q", query, got, want)
		}
	}
}

// TestCountDocuments compares the counts with the listings of all filters, and checks that they
// contain nothing of other users.
func TestCountDocuments(t *testing.T) {
	b := setup(t)
	system, own := b.admin.createSystemTopic("System"), b.alice.createTopic("Own")
	unused := b.alice.createTopic("Unused")
	topic := func(t api.Topic) schema.DocumentTopic {
		return schema.DocumentTopic{TopicID: t.ID, Confidence: 50}
	}
	b.alice.upload("pending", []byte("x"))
	b.alice.confirmed("uploaded", []byte("x"))
	b.classify(b.alice.confirmed("none", []byte("x")).ID)
	both := b.alice.confirmed("both", []byte("x"))
	b.classify(both.ID, topic(system), topic(own))
	b.classify(b.alice.confirmed("system", []byte("x")).ID, topic(system))
	deleted := b.alice.confirmed("deleted", []byte("x"))
	b.classify(deleted.ID, topic(system), topic(own))
	b.alice.delete(path(deleted)).is(202)
	b.classify(b.bob.confirmed("of bob", []byte("x")).ID, topic(system))

	check := func(c *client) api.DocumentCounts {
		t.Helper()
		got := as[api.DocumentCounts](c.get("/api/documents/counts").is(200))
		count := func(query string, want int) {
			t.Helper()
			if names, _ := c.listDocuments(query); len(names) != want {
				t.Errorf("%s: got %d documents %q, want the count %d", query, len(names), names, want)
			}
		}
		s := got.ByStatus
		for status, n := range map[string]int{
			"pending": s.Pending, "uploaded": s.Uploaded, "classified": s.Classified, "failed": s.Failed,
			"rejected": s.Rejected, "expired": s.Expired, "quarantined": s.Quarantined,
		} {
			count("status="+status, n)
		}
		for _, topic := range []api.Topic{system, own, unused} {
			count("topic="+topic.ID.String(), got.ByTopic[topic.ID.String()])
		}
		count("topic=none", got.NoTopic)
		return got
	}
	var want api.DocumentCounts
	want.ByStatus.Pending, want.ByStatus.Uploaded, want.ByStatus.Classified = 1, 1, 3
	want.ByTopic = map[string]int{system.ID.String(): 2, own.ID.String(): 1}
	want.NoTopic = 3
	if got := check(b.alice); !reflect.DeepEqual(got, want) {
		t.Errorf("alice: got %+v, want %+v", got, want)
	}
	if got := check(b.bob); got.ByStatus.Classified != 1 || len(got.ByTopic) != 1 || got.NoTopic != 0 {
		t.Errorf("bob: got %+v, want one classified document with one topic", got)
	}

	etag := b.alice.get("/api/documents/counts").is(200).header.Get("ETag")
	same := b.alice.get("/api/documents/counts", with{"If-None-Match": etag}).is(304)
	if got := same.header.Get("ETag"); got != etag {
		t.Errorf("got ETag %s, want %s", got, etag)
	}
	b.admin.delete("/api/admin/topics/" + system.ID.String()).is(204)
	b.alice.get("/api/documents/counts", with{"If-None-Match": etag}).is(200)
	if got := check(b.alice); len(got.ByTopic) != 1 || got.NoTopic != 4 {
		t.Errorf("without the system topic: got %+v, want one topic, and 4 documents without", got)
	}
	check(b.bob)
}

// TestListThenStream checks that a client that lists its documents, and then reads the event stream
// from events_after, misses no change: here a document is deleted after the documents of the page
// were read, and before the page is complete.
func TestListThenStream(t *testing.T) {
	b, _ := setupWithNATS(t)
	config := b.config
	b.useDatabase(&config, b.roleURL,
		postgres.Options{LockTimeout: time.Minute, StatementTimeout: time.Minute})
	b.alice.base = b.serve(config)
	b.bob.base = b.alice.base
	position := func() string {
		return as[api.DocumentPage](b.bob.get("/api/documents").is(200)).EventsAfter
	}
	d := b.alice.confirmed("a", []byte("x"))
	eventually(t, "the upload is published", func() bool { return b.unpublished() == 0 })
	first := position()

	// The topics of a page are read last. Bob has no documents, so his pages need none.
	tx, err := b.sql.BeginTxx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	_, err = tx.ExecContext(t.Context(), `LOCK TABLE topics IN ACCESS EXCLUSIVE MODE`)
	if err != nil {
		t.Fatal(err)
	}
	listing := inBackground(func() *response { return b.alice.get("/api/documents") })
	eventually(t, "the listing waits for the topics", func() bool {
		var waiting int
		err := b.sql.Get(&waiting, `
			SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'topics'::regclass`)
		return err == nil && waiting > 0
	})
	b.alice.delete(path(d)).is(202)
	eventually(t, "the API receives the event", func() bool { return position() != first })
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	page := as[api.DocumentPage]((<-listing).is(200))
	if len(page.Items) != 1 || page.Items[0].Status != api.DocumentStatusUploaded {
		t.Fatalf("got page %+v, want the uploaded document", page)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	events := b.alice.stream(ctx, page.EventsAfter)
	for status := api.DocumentStatus(""); status != api.DocumentStatusDeleting; {
		e := nextEvent(t, events)
		if e.data == "" || e.kind == "resync" {
			t.Fatalf("got event %+v, want the deletion of the document", e)
		}
		status = e.document(t).Status
	}
}
