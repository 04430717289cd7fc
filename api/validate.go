package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"intray/schema"
)

// validation configures kin-openapi. With KeepValidatedValue the handler receives the value that
// was checked, so the body is not decoded a second time. Defaults are set by the handlers.
var validation = &openapi3filter.Options{KeepValidatedValue: true, SkipSettingDefaults: true}

var (
	errNotJSON = schema.Errorf(schema.CodeTypeNotAllowed,
		"The request body must be JSON. Send it with Content-Type: application/json.")
	errInvalidJSON = schema.Errorf(schema.CodeInvalid,
		"The request body is not valid JSON. Send one JSON value in UTF-8.")
)

// validate checks a request's parameters and body against the contract. Its error names the
// parameter or member that is invalid and states what it must be. The wording is our own, because
// the messages of kin-openapi quote schemas and values.
func (o *operation) validate(c echo.Context) error {
	if err := o.checkQuery(c.Request().URL.RawQuery); err != nil {
		return err
	}
	op := o.route.Operation
	if len(op.Parameters) == 0 && len(o.route.PathItem.Parameters) == 0 && op.RequestBody == nil {
		return nil
	}
	if o.passesFastPath(c) {
		return nil
	}
	path := make(map[string]string, 1)
	for i, name := range c.ParamNames() {
		path[name] = c.ParamValues()[i]
	}
	r := c.Request()
	err := openapi3filter.ValidateRequest(r.Context(), &openapi3filter.RequestValidationInput{
		Request: r, PathParams: path, Route: o.route, Options: validation,
	})
	var invalid *openapi3filter.RequestError
	switch {
	case err == nil:
		return o.checkBody(r)
	case !errors.As(err, &invalid):
		return fmt.Errorf("validate request: %w", err)
	case invalid.Parameter != nil:
		return parameterError(invalid)
	default:
		return bodyError(invalid)
	}
}

// checkQuery refuses a query string with a parameter that the operation does not have. A client
// that misspells the name of a filter would otherwise receive what it did not ask for.
func (o *operation) checkQuery(query string) error {
	if o.query == nil || query == "" {
		return nil
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return schema.Errorf(schema.CodeInvalid,
			"The query string is malformed. Percent-encode the values of its parameters.")
	}
	for name, all := range values {
		switch {
		case !slices.Contains(o.query, name) && len(o.query) == 0:
			return schema.Errorf(schema.CodeInvalid,
				"There is no query parameter %s. This path has none.", quoted(name))
		case !slices.Contains(o.query, name):
			return schema.Errorf(schema.CodeInvalid, "There is no query parameter %s. This path has %s.",
				quoted(name), strings.Join(o.query, ", "))
		case len(all) > 1:
			return schema.Errorf(schema.CodeInvalid, "The query parameter %q was sent more than once.", name)
		}
	}
	return nil
}

func parameterError(err *openapi3filter.RequestError) error {
	p := err.Parameter
	switch {
	case p.In == openapi3.ParameterInPath && p.Schema.Value.Format == "uuid":
		return errNotUUID
	case p.In == openapi3.ParameterInPath:
		s := p.Schema.Value
		return schema.Errorf(schema.CodeNotFound, "The %s in the path must be from %.0f to %.0f.",
			p.Name, *s.Min, *s.Max)
	}
	name := fmt.Sprintf("The %s parameter %q", p.In, p.Name)
	if p.In == openapi3.ParameterInHeader {
		name = fmt.Sprintf("The header %q", p.Name)
	}
	var s *openapi3.SchemaError
	if errors.As(err.Err, &s) {
		return schema.Errorf(schema.CodeInvalid, "%s %s.", name, requirement(s))
	}
	if len(*p.Schema.Value.Type) == 1 && p.Schema.Value.Type.Is(openapi3.TypeInteger) {
		return schema.Errorf(schema.CodeInvalid, "%s must be a whole number.", name)
	}
	return schema.Errorf(schema.CodeInvalid, "%s must not be empty.", name)
}

func bodyError(err *openapi3filter.RequestError) error {
	var s *openapi3.SchemaError
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err.Err, &tooLong):
		return tooLong
	case errors.Is(err.Err, os.ErrDeadlineExceeded):
		return schema.Errorf(schema.CodeInvalid,
			"The request body took too long to arrive. Send it again without pauses.")
	case errors.As(err.Err, &s):
		return memberError(s, "request body")
	case errors.Is(err.Err, openapi3filter.ErrInvalidRequired):
		return schema.Errorf(schema.CodeInvalid,
			"The request body is missing. Send the JSON that /api/openapi.yaml describes.")
	case err.Err == nil: // only the Content-Type is wrong
		return errNotJSON
	default:
		return errInvalidJSON
	}
}

