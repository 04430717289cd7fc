//go:build containers

package containers

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// commands returns the first n blocks of commands in a section (###) of a document in docs.
func commands(t *testing.T, document, heading string, n int) []string {
	t.Helper()
	text, err := os.ReadFile("docs/" + document)
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n### "+heading+"\n")
	section, _, _ = strings.Cut(section, "\n### ")
	var blocks []string
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(section, n) {
		blocks = append(blocks, block[1])
	}
	if len(blocks) != n {
		t.Fatalf("%s: got %d blocks of commands in %s, want %d", heading, len(blocks), document, n)
	}
	return blocks
}

// The commands of the runbook must bring back every document of the backup.
func TestBackupAndRestore(t *testing.T) {
	d := setup(t)
	c, err := d.signIn()
	if err != nil {
		t.Fatal(err)
	}
	blocks := commands(t, "runbook.md", "Backup and restore in containers", 2)
	kept := uploadAll(t, c, 20, 4, note)
	waitClassified(t, c, kept, time.Minute)
	backup := run(t, "%s\necho \"backup=$backup\"", blocks[0])
	folder := regexp.MustCompile(`(?m)^backup=(\S+)$`).FindStringSubmatch(backup)
	if folder == nil {
		t.Fatalf("the backup printed\n%s\nwant its folder", backup)
	}
	lost := uploadAll(t, c, 1, 1, note)
	waitClassified(t, c, lost, time.Minute)

	began := time.Now()
	run(t, "backup=%s\n%s", folder[1], blocks[1])
	waitHealthy(t)
	t.Logf("the restore took %s", seconds(began))
	if c, err = d.signIn(); err != nil {
		t.Fatal(err)
	}
	waitClassified(t, c, kept, time.Minute)
	for _, id := range kept {
		if _, err := c.download(id); err != nil {
			t.Errorf("download %s: %v", id, err)
		}
	}
	if err := c.call("GET", c.api+"/api/documents/"+lost[0], nil, nil); err == nil {
		t.Error("got the document that was uploaded after the backup, want it missing")
	}
}
