package postgres

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"intray/schema"
)

// A query collects the conditions of a WHERE clause and their arguments.
type query struct {
	conditions []string
	args       []any
}

// arg adds an argument and returns its placeholder.
func (q *query) arg(value any) string {
	q.args = append(q.args, value)
	return fmt.Sprintf("$%d", len(q.args))
}

// and adds a condition. It replaces %s in the condition with the placeholder of the value.
func (q *query) and(condition string, value any) {
	q.conditions = append(q.conditions, fmt.Sprintf(condition, q.arg(value)))
}

func (q *query) where() string { return strings.Join(q.conditions, " AND ") }

// The tables whose indexes a scan can read.
const (
	documentsTable = "documents"
	topicsTable    = "document_topics"
	positionsTable = "document_positions"
)

// A scan is how the documents of a page are found: by reading ranges of an index and testing the
// document of each entry.
type scan struct {
	// table and id are the table of the index, and its column with the document's id.
	table, id string
	// ranges are conditions, each of which exactly one range of the index satisfies. There is at least
	// one; the empty condition is all of the user's entries.
	ranges []rangeCondition
	// byStatus reports whether there is a range for each status of the filter.
	byStatus bool
	// limit is the largest number of entries that are read from each range.
	limit int
	// ordered reports whether the ranges are read in the order of the listing. Otherwise the
	// selected documents are sorted, and the ranges have at most limit entries each.
	ordered bool
	// selective reports whether the filter has conditions that the ranges do not imply, so that an
	// entry may not be selected. Deleting documents do not count.
	selective bool
	// exact reports whether the ranges contain no deleting documents.
	exact bool
}

// A rangeCondition is a condition in which %s, if it occurs, is replaced by the placeholder of the
// value.
type rangeCondition struct {
	condition string
	value     any
}

// limitsScan reports whether there is an index by which scanByID finds fewer documents than all.
func (f Filter) limitsScan() bool {
	return len(f.Statuses) > 0 || f.Topic != uuid.Nil || f.NoTopic || !f.From.IsZero() ||
		!f.To.IsZero()
}

// scanByID returns the scan that finds the documents in the order of their ids.
func (f Filter) scanByID() scan {
	s := scan{table: documentsTable, id: "id", ranges: make([]rangeCondition, 1), ordered: true}
	dates := !f.From.IsZero() || !f.To.IsZero()
	switch {
	case f.Topic != uuid.Nil:
		s.table, s.id = topicsTable, "document_id"
		s.ranges = []rangeCondition{{"topic_id = %s", f.Topic}}
		s.selective = true
	case f.NoTopic:
		s.ranges = []rangeCondition{{"NOT has_topics AND status <> 'deleting'", nil}}
		s.exact, s.selective = true, len(f.Statuses) > 0
	case len(f.Statuses) > 0:
		s.ranges = make([]rangeCondition, len(f.Statuses))
		for i, status := range f.Statuses {
			s.ranges[i] = rangeCondition{"status = %s", string(status)}
		}
		s.byStatus, s.exact = true, true
	}
	s.selective = s.selective || dates || f.Query != ""
	s.limit = pageScanLimit / len(s.ranges)
	return s
}

// scanInOrder returns the scan that finds the documents in the order of their filenames or sizes.
func (f Filter) scanInOrder() scan {
	return scan{
		table: positionsTable, id: "document_id", ranges: make([]rangeCondition, 1),
		limit: pageScanLimit, ordered: true, selective: f.limitsScan() || f.Query != "",
	}
}

// position returns the columns by which a scan or a page is sorted.
func (f Filter) position(id string) []string {
	switch f.Sort {
	case ByFilename:
		return []string{"filename_key", id}
	case BySize:
		return []string{"size", id}
	default:
		return []string{id}
	}
}

// orderBy returns the columns by which a scan or a page is sorted, for ORDER BY.
func (f Filter) orderBy(id string) string {
	direction := " DESC"
	if f.Ascending {
		direction = ""
	}
	return strings.Join(f.position(id), direction+", ") + direction
}

// compare adds a condition that compares the position of a document with c: with operator in the
// descending order, and with inverse in the ascending order.
func (f Filter) compare(q *query, id, operator, inverse string, c *Cursor) {
	if f.Ascending {
		operator = inverse
	}
	var value string
	switch f.Sort {
	case ByFilename:
		value = q.arg(c.FilenameKey) + ", " + q.arg(c.ID)
	case BySize:
		value = q.arg(c.Size) + ", " + q.arg(c.ID)
	default:
		value = q.arg(c.ID)
	}
	q.conditions = append(q.conditions, fmt.Sprintf("(%s) %s (%s)",
		strings.Join(f.position(id), ", "), operator, value))
}

