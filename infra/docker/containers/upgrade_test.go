//go:build containers

package containers

import (
	"os"
	"regexp"
	"testing"
	"time"
)

// An upgrade from an earlier commit must lose no acknowledged upload. check.sh runs this test
// alone, with the argument `upgrade`: the working directory then has the files of that commit, and
// the archive beside it those of this one.
func TestUpgrade(t *testing.T) {
	d := setup(t)
	c, err := d.signIn()
	if err != nil {
		t.Fatal(err)
	}
	c.http.Timeout = 20 * time.Second
	l := startLoad(c, 4)
	l.more(t, 50)
	// What `git pull` does.
	run(t, "find . -mindepth 1 -maxdepth 1 ! -name .env -exec rm -r {} +\n"+
		"tar --extract --file ../upgrade.tar")
	text, err := os.ReadFile("docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	command := regexp.MustCompile("`git pull && (docker compose up [^`]*)`").FindSubmatch(text)
	if command == nil {
		t.Fatal("got no command for an upgrade in the runbook")
	}
	began := time.Now()
	run(t, "%s", command[1])
	waitHealthy(t)
	t.Logf("the upgrade took %s", seconds(began))
	l.more(t, 50)
	ids := l.end()
	if c, err = d.signIn(); err != nil {
		t.Fatal(err)
	}
	waitClassified(t, c, ids, 3*time.Minute)
	checkStored(t, c, ids)
	t.Logf("%d uploads acknowledged and classified, %d requests failed", len(ids), l.failed)
}
