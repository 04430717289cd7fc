package api_test

import (
	"net/http"
	"testing"
	"time"

	"intray/api"
	"intray/schema"
)

// TestOnlyCountedDocumentsCanBeDownloaded keeps the object in storage and changes the status only.
func TestOnlyCountedDocumentsCanBeDownloaded(t *testing.T) {
	b := setup(t)
	d := b.alice.confirmed("a.txt", []byte("x"))
	b.exec(`UPDATE documents SET uploaded_at = now()`)
	reasons := map[schema.Status]schema.Reason{
		schema.StatusFailed:      schema.ReasonNoText,
		schema.StatusRejected:    schema.ReasonSizeMismatch,
		schema.StatusQuarantined: schema.ReasonContentChanged,
	}
	for _, status := range schema.Statuses {
		t.Run(string(status), func(t *testing.T) {
			b := b.in(t)
			charged := 0
			if status.Counted() {
				charged = 1
			}
			b.exec(`UPDATE documents SET status = $1, reason = $2, charged_bytes = $3`,
				status, reasons[status], charged)
			got := b.alice.get(path(d) + "/download-url")
			if !status.Counted() {
				got.fails(schema.CodeNotDownloadable).says(string(status))
				return
			}
			download := as[api.DownloadURL](got.is(200))
			checkExpiry(t, "the download URL", download.ExpiresAt, 5*time.Minute)
			resp, err := b.alice.http.Get(download.URL)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("GET of the file: got status %d, want 200", resp.StatusCode)
			}
		})
	}
}
