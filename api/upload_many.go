package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"

	"intray/schema"
)

// createUploadURLsPath is the path of CreateUploadURLs.
const createUploadURLsPath = "/api/documents/upload-urls"

// An uploadItem is an item of the request of CreateUploadURLs.
type uploadItem struct {
	UploadRequest
	IdempotencyKey *string `json:"idempotency_key"`
}

// separateItems returns the schema of the items of the request of CreateUploadURLs, and makes the
// validation of the request accept any items. The handler checks each one, so that a mistake in one
// of them is a problem of that item only.
func separateItems(operations map[string]*operation) (*openapi3.Schema, error) {
	op := operations["POST "+createUploadURLsPath]
	if op == nil {
		return nil, fmt.Errorf("the contract has no path %s", createUploadURLsPath)
	}
	body := op.route.Operation.RequestBody.Value.Content.Get("application/json").Schema.Value
	items := body.Properties["items"].Value
	item := items.Items.Value
	items.Items = openapi3.NewSchemaRef("", &openapi3.Schema{Nullable: true})
	return item, nil
}

// CreateUploadURLs creates several pending documents with one commit.
func (s *server) CreateUploadURLs(
	ctx context.Context, r CreateUploadURLsRequestObject,
) (CreateUploadURLsResponseObject, error) {
	results := make([]UploadResult, len(r.Body.Items))
	refuse := func(i int, err error) {
		results[i] = UploadProblem{Problem: problemOf(inItem(i, err), callerOf(ctx).requestID)}
	}
	var docs []schema.Document
	var indexes []int // of the items of docs
	for i, raw := range r.Body.Items {
		d, err := s.documentOfItem(ctx, raw)
		if err != nil {
			refuse(i, err)
			continue
		}
		docs, indexes = append(docs, d), append(indexes, i)
	}
	if len(docs) == 0 { // the account may have been deleted, which is reported first
		if _, err := s.userDB(ctx).Me(ctx); err != nil {
			return nil, err
		}
		return CreateUploadURLs200JSONResponse{Items: results}, nil
	}
	stored, err := s.storeDocuments(ctx, docs)
	if err != nil {
		return nil, err
	}
	for n, d := range stored {
		i := indexes[n]
		if d.err != nil {
			refuse(i, d.err)
			continue
		}
		result, err := s.uploadURL(ctx, d)
		if err != nil {
			return nil, err
		}
		results[i] = result
	}
	return CreateUploadURLs200JSONResponse{Items: results}, nil
}

// documentOfItem checks an item of the request and returns the document that it describes.
func (s *server) documentOfItem(
	ctx context.Context, raw json.RawMessage,
) (schema.Document, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return schema.Document{}, errInvalidJSON
	}
	if err := s.uploadItem.VisitJSON(value); err != nil {
		var invalid *openapi3.SchemaError
		if !errors.As(err, &invalid) {
			return schema.Document{}, fmt.Errorf("validate an item: %w", err)
		}
		return schema.Document{}, memberError(invalid, "item")
	}
	if err := checkSurrogates(raw); err != nil {
		return schema.Document{}, err
	}
	var item uploadItem
	if err := json.Unmarshal(raw, &item); err != nil {
		return schema.Document{}, bindingError(&echo.HTTPError{Internal: err})
	}
	d, err := s.newDocument(callerOf(ctx).id, item.UploadRequest)
	d.IdempotencyKey = item.IdempotencyKey
	return d, err
}

// inItem makes the pointer of an error point into an item of the request.
func inItem(i int, err error) error {
	var e *schema.Error
	if !errors.As(err, &e) {
		return err
	}
	facts := e.Facts
	switch {
	case e.Code == schema.CodeIdempotencyMismatch:
		facts.Pointer = "/idempotency_key"
	case facts.Pointer == "" && e.Code != schema.CodeInvalid: // the request is not at fault
		return err
	}
	facts.Pointer = "/items/" + strconv.Itoa(i) + facts.Pointer
	return e.With(facts)
}
