package api

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"fmt"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
)

// docs contains the page that displays the contract and the files of Swagger UI that it uses.
// docs/update.sh updates the latter.
//
//go:embed docs/index.html docs/page.css docs/page.js docs/swagger-ui
var docs embed.FS

// docsFiles maps names below /api/docs/ to embedded files. The page itself has the empty name.
var docsFiles = map[string]string{
	"":                     "docs/index.html",
	"page.css":             "docs/page.css",
	"page.js":              "docs/page.js",
	"swagger-ui.css":       "docs/swagger-ui/swagger-ui.css",
	"swagger-ui-bundle.js": "docs/swagger-ui/swagger-ui-bundle.js",
	// The licenses of Swagger UI and of the libraries in its bundle must be served with it.
	"LICENSE.txt":                      "docs/swagger-ui/LICENSE",
	"NOTICE.txt":                       "docs/swagger-ui/NOTICE",
	"swagger-ui-bundle.js.LICENSE.txt": "docs/swagger-ui/swagger-ui-bundle.js.LICENSE.txt",
}

// docsTypes maps file extensions to media types. Package mime is not used because its result
// depends on the system's table of types.
var docsTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	"":      "text/plain; charset=utf-8",
	".txt":  "text/plain; charset=utf-8",
}

// docsPolicy is the Content-Security-Policy of the page. It lets the page load resources only from
// its own origin, whatever a later version of Swagger UI tries to load. Swagger UI needs styles in
// attributes and icons in data: URLs.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; " +
	"img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// registerDocs adds the routes of the documentation page and its files, GET /api/docs and below.
// They require no token, because /api/openapi.yaml has the same content and requires none.
func registerDocs(e *echo.Echo) error {
	for name, file := range docsFiles {
		handler, err := docsHandler(file)
		if err != nil {
			return fmt.Errorf("read the API's documentation: %w", err)
		}
		e.GET(strings.TrimSuffix("/api/docs/"+name, "/"), handler)
	}
	return nil
}

// docsHandler returns the handler of one file. It serves the file compressed if the client accepts
// gzip. Swagger UI takes 1.7 MB, or 0.5 MB compressed.
func docsHandler(file string) (echo.HandlerFunc, error) {
	plain, err := docs.ReadFile(file)
	if err != nil {
		return nil, err
	}
	// Compress at the first request, because compressing takes longer than everything else at startup.
	compressed := sync.OnceValues(func() ([]byte, error) { return gzipped(plain) })
	etag := fmt.Sprintf("%x", sha256.Sum256(plain))[:16]
	return func(c echo.Context) (err error) {
		h := c.Response().Header()
		h.Set("Content-Type", docsTypes[path.Ext(file)])
		h.Set("Content-Security-Policy", docsPolicy)
		h.Set("Cache-Control", "no-cache") // cached, but revalidated with the ETag each time
		h.Set("Vary", "Accept-Encoding")
		content, encoding := plain, ""
		if strings.Contains(c.Request().Header.Get("Accept-Encoding"), "gzip") {
			encoding = "gzip"
			if content, err = compressed(); err != nil {
				return fmt.Errorf("compress %s: %w", file, err)
			}
			h.Set("Content-Encoding", encoding)
		}
		h.Set("ETag", `"`+etag+encoding+`"`)
		http.ServeContent(c.Response(), c.Request(), "", time.Time{}, bytes.NewReader(content))
		return nil
	}, nil
}

func gzipped(plain []byte) ([]byte, error) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	err := w.Close()
	return b.Bytes(), err
}
