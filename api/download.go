package api

import (
	"context"
	"fmt"

	"intray/infra/minio"
	"intray/schema"
)

// GetDownloadURL returns a URL for a document's file. Storage serves the file as an attachment with
// the document's filename and content type.
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
	url, expiresAt, err := s.config.Presigner.DownloadURL(
		ctx, view.ObjectKey, view.Filename, view.ContentType, minio.MaxDownloadExpiry)
	if err != nil {
		return nil, fmt.Errorf("sign a download URL for document %s: %w", r.ID, err)
	}
	return GetDownloadURL200JSONResponse{URL: url, ExpiresAt: expiresAt.UTC()}, nil
}
