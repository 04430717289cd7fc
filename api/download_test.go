package api_test

import (
	"net/http"
	"testing"
	"time"

	"intray/api"
	"intray/schema"
)

// TestOnlyCountedDocumentsHaveADownload: whatever lies at the key, a document in any
// other status gives no URL for it.
func TestOnlyCountedDocumentsHaveADownload(t *testing.T) {
	b := setup(t)
	d := b.alice.confirmed("a.txt", []byte("x"))
	b.exec(`UPDATE documents SET uploaded_at = now()`)
	reasons := map[schema.Status]schema.Reason{
		schema.StatusFailed: schema.ReasonNoText, schema.StatusRejected: schema.ReasonSizeMismatch, schema.StatusQuarantined: schema.ReasonContentChanged,
	}
	for _, status := range schema.Statuses {
		charged := 0
		if status.Counted() {
			charged = 1
		}
		b.exec(`UPDATE documents SET status = $1, reason = $2, charged_bytes = $3`, status, reasons[status], charged)
		a := b.alice.get(path(d) + "/download-url")
		if !status.Counted() {
			a.fails(schema.CodeNotDownloadable).says(string(status))
			continue
		}
		download := as[api.DownloadURL](a.is(200))
		if left := time.Until(download.ExpiresAt); left > 5*time.Minute || left < 4*time.Minute {
			t.Errorf("%s: the URL lives %s", status, left)
		}
		resp, err := b.alice.http.Get(download.URL)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", status, resp.StatusCode)
		}
	}
}
