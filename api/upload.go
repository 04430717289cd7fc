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

// uploadExpiry is how long an upload URL lives. schema.ExpireAfter counts on it.
const uploadExpiry = 15 * time.Minute

// maxFilename is in characters. A filesystem's usual limit is 255 bytes or
// UTF-16 units, so every real name fits.
const maxFilename = 255

// CreateUploadURL makes a pending document and gives the URL for its file.
func (s *server) CreateUploadURL(
	ctx context.Context, r CreateUploadURLRequestObject,
) (CreateUploadURLResponseObject, error) {
	d, digest, err := s.newDocument(callerOf(ctx).id, *r.Body)
	if err != nil {
		return nil, err
	}
	d, about, err := s.storeDocument(ctx, d, r.Params.IdempotencyKey)
	if err != nil {
		return nil, err
	}
	url, headers, expiresAt, err := s.config.Presigner.UploadURL(
		ctx, d.ObjectKey, d.ContentType, d.Size, digest, uploadExpiry)
	if err != nil {
		return nil, &subjectError{about, fmt.Errorf("upload URL of document %s: %w", d.ID, err)}
	}
	return uploadURLAnswer{CreateUploadURL201JSONResponse{
		Document: documentOf(postgres.DocumentView{Document: d}),
		Upload: Upload{
			Method: UploadMethodPUT, URL: url, Headers: headers, ExpiresAt: expiresAt.UTC(),
		},
	}, about}, nil
}

// uploadURLAnswer is the answer of CreateUploadURL with its subject.
type uploadURLAnswer struct {
	CreateUploadURL201JSONResponse
	subject
}

// storeDocument stores a new document, or finds the one that was stored under the
// same idempotency key. It fails where that one takes no file any more.
func (s *server) storeDocument(ctx context.Context, d schema.Document, idempotencyKey *string,
) (schema.Document, subject, error) {
	key := ""
	if idempotencyKey != nil {
		key = *idempotencyKey
	}
	d, created, err := s.userDB(ctx).CreateDocument(ctx, d, key, s.config.Limits.MaxPending)
	if err != nil {
		return schema.Document{}, subject{}, err
	}
	about := subject{document: d.ID, created: created}
	if !waits(d.Status) {
		return d, about, &subjectError{about, schema.Errorf(schema.CodeWrongStatus,
			"The document of this Idempotency-Key is %s and takes no other file. "+
				"Use a new key for a new document.", d.Status)}
	}
	return d, about, nil
}

// newDocument returns the document that the request describes, and the digest of
// its file if the request gives one.
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
	if most := s.config.Limits.MaxSize; u.Size > most {
		return schema.Document{}, nil, tooLarge(u.Size, most)
	}
	if u.Sha256 != nil {
		if digest, err = hex.DecodeString(*u.Sha256); err != nil {
			return schema.Document{}, nil, schema.Errorf(schema.CodeInvalid,
				`The member "sha256" must be hexadecimal.`)
		}
	}
	id, err := uuid.NewV7()
	if err != nil {
		return schema.Document{}, nil, fmt.Errorf("make a document id: %w", err)
	}
	return schema.NewDocument(id, user, name, contentType, u.Size, time.Now().UTC()), digest, nil
}

func tooLarge(size, most int64) error {
	return schema.Errorf(schema.CodeTooLarge,
		"The file has %d bytes. At most %d are allowed.", size, most)
}

// cleanFilename returns the name in Unicode normalization form C. It refuses
// what would be a path, break a line, or show as another name than it is.
func cleanFilename(name string) (string, error) {
	name = norm.NFC.String(name)
	refuse := func(why string) (string, error) {
		return "", schema.Errorf(schema.CodeInvalid,
			`The member "filename" %s. Send the file's plain name.`, why)
	}
	switch {
	case !utf8.ValidString(name):
		return refuse("is not UTF-8")
	case utf8.RuneCountInString(name) > maxFilename:
		return refuse(fmt.Sprintf("has more than %d characters", maxFilename))
	case strings.ContainsAny(name, `/\`):
		return refuse("must not contain / or \\")
	case strings.Trim(name, " .") == "":
		return refuse("must contain more than dots and spaces")
	}
	for _, r := range name {
		switch {
		case unicode.IsControl(r), r == '\u2028', r == '\u2029':
			return refuse("must not contain control characters")
		case unicode.Is(unicode.Bidi_Control, r):
			return refuse("must not contain characters that turn the direction of writing")
		}
	}
	return name, nil
}
