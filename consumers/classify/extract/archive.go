package extract

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

const (
	// maxDirectory is the number of bytes that are read to list an archive: enough for more than
	// 50,000 entries.
	maxDirectory = 4 << 20
	// maxInflated is the number of bytes that are decompressed from an archive, of all parts
	// together. Reading stops earlier when there is enough text.
	maxInflated = 64 << 20
)

// archive is a zip file whose parts are read one at a time. It holds a context because it exists
// only during one call.
type archive struct {
	ctx    context.Context
	listed []*zip.File // in the order of the list
	files  map[string]*zip.File
	// folded are the files by the names that foldName returns.
	folded map[string]*zip.File
	left   int64 // bytes that may still be decompressed
	// embed is called for each embedded file. ok is false if the file exceeds the limits.
	embed func(file) (ok bool)
	// isRepaired is true if the list of the parts was damaged. Parts may be missing.
	isRepaired bool
}

// errDamagedArchive is the error of a damaged archive.
var errDamagedArchive = fmt.Errorf("%w: damaged zip archive", ErrBroken)

// openArchive reads the list of the parts in src. If it is damaged and the archive is in memory, it
// looks for the parts themselves.
func openArchive(ctx context.Context, src *source) (*archive, error) {
	directory := &budgetReaderAt{r: src, ctx: ctx, left: maxDirectory}
	listed, err := zip.NewReader(directory, src.size)
	repaired := []byte(nil)
	if (err != nil || isCutOff(src.content)) && ctx.Err() == nil && directory.left >= 0 {
		if repaired = repairArchive(ctx, src.content); repaired != nil {
			directory = &budgetReaderAt{r: bytes.NewReader(repaired), ctx: ctx, left: maxDirectory}
			listed, err = zip.NewReader(directory, int64(len(repaired)))
		}
	}
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("list archive: %w", context.Cause(ctx))
	case directory.left < 0:
		return nil, fmt.Errorf("%w: list of the archive exceeds %d bytes", ErrBroken, maxDirectory)
	case err != nil:
		return nil, errDamagedArchive
	}
	directory.listed = true
	a := &archive{
		ctx: ctx, left: maxInflated, embed: func(file) bool { return true }, listed: listed.File,
		isRepaired: repaired != nil,
		files:      make(map[string]*zip.File, len(listed.File)),
		folded:     make(map[string]*zip.File, len(listed.File)),
	}
	for _, f := range listed.File {
		if _, duplicate := a.files[f.Name]; !duplicate {
			a.files[f.Name] = f
		}
		if name := foldName(f.Name); a.folded[name] == nil {
			a.folded[name] = f
		}
	}
	return a, nil
}

// readArchive reads a document that is a zip archive, or the files in an archive that is attached
// to a document.
func (r *reading) readArchive(
	ctx context.Context, d document, k kind,
) (_ kind, pages int, err error) {
	err = r.withSource(ctx, d, func(ctx context.Context, src *source) error {
		a, err := openArchive(ctx, src)
		if err != nil {
			return err
		}
		a.embed = r.embed
		k, pages, err = a.document(ctx, k, r.text)
		if r.depth > 0 && k == kindZip && !a.has(contentTypes) && errors.Is(err, ErrUnsupported) {
			err = a.embedFiles(r.room(), r.text)
		}
		if a.isRepaired {
			r.text.incomplete = true
			if errors.Is(err, ErrUnsupported) { // the part that shows what it is may be missing
				err = errDamagedArchive
			}
		}
		return err
	})
	return k, pages, err
}

// document reads the archive into text and returns the kind of the document. guessed is the
// kind that the first bytes indicate; it is returned if the archive is not a document.
func (a *archive) document(
	ctx context.Context, guessed kind, text *text,
) (found kind, pages int, err error) {
	media, err := a.mediaType()
	if err != nil {
		return guessed, 0, err
	}
	odf, isODF := strings.CutPrefix(media, openDocumentPrefix)
	switch {
	case isODF && openDocuments[odf]:
		found = kind{media, formatOpenDocument}
		err = a.readOpenDocument(odf, text)
	case media == kindEPUB.name,
		media == "" && a.has("META-INF/container.xml") && !a.has("content.xml"):
		found = kindEPUB
		err = a.readEPUB(ctx, text)
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
			pages, err = a.readSlides(main, text)
		default:
			return guessed, 0, fmt.Errorf("%w: detected %s", ErrUnsupported, guessed.name)
		}
	}
	text.incomplete = text.incomplete || text.full()
	return found, pages, err
}

// budgetReaderAt limits the number of bytes that are read until listed is set.
type budgetReaderAt struct {
	r      io.ReaderAt
	ctx    context.Context
	left   int64
	listed bool
}

