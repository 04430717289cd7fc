package extract

import (
	"archive/zip"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

const (
	// maxDirectory bounds what is read to list an archive, in bytes: 50,000
	// entries and more.
	maxDirectory = 4 << 20
	// maxInflated bounds what is unpacked of an archive, in bytes, all parts
	// together. Reading ends earlier once there is enough text.
	maxInflated = 64 << 20
)

// archive is a zip file of which parts are read, one after the other.
type archive struct {
	ctx   context.Context // the call's own; an archive lives no longer
	files map[string]*zip.File
	left  int64 // of maxInflated
}

// openArchive lists the archive in src.
func openArchive(ctx context.Context, src *source) (*archive, error) {
	directory := &budgetReaderAt{r: src, ctx: ctx, left: maxDirectory}
	listed, err := zip.NewReader(directory, src.size)
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("list archive: %w", context.Cause(ctx))
	case directory.left < 0:
		return nil, fmt.Errorf("%w: the archive's list of contents is over %d bytes", ErrBroken, maxDirectory)
	case err != nil:
		return nil, fmt.Errorf("%w: damaged zip archive", ErrBroken)
	}
	directory.listed = true
	a := &archive{ctx: ctx, files: make(map[string]*zip.File, len(listed.File)), left: maxInflated}
	for _, f := range listed.File {
		if _, twice := a.files[f.Name]; !twice {
			a.files[f.Name] = f
		}
	}
	return a, nil
}

// document finds what kind of document the archive is, and reads it. guessed is
// the kind that its first bytes show, which is right for no document at all.
func (a *archive) document(ctx context.Context, guessed kind, text *text) (found kind, pages int, err error) {
	media, err := a.mediaType()
	if err != nil {
		return guessed, 0, err
	}
	odf, isODF := strings.CutPrefix(media, openDocumentPrefix)
	switch {
	case isODF && openDocuments[odf]:
		found = kind{media, formatOpenDocument}
		err = a.readOpenDocument(odf, text)
	case media == kindBook.name, media == "" && a.has("META-INF/container.xml") && !a.has("content.xml"):
		found = kindBook
		err = a.readBook(ctx, text)
	default:
		var main string
		if found, main, err = a.office(); err != nil {
			return guessed, 0, err
		}
		switch found.format {
		case formatWord:
			err = a.readWord(main, text)
		case formatSheet:
			err = a.readWorkbook(main, text)
		case formatSlides:
			pages, err = a.readSlides(text)
		default:
			return guessed, 0, fmt.Errorf("%w: found %s", ErrUnsupported, guessed.name)
		}
	}
	text.incomplete = text.incomplete || text.full()
	return found, pages, err
}

// budgetReaderAt bounds what is read until listed is set.
type budgetReaderAt struct {
	r      io.ReaderAt
	ctx    context.Context // the call's own
	left   int64
	listed bool
}

func (b *budgetReaderAt) ReadAt(p []byte, offset int64) (int, error) {
	if offset < 0 { // the list of contents names an offset beyond 63 bits
		return 0, fmt.Errorf("%w: damaged zip archive", ErrBroken)
	}
	if !b.listed {
		if b.left -= int64(len(p)); b.left < 0 {
			return 0, errors.New("over the budget")
		}
	}
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.r.ReadAt(p, offset)
}

// has reports whether there is such a part.
func (a *archive) has(name string) bool { return a.files[name] != nil }

// read calls with on the content of a part. A part that is not there is an
// archive that is broken.
func (a *archive) read(name string, with func(io.Reader) error) error {
	f := a.files[name]
	if f == nil {
		return fmt.Errorf("%w: a part of the archive is missing", ErrBroken)
	}
	if f.Flags&1 != 0 { // PKWARE's APPNOTE.TXT, 4.4.4
		return fmt.Errorf("%w: the archive needs a password", ErrEncrypted)
	}
	content, err := f.Open()
	if err != nil {
		return a.failed(err)
	}
	defer content.Close()
	return a.failed(with(&partReader{archive: a, r: content}))
}

// elements reads a part as XML.
func (a *archive) elements(name string, want elements) error {
	return a.read(name, func(r io.Reader) error { return readElements(r, want) })
}

// failed says whose fault an error of reading a part is.
func (a *archive) failed(err error) error {
	var corrupt flate.CorruptInputError
	switch {
	case err == nil:
		return nil
	case a.ctx.Err() != nil:
		return fmt.Errorf("read archive: %w", context.Cause(a.ctx))
	case errors.Is(err, zip.ErrFormat), errors.Is(err, zip.ErrAlgorithm), errors.Is(err, zip.ErrChecksum),
		errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.As(err, &corrupt):
		return fmt.Errorf("%w: damaged zip archive", ErrBroken)
	}
	return err // one of the reasons; what storage failed with, the source knows
}

// partReader reads one part within the archive's limits.
type partReader struct {
	archive *archive
	r       io.Reader
}

func (p *partReader) Read(b []byte) (int, error) {
	if err := p.archive.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := p.r.Read(b)
	if p.archive.left -= int64(n); p.archive.left < 0 {
		return 0, fmt.Errorf("%w: it unpacks to more than %d bytes", ErrBroken, maxInflated)
	}
	return n, err
}

// relationships reads the parts that a part of an Office Open XML package names,
// by id (ECMA-376-2, 9.3). There may be none.
func (a *archive) relationships(of string) (map[string]relationship, error) {
	folder, file := path.Split(of)
	name := folder + "_rels/" + file + ".rels"
	found := map[string]relationship{}
	if !a.has(name) {
		return found, nil
	}
	err := a.elements(name, elements{
		open: func(element string, attributes func() map[string]string) {
			if element != "relationship" {
				return
			}
			of := attributes()
			kind := of["type"]
			found[of["id"]] = relationship{kind: kind[strings.LastIndexByte(kind, '/')+1:], target: resolve(folder, of["target"])}
		},
		close: func(string) {}, text: func(string) {},
		done: func() bool { return len(found) >= maxRelationships },
	})
	return found, err
}

// maxRelationships bounds how many parts a part may name.
const maxRelationships = 10_000

// relationship names another part.
type relationship struct {
	kind   string // the last element of its type's URL, such as "officeDocument"
	target string // the part's name
}

// resolve is the name of the part that a reference within folder means.
func resolve(folder, reference string) string {
	if strings.HasPrefix(reference, "/") {
		folder = ""
	}
	return strings.TrimPrefix(path.Join("/", folder, reference), "/")
}