// entries returns the conditions for the entries of each range. If end is not nil, they end there.
func (f Filter) entries(q *query, user uuid.UUID, s scan, end *Cursor) []string {
	q.and("user_id = %s", user)
	if f.Sort == ByCreation || !s.ordered {
		if !f.From.IsZero() {
			q.and(s.id+" >= %s", schema.FirstID(f.From.Add(-idSkew)))
		}
		if !f.To.IsZero() {
			q.and(s.id+" < %s", schema.FirstID(f.To.Add(idSkew+time.Millisecond)))
		}
	}
	if f.After != nil && s.ordered {
		f.compare(q, s.id, "<", ">", f.After)
	}
	if end != nil {
		f.compare(q, s.id, ">=", "<=", end)
	}
	common := q.where()
	all := make([]string, len(s.ranges))
	for i, r := range s.ranges {
		all[i] = common
		if r.value != nil {
			all[i] += " AND " + fmt.Sprintf(r.condition, q.arg(r.value))
		} else if r.condition != "" {
			all[i] += " AND " + r.condition
		}
	}
	q.conditions = nil
	return all
}

// scanEndQuery returns the query for the position of the last index entry that a page may scan. It
// has no row if the ranges have fewer entries. If one of several ranges ends first, the page ends
// there.
func (f Filter) scanEndQuery(user uuid.UUID, s scan) (string, []any) {
	q := &query{}
	columns := strings.Join(f.position(s.id), ", ") + " AS id"
	ends := f.entries(q, user, s, nil)
	for i, entries := range ends {
		ends[i] = fmt.Sprintf(`(SELECT %s FROM %s WHERE %s ORDER BY %s OFFSET %d LIMIT 1)`,
			columns, s.table, entries, f.orderBy(s.id), s.limit-1)
	}
	if len(ends) == 1 {
		return ends[0], q.args
	}
	return fmt.Sprintf(`SELECT * FROM (%s) AS ends ORDER BY %s LIMIT 1`,
		strings.Join(ends, " UNION ALL "), f.orderBy("id")), q.args
}

// pageQuery returns the query for a page and one more item, which shows that there is another page.
func (f Filter) pageQuery(user uuid.UUID, s scan, end *Cursor) (string, []any) {
	q := &query{}
	ranges := f.entries(q, user, s, end)
	// A scan in the order of the listing stops after the page. Otherwise any order is good.
	order := f.orderBy(s.id)
	if !s.ordered {
		order = s.id
	}
	f.documentConditions(q, s)
	conditions := q.where()
	limit := q.arg(f.Limit + 1)
	if s.table != documentsTable {
		// The page is sorted as the entries are, if they are in its order, so that no more documents than
		// necessary are read. OFFSET 0 prevents the planner from reversing the order of the join.
		pageOrder := f.orderBy("d.id")
		if s.ordered {
			pageOrder = "e." + strings.ReplaceAll(order, ", ", ", e.")
		}
		named := "true"
		if s.table == positionsTable && f.Query != "" { // not all of the documents have to be looked up
			named = containsQuery("e", q.arg(f.Query))
		}
		return fmt.Sprintf(`
			SELECT d.* FROM (SELECT * FROM %s WHERE %s ORDER BY %s LIMIT %d) AS e
			CROSS JOIN LATERAL (
				SELECT %s, filename_key FROM documents AS d
				WHERE id = e.document_id AND user_id = $1 AND %s OFFSET 0) AS d
			WHERE %s ORDER BY %s LIMIT %s`, s.table, ranges[0], order, s.limit,
			documentColumns, conditions, named, pageOrder, limit), q.args
	}
	for i, entries := range ranges {
		ranges[i] = fmt.Sprintf(`(SELECT * FROM documents WHERE %s ORDER BY %s LIMIT %d)`,
			entries, order, s.limit)
	}
	return fmt.Sprintf(`SELECT %s, filename_key FROM (%s) AS d WHERE %s ORDER BY %s LIMIT %s`,
		documentColumns, strings.Join(ranges, " UNION ALL "), conditions, f.orderBy("id"), limit), q.args
}

// containsQuery returns the condition that the filename in a table contains the query, regardless
// of case.
func containsQuery(table, placeholder string) string {
	return "strpos(" + table + ".filename_key, (SELECT case_fold(" + placeholder + "))) > 0"
}

// documentConditions adds the conditions that are tested on each scanned document.
func (f Filter) documentConditions(q *query, s scan) {
	q.conditions = append(q.conditions, "status <> 'deleting'")
	if len(f.Statuses) > 0 && !s.byStatus {
		statuses := make([]string, len(f.Statuses))
		for i, status := range f.Statuses {
			statuses[i] = string(status)
		}
		q.and("status = ANY(%s)", array(statuses))
	}
	if f.Topic != uuid.Nil && s.table != topicsTable {
		// OFFSET 0 makes the planner look up each document.
		q.and(`EXISTS (SELECT FROM document_topics AS t
			WHERE t.document_id = d.id AND t.topic_id = %s OFFSET 0)`, f.Topic)
	}
	if f.NoTopic {
		q.conditions = append(q.conditions, "NOT has_topics")
	}
	if f.Query != "" && s.table != positionsTable {
		q.conditions = append(q.conditions, containsQuery("d", q.arg(f.Query)))
	}
	if !f.From.IsZero() {
		q.and("created_at >= %s", f.From)
	}
	if !f.To.IsZero() {
		q.and("created_at < %s", f.To)
	}
	if f.After != nil && !s.ordered {
		f.compare(q, "id", "<", ">", f.After)
	}
}
