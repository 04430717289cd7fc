package gateway

import (
	"encoding/xml"
	"net/http"
	"strconv"
)

// writeError writes an error in the XML format of the S3 API, so that clients can parse it like one
// from MinIO. It allows pages of any origin to read the error. Otherwise the browser would hide it
// and report a network error.
func writeError(w http.ResponseWriter, r *http.Request, status int, code, message string) {
	body, err := xml.Marshal(struct {
		XMLName xml.Name `xml:"Error"`
		Code    string
		Message string
	}{Code: code, Message: message})
	if err != nil {
		panic(err) // cannot happen: a struct of strings can always be marshaled
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
