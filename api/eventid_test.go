package api

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"intray/schema"
)

func testEventIDs(t testing.TB, user uuid.UUID, keys ...string) eventIDs {
	t.Helper()
	tokenKeys := make([][]byte, len(keys))
	for i, key := range keys {
		tokenKeys[i] = []byte(strings.Repeat(key, MinTokenKeyBytes))
	}
	ids, err := newEventIDs(tokenKeys, user)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// TestEventIDs checks that an id is read only with the keys and the user that it was made for, and
// that ids of the same position are all different and of the same length.
func TestEventIDs(t *testing.T) {
	alice, bob := uuid.New(), uuid.New()
	ids := testEventIDs(t, alice, "a", "b")
	rapid.Check(t, func(t *rapid.T) {
		p := position{
			created:  rapid.Int64().Draw(t, "created"),
			sequence: rapid.Uint64().Draw(t, "sequence"),
		}
		id := ids.encode(p)
		if got, ok := ids.decode(id); !ok || got != p {
			t.Fatalf("decode: got %v, %t, want %v", got, ok, p)
		}
		if again := ids.encode(p); again == id || len(again) != len(id) || len(id) != 59 {
			t.Fatalf("got ids %s and %s, want two different ones of 59 characters", id, again)
		}
	})
	p := positionOf(time.Now(), 258)
	id := ids.encode(p)
	raw, err := base64.RawURLEncoding.DecodeString(id)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(raw, binary.BigEndian.AppendUint64(nil, p.sequence)) {
		t.Errorf("got id %x, want it without the sequence number", raw)
	}
	for name, c := range map[string]struct {
		ids  eventIDs
		want bool
	}{
		"replica whose second key it is": {testEventIDs(t, alice, "c", "a"), true},
		"replica without the key":        {testEventIDs(t, alice, "b", "c"), false},
		"another user":                   {testEventIDs(t, bob, "a", "b"), false},
	} {
		if got, ok := c.ids.decode(id); ok != c.want || (ok && got != p) {
			t.Errorf("%s: got %v, %t, want %t", name, got, ok, c.want)
		}
	}
}

// TestEventsAfter checks that a stream that continues after an id of eventsAfter receives the
// changes since then, and a resync if the position was not known.
func TestEventsAfter(t *testing.T) {
	user := uuid.New()
	s := &server{
		notifier: newNotifier(), tokenKeys: [][]byte{[]byte(strings.Repeat("a", MinTokenKeyBytes))},
	}
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	ctx := withCaller(r, caller{id: user}).Context()
	ids, err := s.eventIDs(ctx)
	if err != nil {
		t.Fatal(err)
	}
	open := func() (id string, stream func() news) {
		id, err := s.eventsAfter(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return id, func() news {
			after, _ := ids.decode(id)
			return s.notifier.take(s.notifier.addStream(user, &after), 10)
		}
	}
	_, early := open()
	s.notifier.reset(created, 5)
	_, stream := open()
	e := schema.DocumentEvent{UserID: user, DocumentID: uuid.New(), Version: 2}
	s.notifier.record(6, e)
	if got := early(); !got.missed {
		t.Errorf("id from before the first event: got %+v, want changes missed", got)
	}
	got := stream()
	if got.missed || len(got.changes) != 1 || got.changes[0].document != e.DocumentID {
		t.Errorf("got %+v, want the change of document %s", got, e.DocumentID)
	}
	s.notifier.reset(created.Add(time.Hour), 5)
	if got := stream(); !got.missed {
		t.Errorf("after the stream was created again: got %+v, want changes missed", got)
	}
}

func FuzzEventID(f *testing.F) {
	ids := testEventIDs(f, uuid.Nil, "a", "b")
	f.Add(ids.encode(position{1, 2}))
	f.Add("")
	f.Add("1207")
	f.Add(strings.Repeat("A", 59))
	f.Add(strings.Repeat("A", 58) + "\n")
	f.Add(ids.encode(position{1, 2}) + "\n")
	f.Fuzz(func(t *testing.T, id string) {
		p, ok := ids.decode(id)
		if !ok && p != (position{}) {
			t.Errorf("decode %q: got %v, want the zero position", id, p)
		}
		// Nobody can make an id without the keys. The only valid ones are those added above, and one
		// text has only one form.
		if ok && p != (position{1, 2}) {
			t.Errorf("decode %q: got %v, want no other valid id", id, p)
		}
		if ok && len(id) != 59 {
			t.Errorf("decode %q: got a valid id of %d bytes, want 59", id, len(id))
		}
	})
}
