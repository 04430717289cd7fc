//go:build containers

package containers

import (
	"os"
	"strings"
	"testing"
	"time"
)

// The target ocr has tesseract and the languages of .env, and upgrades keep it.
func TestOCR(t *testing.T) {
	d := setup(t)
	restore := setting(t, "INTRAY_TARGET", "ocr")
	setting(t, "OCR_LANGUAGES", "deu+eng")
	t.Cleanup(func() {
		restore()
		run(t, "docker compose up --build --detach")
		waitHealthy(t)
	})
	run(t, "docker compose up --build --detach")
	waitHealthy(t)
	languages := run(t, "docker compose exec --no-TTY consumers tesseract --list-langs")
	for _, want := range []string{"deu", "eng"} {
		if !strings.Contains(languages, "\n"+want+"\n") {
			t.Errorf("got languages\n%s\nwant %s", languages, want)
		}
	}
	c, err := d.signIn()
	if err != nil {
		t.Fatal(err)
	}
	picture, err := os.ReadFile("docs/images/document-light.png")
	if err != nil {
		t.Fatal(err)
	}
	waitClassified(t, c, uploadAll(t, c, 1, 1, func(int) (string, string, []byte) {
		return "screen.png", "image/png", picture
	}), 2*time.Minute)
}
