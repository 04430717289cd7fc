//go:build containers

package containers

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The commands of the runbook must bring back every document of the backup.
func TestBackupAndRestore(t *testing.T) {
	d := setup(t)
	c, err := d.signIn()
	if err != nil {
		t.Fatal(err)
	}
	runbook, err := os.ReadFile("docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(runbook), "\n### Backup and restore in containers\n")
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(section, 2)
	if !found || len(blocks) != 2 {
		t.Fatalf("got %d blocks of commands in the runbook, want 2", len(blocks))
	}
	kept := uploadAll(t, c, 20, 4, note)
	waitClassified(t, c, kept, time.Minute)
	backup := run(t, "%s\necho \"backup=$backup\"", blocks[0][1])
	folder := regexp.MustCompile(`(?m)^backup=(\S+)$`).FindStringSubmatch(backup)
	if folder == nil {
		t.Fatalf("the backup printed\n%s\nwant its folder", backup)
	}
	lost := uploadAll(t, c, 1, 1, note)
	waitClassified(t, c, lost, time.Minute)

	began := time.Now()
	run(t, "backup=%s\n%s", folder[1], blocks[1][1])
	waitHealthy(t)
	t.Logf("the restore took %s", seconds(began))
	if c, err = d.signIn(); err != nil {
		t.Fatal(err)
	}
	waitClassified(t, c, kept, time.Minute)
	for _, id := range kept {
		var download struct {
			URL string `json:"url"`
		}
		if err := c.call("GET", c.api+"/api/documents/"+id+"/download-url", nil, &download); err != nil {
			t.Fatalf("download %s: %v", id, err)
		}
		resp, err := c.http.Get(download.URL)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Errorf("download %s: got status %d, want 200", id, resp.StatusCode)
		}
	}
	if err := c.call("GET", c.api+"/api/documents/"+lost[0], nil, nil); err == nil {
		t.Error("got the document that was uploaded after the backup, want it missing")
	}
}
