package api

import (
	"encoding/base64"

	"github.com/google/uuid"

	"intray/schema"
)

// cursorVersion is the first byte of a cursor. If the order of the listing ever changes, new
// cursors must have a different version, so that old ones are refused.
const cursorVersion = 1

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
		return uuid.Nil, schema.Errorf(schema.CodeInvalid,
			`The query parameter "cursor" is not valid. Send the next_cursor of a page unchanged, `+
				`or leave it out to start at the first page.`)
	}
	return uuid.UUID(raw[1:]), nil
}
