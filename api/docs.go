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

// docs are a page that shows the contract, and the viewer that it uses
// (docs/update.sh).
//
//go:embed docs/index.html docs/page.css docs/page.js docs/swagger-ui
var docs embed.FS

// docsFiles are what is served under /api/docs/; the page itself has the name "".
var docsFiles = map[string]string{
	"": "docs/index.html", "page.css": "docs/page.css", "page.js": "docs/page.js",
	"swagger-ui.css":       "docs/swagger-ui/swagger-ui.css",
	"swagger-ui-bundle.js": "docs/swagger-ui/swagger-ui-bundle.js",
	// Its license goes with it, and those of what it is made of.
	"LICENSE.txt": "docs/swagger-ui/LICENSE", "NOTICE.txt": "docs/swagger-ui/NOTICE",
	"swagger-ui-bundle.js.LICENSE.txt": "docs/swagger-ui/swagger-ui-bundle.js.LICENSE.txt",
}

// docsTypes are the files' media types by extension; the system's table may differ.
var docsTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
	"": "text/plain; charset=utf-8", ".txt": "text/plain; charset=utf-8",
}

// docsPolicy lets the page load from its own origin and nowhere else, whatever a
// later viewer would like to. Swagger UI has styles in attributes, and icons in
// data: URLs.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// registerDocs adds GET /api/docs, the page, and its files. They need no token:
// they say what /api/openapi.yaml says.
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

// docsHandler answers with one file, compressed where the client takes it: the
// viewer has 1.7 MB, and 0.5 MB compressed.
func docsHandler(file string) (echo.HandlerFunc, error) {
	plain, err := docs.ReadFile(file)
	if err != nil {
		return nil, err
	}
	compressed := sync.OnceValues(func() ([]byte, error) { return gzipped(plain) }) // when first asked for: it takes longer than all else at the start
	etag := fmt.Sprintf("%x", sha256.Sum256(plain))[:16]
	return func(c echo.Context) (err error) {
		h := c.Response().Header()
		h.Set("Content-Type", docsTypes[path.Ext(file)])
		h.Set("Content-Security-Policy", docsPolicy)
		h.Set("Cache-Control", "no-cache") // asked again each time, and answered 304
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