func (b *budgetReaderAt) ReadAt(p []byte, offset int64) (int, error) {
	if offset < 0 { // the list has an offset of more than 63 bits
		return 0, errDamagedArchive
	}
	if !b.listed {
		if b.left -= int64(len(p)); b.left < 0 {
			return 0, errors.New("list of the archive exceeds the limit")
		}
	}
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.r.ReadAt(p, offset)
}

// has reports whether the archive has a part of this name.
func (a *archive) has(name string) bool { return a.file(name) != nil }

// file returns the part of this name, or nil. Names that differ only in what foldName removes are
// equal.
func (a *archive) file(name string) *zip.File {
	if f := a.files[name]; f != nil {
		return f
	}
	return a.folded[foldName(name)]
}

// foldName returns a name of a part in the form in which names are compared (ECMA-376-2, 6.2.2):
// in lower case and without escape sequences. It also accepts backslashes, and a slash or dot at
// the beginning, which some programs write.
func foldName(name string) string {
	name = strings.ReplaceAll(unescapeReference(name), `\`, "/")
	return strings.ToLower(strings.TrimPrefix(path.Clean("/"+name), "/"))
}

// read calls readPart with the content of a part. It returns an ErrBroken if the part is missing.
func (a *archive) read(name string, readPart func(io.Reader) error) error {
	f := a.file(name)
	if f == nil {
		return fmt.Errorf("%w: part of the archive is missing", ErrBroken)
	}
	if f.Flags&1 != 0 { // PKWARE's APPNOTE.TXT, 4.4.4
		return fmt.Errorf("%w: password-protected zip archive", ErrEncrypted)
	}
	content, err := f.Open()
	if err != nil {
		return a.wrapError(err)
	}
	defer content.Close()
	return a.wrapError(readPart(&partReader{archive: a, r: content}))
}

// parse reads a part as XML.
func (a *archive) parse(name string, h xmlHandler) error {
	return a.read(name, func(r io.Reader) error { return parseXML(r, h) })
}

// wrapError returns the error for err, which occurred while a part was read: the cause of the
// context if the context is done, an ErrBroken if the archive is damaged, and err itself otherwise.
func (a *archive) wrapError(err error) error {
	var corrupt flate.CorruptInputError
	switch {
	case err == nil:
		return nil
	case a.ctx.Err() != nil:
		return fmt.Errorf("read archive: %w", context.Cause(a.ctx))
	case errors.Is(err, zip.ErrFormat), errors.Is(err, zip.ErrAlgorithm),
		errors.Is(err, zip.ErrChecksum), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, io.EOF), errors.As(err, &corrupt):
		return errDamagedArchive
	}
	// err wraps one of the package's errors already, or it is an error of the storage, which the
	// source has recorded.
	return err
}

// partReader reads a part. It limits the bytes that are decompressed from the whole archive.
type partReader struct {
	archive *archive
	r       io.Reader
}

func (p *partReader) Read(b []byte) (int, error) {
	if err := p.archive.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := p.r.Read(b)
	if p.archive.isRepaired && errors.Is(err, io.ErrUnexpectedEOF) { // the part that was cut off
		err = io.EOF
	}
	if p.archive.left -= int64(n); p.archive.left < 0 {
		return 0, fmt.Errorf("%w: archive decompresses to more than %d bytes", ErrBroken, maxInflated)
	}
	return n, err
}

// relationships returns the relationships of a part of an Office Open XML package by their IDs
// (ECMA-376-2, 9.3). A part may have none. The name "" means the package itself.
func (a *archive) relationships(part string) (map[string]relationship, error) {
	folder, file := path.Split(part)
	name := folder + "_rels/" + file + ".rels"
	found := map[string]relationship{}
	if !a.has(name) {
		return found, nil
	}
	err := a.parse(name, xmlHandler{
		start: func(element string, attributes func() map[string]string) {
			if element != "relationship" {
				return
			}
			attrs := attributes()
			kind := attrs["type"]
			found[attrs["id"]] = relationship{
				kind:   kind[strings.LastIndexByte(kind, '/')+1:],
				target: resolve(folder, attrs["target"]),
			}
		},
		end: func(string) {}, text: func(string) {},
		done: func() bool { return len(found) >= maxRelationships },
	})
	return found, err
}

// maxRelationships is the number of relationships of a part that are read.
const maxRelationships = 10_000

// relationship is a reference from one part to another.
type relationship struct {
	kind   string // the last element of the URL of its type, such as "officeDocument"
	target string // the name of the other part
}

// resolve returns the name of the part that a reference in folder refers to.
func resolve(folder, reference string) string {
	reference = strings.ReplaceAll(reference, `\`, "/")
	if strings.HasPrefix(reference, "/") {
		folder = ""
	}
	return strings.TrimPrefix(path.Join("/", folder, reference), "/")
}
