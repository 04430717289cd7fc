package api

import (
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"intray/infra/postgres"
	"intray/schema"
)

// The first byte of a cursor is cursorVersion if the listing is always sorted by id, and
// documentCursorVersion if it is a listing of documents. If the order of a listing ever changes,
// new cursors must have a different version, so that old ones are refused.
const (
	cursorVersion         = 1
	documentCursorVersion = 2
)

var errInvalidCursor = schema.Errorf(schema.CodeInvalid,
	`The query parameter "cursor" is not valid. Send the next_cursor of a page unchanged, `+
		`or leave it out to start at the first page.`)

// encodeCursor returns the cursor of the page that follows the item whose id is last.
func encodeCursor(last uuid.UUID) string {
	return base64.RawURLEncoding.EncodeToString(append([]byte{cursorVersion}, last[:]...))
}

// decodeCursor returns the id of the last item on the previous page. It fails with CodeInvalid if
// encodeCursor cannot have returned the cursor.
func decodeCursor(cursor string) (uuid.UUID, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(raw) != 17 || raw[0] != cursorVersion ||
		encodeCursor(uuid.UUID(raw[1:])) != cursor {
		return uuid.Nil, errInvalidCursor
	}
	return uuid.UUID(raw[1:]), nil
}

// sortNames are the values of the query parameter "sort".
var sortNames = map[postgres.Sort]string{
	postgres.ByCreation: "created_at",
	postgres.ByFilename: "filename",
	postgres.BySize:     "size",
}

// orderName returns the value of the query parameter "order".
func orderName(ascending bool) string {
	if ascending {
		return "asc"
	}
	return "desc"
}

// encodeDocumentCursor returns the cursor of the page that follows the position c in the listing
// that f selects. It is the version, the order of the listing, and the position.
func encodeDocumentCursor(f postgres.Filter, c postgres.Cursor) string {
	raw := []byte{documentCursorVersion, byte(f.Sort), 0}
	if f.Ascending {
		raw[2] = 1
	}
	raw = append(raw, c.ID[:]...)
	switch f.Sort {
	case postgres.ByCreation:
	case postgres.ByFilename:
		raw = append(raw, c.FilenameKey...)
	case postgres.BySize:
		raw = binary.BigEndian.AppendUint64(raw, uint64(c.Size))
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

// decodeDocumentCursor returns the position that cursor contains. It fails with CodeInvalid if
// encodeDocumentCursor cannot have returned the cursor for the order of f.
func decodeDocumentCursor(f postgres.Filter, cursor string) (*postgres.Cursor, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(raw) < 19 || raw[0] != documentCursorVersion || raw[2] > 1 {
		return nil, errInvalidCursor
	}
	of := postgres.Filter{Sort: postgres.Sort(raw[1]), Ascending: raw[2] == 1}
	c := postgres.Cursor{ID: uuid.UUID(raw[3:19])}
	switch key := raw[19:]; {
	case of.Sort == postgres.ByFilename && utf8.Valid(key) && !slices.Contains(key, 0):
		c.FilenameKey = string(key)
	case of.Sort == postgres.BySize && len(key) == 8:
		c.Size = int64(binary.BigEndian.Uint64(key))
	case of.Sort == postgres.ByCreation && len(key) == 0:
	default:
		return nil, errInvalidCursor
	}
	if strings.ContainsAny(cursor, "\r\n") { // the decoder skips them
		return nil, errInvalidCursor
	}
	if of.Sort != f.Sort || of.Ascending != f.Ascending {
		return nil, schema.Errorf(schema.CodeInvalid, `The query parameter "cursor" belongs to a `+
			`listing with sort=%s and order=%s. Send the same, or leave it out to start at the first page.`,
			sortNames[of.Sort], orderName(of.Ascending))
	}
	return &c, nil
}
