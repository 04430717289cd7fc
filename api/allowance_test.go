package api_test

import (
	"math"
	"net/http"
	"net/url"
	"strconv"
	"testing"

	"intray/api"
	"intray/infra/minio"
)

// Every upload URL lets the gateway limit the user's uploads in progress to twice what is left of
// the quota.
func TestUploadURLsContainAnAllowance(t *testing.T) {
	b := setup(t)
	b.exec(`UPDATE quotas SET limit_bytes = 100`)
	b.alice.confirmed("ten bytes", make([]byte, 10))
	user := b.alice.me().ID.String()
	check := func(name, address string, want int64) {
		t.Helper()
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		query := u.Query()
		got := [2]string{query.Get(minio.ParamUser), query.Get(minio.ParamAllowance)}
		if got != [2]string{user, strconv.FormatInt(want, 10)} {
			t.Errorf("%s: got %q, want user %s and %d bytes", name, got, user, want)
		}
	}
	check("one", b.alice.requestUpload("a.txt", 5).Upload.URL, 180)
	for i, r := range b.alice.requestUploads(
		item("b.txt", 60, "b"), item("c.txt", 20, ""), item("b.txt", 60, "b")) {
		check("of several, "+strconv.Itoa(i), r.Upload.URL, 180)
	}
	check("repeated", b.alice.requestUploads(item("b.txt", 60, "b"))[0].Upload.URL, 180)
	document, _ := b.alice.beginSmall("d.txt", 30)
	part := as[api.PartUpload](b.alice.signPart(document, 1).is(http.StatusOK))
	check("part", part.URL, 180)
	other, _ := b.alice.beginSmall("e.txt", 40)
	check("part besides another upload", as[api.PartUpload](
		b.alice.signPart(other, 1).is(http.StatusOK)).URL, 180)

	b.exec(`UPDATE quotas SET limit_bytes = 9223372036854775807`)
	check("unlimited", b.alice.requestUpload("f.txt", 5).Upload.URL, math.MaxInt64-1)
	b.exec(`UPDATE quotas SET limit_bytes = 5`)
	check("above the quota", b.alice.requestUploads(item("b.txt", 60, "b"))[0].Upload.URL, 0)
}