// memberError names the member that err is about. body is what the value that was checked is.
func memberError(err *openapi3.SchemaError, body string) error {
	return schema.Errorf(schema.CodeInvalid, "%s %s.", memberName(err, body), requirement(err)).
		With(schema.Facts{Pointer: pointer(err.JSONPointer())})
}

// checkBody refuses a body that kin-openapi's decoder accepts although it is not valid: one with
// text after the JSON value, or with bytes that are not UTF-8 or half surrogate pairs, which the
// decoder would replace. kin-openapi has already read the body and has set GetBody so that it can
// be read again.
//
// It also rewrites numbers such as 1e3 or 1000.0, which are integers in JSON Schema as in the
// contract, but not for encoding/json.
func (o *operation) checkBody(r *http.Request) error {
	if r.GetBody == nil {
		return nil
	}
	body, err := r.GetBody()
	if err != nil {
		return fmt.Errorf("read the request body again: %w", err)
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return fmt.Errorf("read the request body again: %w", err)
	}
	if len(data) == 0 { // the operation does not require a body
		r.ContentLength = 0
		return nil
	}
	if !json.Valid(data) || !utf8.Valid(data) {
		return errInvalidJSON
	}
	itemsApart := o.path == createUploadURLsPath // the handler checks each item as it was sent
	if !itemsApart {
		if err := checkSurrogates(data); err != nil {
			return err
		}
	}
	unusual := unusualNumber.Match(data)
	if unusual {
		data = plainIntegers(data)
	}
	if unusual || itemsApart { // otherwise the body is the value that was checked
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(len(data))
	}
	return nil
}

// memberName names the member of the body that err is about.
func memberName(err *openapi3.SchemaError, body string) string {
	path := err.JSONPointer()
	if len(path) == 0 {
		return "The " + body
	}
	return fmt.Sprintf("The member %s of the %s", quoted(strings.Join(path, ".")), body)
}

// pointer returns the path as a JSON pointer (RFC 6901).
func pointer(path []string) string {
	var b strings.Builder
	for _, name := range path {
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name))
	}
	return b.String()
}

// quoted returns name quoted and shortened to 64 characters. The client may have chosen the name.
func quoted(name string) string {
	if runes := []rune(name); len(runes) > 64 {
		name = string(runes[:64]) + "…"
	}
	return fmt.Sprintf("%q", name)
}

// requirement describes the requirement that the invalid value does not meet. It returns the
// predicate of a sentence whose subject is the value.
func requirement(err *openapi3.SchemaError) string {
	s := err.Schema
	switch err.SchemaField {
	case "required":
		return "is missing"
	case "properties":
		known := make([]string, 0, len(s.Properties))
		for name := range s.Properties {
			known = append(known, name)
		}
		slices.Sort(known)
		return "may only have the members " + strings.Join(known, ", ")
	case "type":
		return "must be of type " + strings.Join(s.Type.Slice(), " or ")
	case "nullable":
		return "must not be null"
	case "enum":
		return "must be one of " + strings.Join(enumValues(s), ", ")
	case "minLength":
		if s.MinLength == 1 {
			return "must not be empty"
		}
		return fmt.Sprintf("must have at least %d characters", s.MinLength)
	case "maxLength":
		return fmt.Sprintf("must have at most %d characters", *s.MaxLength)
	case "minItems":
		return fmt.Sprintf("must have at least %d entries", s.MinItems)
	case "maxItems":
		return fmt.Sprintf("must have at most %d entries", *s.MaxItems)
	case "minProperties":
		return "must have at least one member"
	case "minimum":
		return fmt.Sprintf("must be at least %.0f", *s.Min)
	case "maximum":
		return fmt.Sprintf("must be at most %.0f", *s.Max)
	default: // pattern, format
		description := strings.Join(strings.Fields(s.Description), " ")
		sentence, _, _ := strings.Cut(description, ". ")
		return "is malformed. Expected: " + strings.TrimSuffix(sentence, ".")
	}
}

// enumValues returns the values of an enum except null and the empty string, which the description
// of the member mentions.
func enumValues(s *openapi3.Schema) (values []string) {
	for _, v := range s.Enum {
		if v != nil && v != "" {
			values = append(values, fmt.Sprint(v))
		}
	}
	return values
}

var errNotUUID = schema.Errorf(schema.CodeNotFound,
	"The id in the path is not a UUID, so nothing has this id.")

// parseID returns the UUID that a path contains. It fails with CodeNotFound if id is not a UUID in
// its canonical form.
func parseID(id string) (uuid.UUID, error) {
	parsed, err := uuid.Parse(id)
	if err != nil || len(id) != len(uuid.Nil.String()) {
		return uuid.Nil, errNotUUID
	}
	return parsed, nil
}
