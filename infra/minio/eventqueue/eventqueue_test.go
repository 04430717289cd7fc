package eventqueue

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// event is an event that MinIO queued for a PUT.
const event = `{"eventVersion":"2.0","eventSource":"minio:s3","awsRegion":"",` +
	`"eventTime":"2026-02-12T20:18:48.123Z","eventName":"s3:ObjectCreated:Put",` +
	`"userIdentity":{"principalId":"upload"},"requestParameters":{"principalId":"upload",` +
	`"region":"","sourceIPAddress":"127.0.0.1"},"responseElements":{"x-amz-id-2":"dd",` +
	`"x-amz-request-id":"18"},"s3":{"s3SchemaVersion":"1.0","configurationId":"Config",` +
	`"bucket":{"name":"intray","ownerIdentity":{"principalId":"upload"},` +
	`"arn":"arn:aws:s3:::intray"},"object":{"key":"documents%2F0198c%2Fa+b","size":3,` +
	`"eTag":"acbd","contentType":"text/plain","userMetadata":{"content-type":"text/plain"},` +
	`"sequencer":"18ABC"}},"source":{"host":"127.0.0.1","port":"","userAgent":"curl"}}`

func TestCheckEvent(t *testing.T) {
	if err := checkEvent([]byte(event)); err != nil {
		t.Errorf("valid event: got error %v, want none", err)
	}
	for name, text := range map[string]string{
		"empty":             "",
		"NUL bytes":         strings.Repeat("\x00", len(event)),
		"NUL bytes at end":  event[:200] + strings.Repeat("\x00", 100),
		"truncated":         event[:len(event)-1],
		"white space":       " \n",
		"another value":     "[]",
		"no key":            strings.Replace(event, "documents%2F0198c%2Fa+b", "", 1),
		"key not escaped":   strings.Replace(event, "%2F", "%zz", 1),
		"size not a number": strings.Replace(event, `"size":3`, `"size":"3"`, 1),
		"no event name":     strings.Replace(event, "s3:ObjectCreated:Put", "", 1),
		"two events":        event + event,
		"null":              "null",
	} {
		if checkEvent([]byte(text)) == nil {
			t.Errorf("%s: got no error, want one", name)
		}
	}
}

// A crash can leave any prefix of an event, followed by nothing or by NUL bytes.
func TestCheckEventFindsEveryTruncation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cut := rapid.IntRange(0, len(event)-1).Draw(t, "cut")
		nul := rapid.IntRange(0, len(event)-cut).Draw(t, "nul")
		if checkEvent([]byte(event[:cut]+strings.Repeat("\x00", nul))) == nil {
			t.Errorf("%d bytes and %d NUL bytes: got no error, want one", cut, nul)
		}
	})
}

func FuzzCheckEvent(f *testing.F) {
	for _, seed := range []string{event, event[:100], "", "\x00\x00", "{}", event + event} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if checkEvent(text) != nil {
			return
		}
		// A valid event has what MinIO's target needs in order to send it.
		var e struct {
			EventName string
			S3        struct{ Object struct{ Key string } }
		}
		if err := json.Unmarshal(text, &e); err != nil {
			t.Fatalf("decode %q, which checkEvent accepts: %v", text, err)
		}
		key := e.S3.Object.Key
		if _, err := url.QueryUnescape(key); err != nil || key == "" {
			t.Fatalf("checkEvent accepts %q, whose key is not valid (%v)", text, err)
		}
		if !strings.HasPrefix(e.EventName, "s3:") {
			t.Fatalf("checkEvent accepts %q, whose event name is not valid", text)
		}
	})
}

func TestCheck(t *testing.T) {
	root := t.TempDir()
	queue := filepath.Join(root, "queue")
	files := map[string]string{
		"minio-nats-CREATED_DURABLE/1.event":  event,
		"minio-nats-CREATED_DURABLE/2.event":  event[:50],
		"minio-nats-CREATED_DURABLE/3.event":  "",
		"minio-nats-REMOVED_DURABLE/1.event":  "\x00\x00",
		"minio-nats-REMOVED_DURABLE/4.event":  event,
		"minio-nats-REMOVED_DURABLE/note.txt": event,
	}
	check := func(t *testing.T) []Damaged {
		t.Helper()
		for name, text := range files {
			path := filepath.Join(queue, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		damaged, err := Check(queue)
		if err != nil || len(damaged) != 4 {
			t.Fatalf("got %v and error %v, want 4 damaged events", damaged, err)
		}
		return damaged
	}
	t.Run("moves damaged events only", func(t *testing.T) {
		damaged := check(t)
		want := []string{"minio-nats-CREATED_DURABLE/1.event", "minio-nats-REMOVED_DURABLE/4.event"}
		if got := list(t, queue); !slices.Equal(got, want) {
			t.Errorf("got %v in the queue, want %v", got, want)
		}
		for _, d := range damaged {
			name, _ := filepath.Rel(queue+"-bad", d.Path)
			if got, err := os.ReadFile(d.Path); err != nil || string(got) != files[name] {
				t.Errorf("%s: got content %q and error %v, want %q", name, got, err, files[name])
			}
		}
	})
	t.Run("never replaces an event that it moved before", func(t *testing.T) {
		check(t)
		if got := list(t, queue+"-bad"); len(got) != 8 {
			t.Errorf("got damaged events %v, want 8", got)
		}
	})
	t.Run("accepts a missing folder", func(t *testing.T) {
		damaged, err := Check(filepath.Join(root, "none"))
		if err != nil || len(damaged) > 0 {
			t.Errorf("got %v and error %v, want no damaged events", damaged, err)
		}
	})
}

// A file can vanish after its folder was listed, for example because somebody removes it.
func TestCheckIgnoresFilesThatVanish(t *testing.T) {
	queue := filepath.Join(t.TempDir(), "queue")
	vanished := filepath.Join(queue, "minio-nats-CREATED_DURABLE", "1.event")
	if found, err := checkFile(queue, vanished); found != nil || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v and error %v, want an error that the walk ignores", found, err)
	}
	// The walk itself, while the files are removed.
	if err := os.MkdirAll(filepath.Dir(vanished), 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		path := filepath.Join(filepath.Dir(vanished), strconv.Itoa(i)+".event")
		if err := os.WriteFile(path, []byte(event), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	removed := make(chan error)
	go func() { removed <- os.RemoveAll(queue) }()
	if damaged, err := Check(queue); err != nil || len(damaged) > 0 {
		t.Errorf("got %v and error %v, want neither", damaged, err)
	}
	if err := <-removed; err != nil {
		t.Fatal(err)
	}
}

func list(t *testing.T, root string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			name, _ := filepath.Rel(root, path)
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
