package api

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"intray/infra/postgres"
	"intray/schema"
)

// SignPart returns the URL to upload one part to. It also postpones the expiry of the upload.
func (s *server) SignPart(
	ctx context.Context, r SignPartRequestObject,
) (SignPartResponseObject, error) {
	m, err := s.activeMultipart(ctx, r.ID, true)
	if err != nil {
		return nil, err
	}
	if r.Number > m.PartCount() {
		return nil, noSuchPart(schema.CodeNotFound, r.Number, m)
	}
	part := PartRequest{Number: r.Number}
	if r.Body != nil {
		part.Sha256 = r.Body.Sha256
	}
	upload, err := s.partUpload(ctx, m, part)
	if err != nil {
		return nil, err
	}
	return SignPart200JSONResponse(upload), nil
}

// SignParts returns the URLs to upload several parts to, as SignPart does for one.
func (s *server) SignParts(
	ctx context.Context, r SignPartsRequestObject,
) (SignPartsResponseObject, error) {
	m, err := s.activeMultipart(ctx, r.ID, true)
	if err != nil {
		return nil, err
	}
	uploads := PartUploads{Items: make([]PartUpload, len(r.Body.Parts))}
	for i, part := range r.Body.Parts {
		pointer := "/parts/" + strconv.Itoa(i)
		if part.Number > m.PartCount() {
			return nil, noSuchPart(schema.CodeInvalid, part.Number, m).
				With(schema.Facts{Pointer: pointer + "/number"})
		}
		if uploads.Items[i], err = s.partUpload(ctx, m, part); err != nil {
			var e *schema.Error
			if errors.As(err, &e) {
				return nil, e.With(schema.Facts{Pointer: pointer + e.Pointer})
			}
			return nil, err
		}
	}
	return SignParts200JSONResponse(uploads), nil
}

func noSuchPart(code schema.Code, number int, m postgres.Multipart) *schema.Error {
	return schema.Errorf(code, "There is no part %d. The upload has %d parts.", number, m.PartCount())
}

// partUpload returns the request that uploads a part.
func (s *server) partUpload(
	ctx context.Context, m postgres.Multipart, part PartRequest,
) (PartUpload, error) {
	digest, err := decodeDigest(part.Sha256)
	if err != nil {
		return PartUpload{}, err
	}
	url, headers, expiresAt, err := s.config.Presigner.PartURL(ctx, m.ObjectKey, m.UploadID,
		part.Number, m.PartLength(part.Number), digest, allowance(ctx, m.Left),
		uploadURLTTL)
	if err != nil {
		return PartUpload{}, fmt.Errorf(
			"sign a URL for part %d of document %s: %w", part.Number, m.DocumentID, err)
	}
	return PartUpload{
		Number:    part.Number,
		Method:    PartUploadMethodPUT,
		URL:       url,
		Headers:   headers,
		ExpiresAt: expiresAt.UTC(),
	}, nil
}
