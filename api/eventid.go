package api

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// position is a position in a stream of document events. The zero position precedes every stream,
// so that a client with its id receives a resync.
type position struct {
	// created is when the stream was created, in microseconds since 1970. It identifies the stream,
	// because a stream that is deleted and created again counts from 1 again.
	created int64
	// sequence is the sequence number of the last event up to the position.
	sequence uint64
}

// eventIDBytes is the length of an event id before it is encoded: a nonce, a position and a tag.
const eventIDBytes = 12 + 16 + 16

// eventIDs makes and reads the ids of one user's events. An id is an encrypted position: the
// sequence numbers count the events of all users, so they would tell each user how many documents
// the others upload. A nonce makes two ids of the same position different, because equal ids would
// show that nothing has happened in between. See docs/adr/0031-event-stream.md.
type eventIDs struct {
	// keys are derived from the token keys, in the same order, and from the user's id. The first one
	// makes ids.
	keys []cipher.AEAD
}

// newEventIDs returns the eventIDs of a user.
func newEventIDs(tokenKeys [][]byte, user uuid.UUID) (eventIDs, error) {
	ids := eventIDs{keys: make([]cipher.AEAD, len(tokenKeys))}
	for i, tokenKey := range tokenKeys {
		key, err := hkdf.Key(sha256.New, tokenKey, user[:], "intray event ids", sha256.Size)
		if err != nil {
			return eventIDs{}, fmt.Errorf("derive the event id key: %w", err)
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return eventIDs{}, fmt.Errorf("derive the event id key: %w", err)
		}
		if ids.keys[i], err = cipher.NewGCMWithRandomNonce(block); err != nil {
			return eventIDs{}, fmt.Errorf("derive the event id key: %w", err)
		}
	}
	return ids, nil
}

// encode returns an id of the position.
func (ids eventIDs) encode(p position) string {
	text := binary.BigEndian.AppendUint64(make([]byte, 0, 16), uint64(p.created))
	text = binary.BigEndian.AppendUint64(text, p.sequence)
	return base64.RawURLEncoding.EncodeToString(ids.keys[0].Seal(nil, nil, text, nil))
}

// decode returns the position of an id. It returns false if the id was not made for this user with
// one of the keys.
func (ids eventIDs) decode(id string) (position, bool) {
	if base64.RawURLEncoding.DecodedLen(len(id)) != eventIDBytes {
		return position{}, false
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(id)
	if err != nil || len(sealed) != eventIDBytes {
		return position{}, false
	}
	for _, key := range ids.keys {
		if text, err := key.Open(nil, nil, sealed, nil); err == nil {
			return position{
				created:  int64(binary.BigEndian.Uint64(text)),
				sequence: binary.BigEndian.Uint64(text[8:]),
			}, true
		}
	}
	return position{}, false
}

// eventsAfter returns the caller's id of the position up to which this process has received events.
// What is read from the database afterwards contains every change up to it, so a client that sends
// the id as Last-Event-ID misses none. If the process does not follow events yet, the id causes a
// resync.
func (s *server) eventsAfter(ctx context.Context) (string, error) {
	ids, err := s.eventIDs(ctx)
	if err != nil {
		return "", err
	}
	return ids.encode(s.notifier.position()), nil
}

// positionOf returns the position after the event with the sequence number in the stream that was
// created at the given time.
func positionOf(created time.Time, sequence uint64) position {
	return position{created: created.UnixMicro(), sequence: sequence}
}
