// Package web serves the page. Its source is in src, and the built files in dist are embedded in
// the program, so that building the program requires only Go. After a change of the source,
// `npm run build` builds them again; CI compares.
//
// The files are compressed when they are built. Names below assets/ contain a hash of the content,
// so browsers never ask for them again. Every other path without an extension is a view of the
// page, which index.html displays.
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"
)

//go:embed all:dist
var dist embed.FS

const (
	index  = "index.html"
	assets = "assets/"
)

// mediaTypes maps file extensions to media types. Package mime is not used because its result
// depends on the system's table of types.
var mediaTypes = map[string]string{
	".css":         "text/css; charset=utf-8",
	".html":        "text/html; charset=utf-8",
	".ico":         "image/vnd.microsoft.icon",
	".js":          "text/javascript; charset=utf-8",
	".json":        "application/json",
	".png":         "image/png",
	".svg":         "image/svg+xml",
	".txt":         "text/plain; charset=utf-8",
	".webmanifest": "application/manifest+json",
	".woff2":       "font/woff2",
}

// Config configures New.
type Config struct {
	// Gateway is the URL of the gateway that presigned URLs are signed for.
	Gateway *url.URL
	// Issuer is the URL of the OpenID Connect provider with which the page signs users in. It is
	// empty if there is none.
	Issuer string
}

// Page serves the files of the page. New creates it.
type Page struct {
	files  map[string]*file // by path below dist
	policy string
}

// file is a built file. Its content is plain under the empty coding.
type file struct {
	contentType, cacheControl, hash string
	contents                        map[string][]byte // by content coding
}

var _ http.Handler = (*Page)(nil)

// New returns the page, which is allowed to contact only its own origin and those in c.
func New(c Config) (*Page, error) {
	policy, err := contentPolicy(c)
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	built, err := fs.Sub(dist, "dist")
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	files, err := readFiles(built)
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	return &Page{files: files, policy: policy}, nil
}

// readFiles reads the built files. FILE.br and FILE.gz are the compressed content of FILE.
func readFiles(built fs.FS) (map[string]*file, error) {
	files := make(map[string]*file)
	err := fs.WalkDir(built, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || codingOf(name) != "" {
			return err
		}
		contentType, ok := mediaTypes[path.Ext(name)]
		if !ok {
			return fmt.Errorf("%s: the media type of this extension is unknown", name)
		}
		f := &file{contentType: contentType, cacheControl: "no-cache"}
		if strings.HasPrefix(name, assets) {
			f.cacheControl = "public, max-age=31536000, immutable"
		}
		if f.contents, err = readContents(built, name); err != nil {
			return err
		}
		sum := sha256.Sum256(f.contents[""])
		f.hash = hex.EncodeToString(sum[:8])
		files[name] = f
		return nil
	})
	if err == nil && files[index] == nil {
		err = errors.New(index + " is missing")
	}
	return files, err
}

// readContents returns the content of a file, plain and in each coding that it was built in.
func readContents(built fs.FS, name string) (map[string][]byte, error) {
	plain, err := fs.ReadFile(built, name)
	if err != nil {
		return nil, err
	}
	contents := map[string][]byte{"": plain}
	for _, c := range codings {
		content, err := fs.ReadFile(built, name+c.extension)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it would not be smaller
		}
		if err != nil {
			return nil, err
		}
		contents[c.name] = content
	}
	return contents, nil
}

// views matches the paths of the views of the page (viewOf in src/app.tsx).
var views = regexp.MustCompile(`^/(needs-you|topics|account|administration|documents/[^/]+)?$`)

// find returns the file that displays path, or nil if there is none. view reports whether it
// displays a view. A path that is none displays the page, too, which then says so.
func (p *Page) find(path string) (f *file, view bool) {
	name := strings.TrimPrefix(path, "/")
	if f, ok := p.files[name]; ok {
		return f, true
	}
	last := name[strings.LastIndexByte(name, '/')+1:]
	if strings.HasPrefix(name, assets) || strings.Contains(last, ".") {
		return nil, false
	}
	return p.files[index], views.MatchString(path)
}

// ServeHTTP responds to GET and HEAD requests.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", p.policy)
	for name, value := range securityHeaders {
		h.Set(name, value)
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	f, view := p.find(r.URL.Path)
	if f == nil {
		http.NotFound(w, r)
		return
	}
	coding := negotiate(r.Header.Values("Accept-Encoding"), f.contents)
	h.Set("Content-Type", f.contentType)
	h.Set("Cache-Control", f.cacheControl)
	h.Set("Vary", "Accept-Encoding")
	if coding != "" {
		h.Set("Content-Encoding", coding)
	}
	if !view {
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write(f.contents[coding]) // not for HEAD; the client may have gone
		return
	}
	h.Set("ETag", `"`+f.hash+coding+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.contents[coding]))
}
