package local

import (
	"encoding/json"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// event is what MinIO queued for a PUT.
const event = `{"eventVersion":"2.0","eventSource":"minio:s3","awsRegion":"","eventTime":"2026-02-12T20:18:48.123Z",` +
	`"eventName":"s3:ObjectCreated:Put","userIdentity":{"principalId":"upload"},"requestParameters":{"principalId":"upload","region":"",` +
	`"sourceIPAddress":"127.0.0.1"},"responseElements":{"x-amz-id-2":"dd","x-amz-request-id":"18"},"s3":{"s3SchemaVersion":"1.0",` +
	`"configurationId":"Config","bucket":{"name":"intray","ownerIdentity":{"principalId":"upload"},"arn":"arn:aws:s3:::intray"},` +
	`"object":{"key":"documents%2F0198c%2Fa+b","size":3,"eTag":"acbd","contentType":"text/plain","userMetadata":{"content-type":"text/plain"},` +
	`"sequencer":"18ABC"}},"source":{"host":"127.0.0.1","port":"","userAgent":"curl"}}`

func TestCheckEvent(t *testing.T) {
	if err := checkEvent([]byte(event)); err != nil {
		t.Errorf("a good event: %v", err)
	}
	for what, text := range map[string]string{
		"empty":             "",
		"NUL bytes":         strings.Repeat("\x00", len(event)),
		"NUL bytes at end":  event[:200] + strings.Repeat("\x00", 100),
		"torn":              event[:len(event)-1],
		"white space":       " \n",
		"another value":     "[]",
		"no key":            strings.Replace(event, "documents%2F0198c%2Fa+b", "", 1),
		"key not escaped":   strings.Replace(event, "%2F", "%zz", 1),
		"size not a number": strings.Replace(event, `"size":3`, `"size":"3"`, 1),
		"no event name":     strings.Replace(event, "s3:ObjectCreated:Put", "", 1),
		"two":               event + event,
		"null":              "null",
	} {
		if checkEvent([]byte(text)) == nil {
			t.Errorf("%s: no error", what)
		}
	}
}

// Whatever length of an event a crash leaves, the rest lost or NUL, is found.
func TestCheckEventFindsEveryTear(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cut := rapid.IntRange(0, len(event)-1).Draw(t, "cut")
		nul := rapid.IntRange(0, len(event)-cut).Draw(t, "nul")
		if checkEvent([]byte(event[:cut]+strings.Repeat("\x00", nul))) == nil {
			t.Errorf("%d bytes and %d NUL: no error", cut, nul)
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
		// What passes is what MinIO's target needs in order to send it.
		var e struct {
			EventName string
			S3        struct{ Object struct{ Key string } }
		}
		if err := json.Unmarshal(text, &e); err != nil {
			t.Fatalf("passed %q: %v", text, err)
		}
		if _, err := url.QueryUnescape(e.S3.Object.Key); err != nil || e.S3.Object.Key == "" || !strings.HasPrefix(e.EventName, "s3:") {
			t.Fatalf("passed %q", text)
		}
	})
}

func TestCheckQueueSetsAside(t *testing.T) {
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
	write := func() {
		for name, text := range files {
			path := filepath.Join(queue, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	write()
	bad, err := CheckQueue(queue)
	if err != nil || len(bad) != 4 {
		t.Fatalf("set aside %v, %v, want four", bad, err)
	}
	if got, want := list(t, queue), []string{"minio-nats-CREATED_DURABLE/1.event", "minio-nats-REMOVED_DURABLE/4.event"}; !slices.Equal(got, want) {
		t.Errorf("left %v, want %v", got, want)
	}
	for _, b := range bad {
		name, _ := filepath.Rel(queue+"-bad", b.Path)
		if text, err := os.ReadFile(b.Path); err != nil || string(text) != files[name] {
			t.Errorf("%s set aside as %q, %v", name, text, err)
		}
	}
	// The same names once more: the first ones stay.
	write()
	if bad, err = CheckQueue(queue); err != nil || len(bad) != 4 {
		t.Fatalf("set aside %v, %v, want four more", bad, err)
	}
	if got := list(t, queue+"-bad"); len(got) != 8 {
		t.Errorf("%v are aside, want eight", got)
	}
	if bad, err = CheckQueue(filepath.Join(root, "none")); err != nil || len(bad) > 0 {
		t.Errorf("no folder: %v, %v", bad, err)
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
