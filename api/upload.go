package api

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"golang.org/x/text/unicode/norm"

	"intray/infra/postgres"
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
	d, digest, err := s.newDocument(callerOf(ctx).id, *r.Body)
	if err != nil {
		return nil, err
	}
	d, requested, err := s.storeDocument(ctx, d, r.Params.IdempotencyKey)
	if err != nil {
		return nil, err
	}
	url, headers, expiresAt, err := s.config.Presigner.UploadURL(
		ctx, d.ObjectKey, d.ContentType, d.Size, digest, uploadURLTTL)
	if err != nil {
		err = fmt.Errorf("sign an upload URL for document %s: %w", d.ID, err)
		return nil, &documentError{requested, err}
	}
	return uploadURLResponse{CreateUploadURL201JSONResponse{
		Document: documentOf(postgres.DocumentView{Document: d}),
		Upload: Upload{
			Method: UploadMethodPUT, URL: url, Headers: headers, ExpiresAt: expiresAt.UTC(),
		},
	}, requested}, nil
}

// uploadURLResponse is the response of CreateUploadURL with the document it concerns.
type uploadURLResponse struct {
	CreateUploadURL201JSONResponse
	requestDocument
}

// storeDocument stores d and returns it, or returns the document that was stored under the same
// idempotency key. It fails with CodeWrongStatus if that document can no longer be uploaded.
func (s *server) storeDocument(
	ctx context.Context, d schema.Document, idempotencyKey *string,
) (schema.Document, requestDocument, error) {
	key := ""
	if idempotencyKey != nil {
		key = *idempotencyKey
	}
	d, created, err := s.userDB(ctx).CreateDocument(ctx, d, key, s.config.Limits.MaxPending)
	if err != nil {
		return schema.Document{}, requestDocument{}, err
	}
	requested := requestDocument{id: d.ID, created: created}
	if !awaitsFile(d.Status) {
		return d, requested, &documentError{requested, schema.Errorf(schema.CodeWrongStatus,
			"The document with this Idempotency-Key is %s, so its file can no longer be uploaded. "+
				"Use a new key for a new document.", d.Status)}
	}
	s.hint(ctx, schema.HintPending)
	return d, requested, nil
}

// newDocument returns the document that the request describes, and the SHA-256 digest of its file
// if the request contains one.
func (s *server) newDocument(
	user uuid.UUID, u UploadRequest,
) (d schema.Document, digest []byte, err error) {
	name, err := cleanFilename(u.Filename)
	if err != nil {
		return schema.Document{}, nil, err
	}
	contentType, err := allowedType(u.ContentType, s.config.Limits.AllowedTypes)
	if err != nil {
		return schema.Document{}, nil, err
	}
	if limit := s.config.Limits.MaxSize; u.Size > limit {
		return schema.Document{}, nil, fileTooLarge(u.Size, limit)
	}
	if u.Sha256 != nil {
		if digest, err = hex.DecodeString(*u.Sha256); err != nil {
			return schema.Document{}, nil, schema.Errorf(schema.CodeInvalid,
				`The member "sha256" must be hexadecimal.`).With(schema.Facts{Pointer: "/sha256"})
		}
	}
	id, err := uuid.NewV7()
	if err != nil {
		return schema.Document{}, nil, fmt.Errorf("generate a document id: %w", err)
	}
	return schema.NewDocument(id, user, name, contentType, u.Size, time.Now().UTC()), digest, nil
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
