package postgres

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"intray/schema"
)

// A Filter selects documents and their order. A field with the zero value selects all. Deleting
// documents are never selected.
type Filter struct {
	// Statuses selects the documents that have one of these statuses.
	Statuses []schema.Status
	// Topic selects the documents with this topic.
	Topic uuid.UUID
	// NoTopic selects the documents without topics, whatever their status is.
	NoTopic bool
	// Query is a part of the filename, regardless of case.
	Query string
	// From and To select the documents that were created at From or later, and before To.
	From, To time.Time

	Sort      Sort
	Ascending bool
	// After is the cursor of the previous page, or nil for the first page. The previous page must have
	// been read with the same Sort and Ascending.
	After *Cursor
	// Limit is the largest number of items on a page, 50 if it is zero.
	Limit int
}

// Sort is the property by which documents are sorted.
type Sort int

const (
	// ByCreation sorts by id. Ids are UUIDv7, so this is the order in which the documents were
	// created.
	ByCreation Sort = iota
	// ByFilename sorts by the filename regardless of case, in the order of Unicode code points, and
	// then by id.
	ByFilename
	// BySize sorts by the declared size, and then by id.
	BySize
)

// A Cursor is a position in a listing. The document at this position need not exist.
type Cursor struct {
	ID uuid.UUID `db:"id"`
	// FilenameKey is the filename after case folding. It is empty unless the listing is sorted by
	// filename.
	FilenameKey string `db:"filename_key"`
	// Size is 0 unless the listing is sorted by size.
	Size int64 `db:"size"`
}

const (
	// pageScanLimit is the largest number of index entries that a page scans. It limits the cost of a
	// page, even if the filter selects few documents, and however many the user has. Figures:
	// go test ./infra/postgres -run '^$' -bench BenchmarkListing.
	pageScanLimit = 5000
	// idSkew is the largest difference between the time in a document's id, which comes from the clock
	// of the API, and the time at which PostgreSQL stored it. Ranges of time are read as ranges of ids
	// that are longer by this at both ends; the stored time then decides.
	idSkew = 6 * time.Minute
)

// Documents returns a page of the documents of the user that the DB is bound to. next is nil on the
// last page. The cost of a page is bounded: a page that is not the last may have fewer items than
// the limit, or none, if the filter selects few of the documents or many are deleting.
func (db *DB) Documents(
	ctx context.Context, f Filter,
) (items []DocumentView, next *Cursor, err error) {
	if err := db.requireUser(); err != nil {
		return nil, nil, err
	}
	if f.Limit <= 0 {
		f.Limit = 50
	}
	statuses := slices.Compact(slices.Sorted(slices.Values(f.Statuses)))
	statuses = slices.DeleteFunc(statuses, func(s schema.Status) bool {
		return s == schema.StatusDeleting
	})
	if len(statuses) == 0 && len(f.Statuses) > 0 {
		return nil, nil, nil
	}
	f.Statuses = statuses
	err = db.inTransaction(ctx, func(tx *tx) error {
		rows, after, err := tx.page(ctx, f)
		if err != nil {
			return err
		}
		docs := make([]schema.Document, len(rows))
		for i, r := range rows {
			docs[i] = r.Document
		}
		next = after
		items, err = tx.views(ctx, docs)
		return err
	})
	if err != nil {
		return nil, nil, wrap(ctx, err, "list documents of user %s", db.user)
	}
	return items, next, nil
}

// A pageRow is a document with the key of its filename.
type pageRow struct {
	schema.Document
	FilenameKey string `db:"filename_key"`
}

// page returns a page of documents, and the cursor of the next page or nil.
func (tx *tx) page(ctx context.Context, f Filter) ([]pageRow, *Cursor, error) {
	scan, err := tx.chooseScan(ctx, f)
	if err != nil {
		return nil, nil, err
	}
	var end *Cursor
	if scan.ordered && scan.selective {
		if end, err = tx.readScanEnd(ctx, f, scan); err != nil {
			return nil, nil, err
		}
	}
	rows, err := tx.readPage(ctx, f, scan, end)
	if err == nil && len(rows) <= f.Limit && scan.ordered && !scan.selective && !scan.exact {
		// Almost always this is the last page. Otherwise, the page was short because so many documents
		// are being deleted.
		if end, err = tx.readScanEnd(ctx, f, scan); err == nil && end != nil {
			rows, err = tx.readPage(ctx, f, scan, end)
		}
	}
	if err != nil {
		return nil, nil, err
	}
	if len(rows) > f.Limit {
		return rows[:f.Limit], f.cursor(rows[f.Limit-1]), nil
	}
	return rows, end, nil
}

// chooseScan returns the scan for a page. If the documents are to be sorted by something other than
// their ids, and so few have the status, topic or time of the filter that one page can read them
// all, it is the scan of these. Otherwise it is a scan in the order of the listing.
func (tx *tx) chooseScan(ctx context.Context, f Filter) (scan, error) {
	if f.Sort == ByCreation {
		return f.scanByID(), nil
	}
	narrow := f
	narrow.Sort, narrow.Ascending, narrow.After = ByCreation, false, nil
	if narrow.limitsScan() {
		all := narrow.scanByID()
		end, err := tx.readScanEnd(ctx, narrow, all)
		if err != nil {
			return scan{}, err
		}
		if end == nil {
			all.ordered = false
			return all, nil
		}
	}
	return f.scanInOrder(), nil
}

// readScanEnd returns the position of the last index entry that a page may scan. It returns nil if
// there are no more entries than that.
func (tx *tx) readScanEnd(ctx context.Context, f Filter, s scan) (*Cursor, error) {
	query, args := f.scanEndQuery(tx.user, s)
	var end Cursor
	err := tx.GetContext(ctx, &end, query, args...)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &end, nil
}

// readPage reads the documents of a page and one more. It scans the indexes no further than to end.
func (tx *tx) readPage(
	ctx context.Context, f Filter, s scan, end *Cursor,
) (rows []pageRow, err error) {
	query, args := f.pageQuery(tx.user, s, end)
	return rows, tx.SelectContext(ctx, &rows, query, args...)
}

// cursor returns the position of a row.
func (f Filter) cursor(r pageRow) *Cursor {
	c := &Cursor{ID: r.ID}
	switch f.Sort {
	case ByCreation:
	case ByFilename:
		c.FilenameKey = r.FilenameKey
	case BySize:
		c.Size = r.Size
	}
	return c
}
