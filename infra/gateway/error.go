package gateway

import (
	"encoding/xml"
	"net/http"
	"strconv"
)

// writeError answers as MinIO would: the XML error of the S3 API, which its clients know how to read. A page of any
// origin may read it too; a browser would hide it otherwise and show a network error.
func writeError(w http.ResponseWriter, r *http.Request, status int, code, message string) {
	body, err := xml.Marshal(struct {
		XMLName xml.Name `xml:"Error"`
		Code    string
		Message string
	}{Code: code, Message: message})
	if err != nil {
		panic(err) // three strings always marshal
	}
	body = append([]byte(xml.Header), body...)
	header := w.Header()
	header.Set("Access-Control-Allow-Origin", "*")
	header.Set("Content-Type", "application/xml")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
}
