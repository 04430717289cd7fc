package api

import (
	"context"
	"encoding/hex"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"golang.org/x/text/unicode/norm"

	"intray/infra/minio"
	"intray/schema"
)

// uploadURLTTL is how long an upload URL is valid. It must be shorter than schema.ExpireAfter.
const uploadURLTTL = 15 * time.Minute

// maxFilename is the maximum length of a filename in characters. Filesystems commonly allow 255
// bytes or UTF-16 code units, so the name of every real file fits.
const maxFilename = 255

// CreateUploadURL creates a pending document and returns the URL to upload its file to.
func (s *server) CreateUploadURL(
	ctx context.Context, r CreateUploadURLRequestObject,
) (CreateUploadURLResponseObject, error) {
	d, err := s.newDocument(callerOf(ctx).id, *r.Body)
	if err != nil {
		return nil, err
	}
	d.IdempotencyKey = r.Params.IdempotencyKey
	stored, err := s.storeDocument(ctx, d)
	if err != nil {
		return nil, err
	}
	result, err := s.uploadURL(ctx, stored)
	if err != nil {
		return nil, &documentError{stored.requested(), err}
	}
	if result.Upload == nil {
		return repeatedUploadResponse{CreateUploadURL200JSONResponse(result), stored.requested()}, nil
	}
	return uploadURLResponse{CreateUploadURL201JSONResponse(result), stored.requested()}, nil
}

// uploadURLResponse is a response of CreateUploadURL with the document it concerns.
type uploadURLResponse struct {
	CreateUploadURL201JSONResponse
	requestDocument
}

// repeatedUploadResponse is the response of CreateUploadURL if the document already has its file.
type repeatedUploadResponse struct {
	CreateUploadURL200JSONResponse
	requestDocument
}

// uploadURL returns the document with a new upload URL, or without one if its file can no longer be
// uploaded.
func (s *server) uploadURL(ctx context.Context, stored storedDocument) (UploadURL, error) {
	d := stored.view.Document
	result := UploadURL{Document: documentOf(stored.view)}
	if !d.Status.AwaitsFile() {
		return result, nil
	}
	url, headers, expiresAt, err := s.config.Presigner.UploadURL(
		ctx, d.ObjectKey, d.ContentType, d.Size, d.DeclaredSHA256, allowance(ctx, stored.left),
		uploadURLTTL)
	if err != nil {
		return UploadURL{}, fmt.Errorf("sign an upload URL for document %s: %w", d.ID, err)
	}
	result.Upload = &Upload{
		Method: UploadMethodPUT, URL: url, Headers: headers, ExpiresAt: expiresAt.UTC(),
	}
	return result, nil
}

// allowance limits the caller's uploads in progress to twice what is left of the quota. Until they
// end, no quota shows what they occupy. Twice, because several uploads may be in progress that do
// not all fit; confirming them rejects those that do not.
func allowance(ctx context.Context, left int64) minio.Allowance {
	return minio.Allowance{User: callerOf(ctx).id, Bytes: 2 * min(max(0, left), math.MaxInt64/2)}
}

// newDocument returns the document that the request describes.
func (s *server) newDocument(user uuid.UUID, u UploadRequest) (schema.Document, error) {
	name, err := cleanFilename(u.Filename)
	if err != nil {
		return schema.Document{}, err
	}
	contentType, err := allowedType(u.ContentType, s.config.Limits.AllowedTypes)
	if err != nil {
		return schema.Document{}, err
	}
	if limit := s.config.Limits.MaxSize; u.Size > limit {
		return schema.Document{}, fileTooLarge(u.Size, limit)
	}
	digest, err := decodeDigest(u.Sha256)
	if err != nil {
		return schema.Document{}, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return schema.Document{}, fmt.Errorf("generate a document id: %w", err)
	}
	d := schema.NewDocument(id, user, name, contentType, u.Size, time.Now().UTC())
	d.DeclaredSHA256 = digest
	return d, nil
}

// decodeDigest returns the digest that a request contains in hexadecimal, or nil if it has none.
func decodeDigest(text *string) ([]byte, error) {
	if text == nil {
		return nil, nil
	}
	digest, err := hex.DecodeString(*text)
	if err != nil {
		return nil, schema.Errorf(schema.CodeInvalid, `The member "sha256" must be hexadecimal.`).
			With(schema.Facts{Pointer: "/sha256"})
	}
	return digest, nil
}

func fileTooLarge(size, limit int64) error {
	return schema.Errorf(schema.CodeTooLarge,
		"The file is %d bytes long. At most %d bytes are allowed.", size, limit).
		With(schema.Facts{Pointer: "/size", Size: &size, Limit: &limit})
}

// cleanFilename returns the name in Unicode normalization form C. It fails with CodeInvalid if the
// name is a path, contains a line break or another control character, or contains characters that
// make it display as a different name.
func cleanFilename(name string) (string, error) {
	name = norm.NFC.String(name)
	invalid := func(requirement string) (string, error) {
		return "", schema.Errorf(schema.CodeInvalid, `The member "filename" must %s.`, requirement).
			With(schema.Facts{Pointer: "/filename"})
	}
	switch {
	case !utf8.ValidString(name):
		return invalid("be UTF-8")
	case utf8.RuneCountInString(name) > maxFilename:
		return invalid(fmt.Sprintf("have at most %d characters", maxFilename))
	case strings.ContainsAny(name, `/\`):
		return invalid("be a name without a path: it must not contain / or \\")
	case strings.Trim(name, " .") == "":
		return invalid("contain a character other than dots and spaces")
	}
	for _, r := range name {
		switch {
		case unicode.IsControl(r), r == '\u2028', r == '\u2029':
			return invalid("not contain control characters")
		case unicode.Is(unicode.Bidi_Control, r):
			return invalid("not contain characters that change the text direction")
		}
	}
	return name, nil
}
