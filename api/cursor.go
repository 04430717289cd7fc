package api

import (
	"encoding/base64"

	"github.com/google/uuid"

	"intray/schema"
)

// cursorVersion is a cursor's first byte. Another order of the listing would need
// another form, and must not take these for its own.
const cursorVersion = 1

// encodeCursor returns the cursor of the page after the document last.
func encodeCursor(last uuid.UUID) string {
	return base64.RawURLEncoding.EncodeToString(append([]byte{cursorVersion}, last[:]...))
}

// decodeCursor returns the last document of the page before. It fails with
// CodeInvalid for whatever encodeCursor did not make.
func decodeCursor(cursor string) (uuid.UUID, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(raw) != 17 || raw[0] != cursorVersion || encodeCursor(uuid.UUID(raw[1:])) != cursor {
		return uuid.Nil, schema.Errorf(schema.CodeInvalid,
			`The query parameter "cursor" is not one of ours. Send a page's next_cursor as it is, or none to begin anew.`)
	}
	return uuid.UUID(raw[1:]), nil
}
