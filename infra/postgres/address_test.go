package postgres

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"
)

// describe returns the parts of an address that a test compares.
func describe(c pq.Config) string {
	text := fmt.Sprintf("%s:%s@%s:%d", c.User, c.Password, c.Host, c.Port)
	for _, m := range c.Multi {
		text += fmt.Sprintf(",%s:%d", m.Host, m.Port)
	}
	return text + "/" + c.Database + " " + string(c.SSLMode) + " " + string(c.TargetSessionAttrs) +
		" " + c.ConnectTimeout.String()
}

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"postgres://u:p@h:1/d?sslmode=disable": "u:p@h:1/d disable  5s",
		"postgres://u:p@h1:1,h2:2/d?sslmode=disable": "u:p@h1:1,h2:2/d " +
			"disable read-write 5s",
		"postgresql://u:p%40,%2F@h1,h2:2,h3/d?sslmode=disable&connect_timeout=2": "u:p@,/@" +
			"h1:5432,h2:2,h3:5432/d disable read-write 2s",
		"postgres://u:p@[::1]:1,[::2]/d?sslmode=disable&target_session_attrs=any": "u:p@::1:1," +
			"::2:5432/d disable any 5s",
		"postgres://u:p@h1,h2/d?target_session_attrs=primary":    "u:p@h1:5432,h2:5432/d  primary 5s",
		"postgres://u:p@h1:1,h2:2":                               "u:p@h1:1,h2:2/  read-write 5s",
		"postgres://u:p@h1,h2/d?port=1,2":                        "u:p@h1:1,h2:2/d  read-write 5s",
		"host=h port=1 user=u password=p dbname=d":               "u:p@h:1/d   5s",
		"host=h1,h2 port=1,2 user=u password='p x' dbname=d":     "u:p x@h1:1,h2:2/d  read-write 5s",
		"host=h1,h2 user=u password=p dbname=d":                  "u:p@h1:5432,h2:5432/d  read-write 5s",
		"host=h1,h2 user=u password=p target_session_attrs=any":  "u:p@h1:5432,h2:5432/  any 5s",
		"host=h user=u password=p connect_timeout=0 port=1":      "u:p@h:1/   5s",
		"postgres://u:p@h:1/d?sslmode=disable&connect_timeout=0": "u:p@h:1/d disable  5s",
	} {
		a, err := parse(text)
		if err != nil {
			t.Errorf("%s: got error %v, want none", text, err)
			continue
		}
		if got := describe(a.config); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
		again, err := pq.NewConfig(a.text) // as the listener parses it
		if err != nil || again.FallbackApplicationName == "" ||
			again.TargetSessionAttrs != a.config.TargetSessionAttrs {
			t.Errorf("%s: got the text %s with error %v, want lib/pq to read the same", text, a.text, err)
		}
	}
	for _, text := range []string{
		"postgres://u:p@h1:x,h2:2/d", "postgres://u:p@h1:1:2,h2/d", "postgres://u:p@[::1,h2]:1/d",
		"postgres://u:p@h1:1,h2:70000/d", "host=h1,h2 port=1,2,3", "postgres://u:p@h:x/d",
	} {
		if a, err := parse(text); err == nil {
			t.Errorf("%s: got %s, want an error", text, describe(a.config))
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"postgres://u:secret@h:1/d?sslmode=disable", "postgres://u:secret@h1:1,[::1]:2/d?a=b#c",
		"host=h1,h2 port=1,2 password='secret'", "postgres://,", "postgresql://@[,]?",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := parse(text)
		if err != nil {
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("got error %v, want one without a part of the string", err)
			}
			return
		}
		if len(a.config.Multi) > 0 && a.config.TargetSessionAttrs == "" {
			t.Errorf("%q: got several hosts and no target_session_attrs", text)
		}
		if a.config.ConnectTimeout == 0 {
			t.Errorf("%q: got no connect_timeout, want %v", text, 5*time.Second)
		}
	})
}
