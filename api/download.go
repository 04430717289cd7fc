package api

import (
	"cmp"
	"context"
	"fmt"
	"mime"
	"slices"

	"intray/infra/minio"
	"intray/infra/postgres"
	"intray/schema"
)

// inlineTypes are the media types that a browser may display. It displays them without executing
// anything in them, except for scripts in a PDF, which run in the browser's viewer and have no
// access to the page or its origin. The gateway adds a Content-Security-Policy in any case.
var inlineTypes = []string{
	"application/pdf", "image/png", "image/jpeg", "image/webp", "image/gif", "text/plain",
}

// GetDownloadURL returns a URL for a document's file. Storage serves the file with the document's
// filename: as an attachment with the declared content type, or for display with the type of the
// content.
func (s *server) GetDownloadURL(
	ctx context.Context, r GetDownloadURLRequestObject,
) (GetDownloadURLResponseObject, error) {
	view, err := s.userDB(ctx).Document(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	if !view.Status.Counted() {
		return nil, schema.Errorf(schema.CodeNotDownloadable,
			"The document is %s. "+
				"Only uploaded, classified and failed documents can be downloaded.", view.Status)
	}
	disposition, contentType := minio.Attachment, view.ContentType
	if d := r.Params.Disposition; d != nil && *d == DispositionInline {
		disposition = minio.Inline
		if contentType, err = inlineType(view); err != nil {
			return nil, err
		}
	}
	url, expiresAt, err := s.config.Presigner.DownloadURL(
		ctx, view.ObjectKey, disposition, view.Filename, contentType, minio.MaxDownloadExpiry)
	if err != nil {
		return nil, fmt.Errorf("sign a download URL for document %s: %w", r.ID, err)
	}
	s.audit.downloadURL(ctx, r.ID, string(disposition))
	return GetDownloadURL200JSONResponse{URL: url, ExpiresAt: expiresAt.UTC()}, nil
}

// inlineType returns the content type with which a browser displays the document's file. That is
// the detected type, or the declared one until the file has been read; a browser that is told not
// to sniff shows nothing if that is wrong. inlineType fails with CodeTypeNotAllowed if it is not
// one of the inlineTypes.
func inlineType(v postgres.DocumentView) (string, error) {
	declared, parameters, err := mime.ParseMediaType(v.ContentType)
	if err != nil {
		declared = "application/octet-stream"
	}
	actual := declared
	if v.DetectedType != nil {
		actual = *v.DetectedType
	}
	if !slices.Contains(inlineTypes, actual) {
		return "", schema.Errorf(schema.CodeTypeNotAllowed,
			"A file of the type %s is not displayed. Download it as an attachment.", actual).
			With(schema.Facts{AllowedTypes: inlineTypes})
	}
	if actual == "text/plain" {
		charset := cmp.Or(parameters["charset"], "utf-8")
		return mime.FormatMediaType(actual, map[string]string{"charset": charset}), nil
	}
	return actual, nil
}
