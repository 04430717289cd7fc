package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
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

// KeepValidatedValue: the handler gets the value that was checked, not a second
// reading of the body. Defaults are the handlers'.
var validation = &openapi3filter.Options{KeepValidatedValue: true, SkipSettingDefaults: true}

var notJSON = schema.Errorf(schema.CodeTypeNotAllowed,
	"The request body must be JSON. Send it with Content-Type: application/json.")

var badJSON = schema.Errorf(schema.CodeInvalid, "The request body is not valid JSON. Send one JSON value in UTF-8.")

// validate holds a request's parameters and body against the contract. Its
// error says which of them is wrong and what it must be like, in words of the
// contract's own; kin-openapi's words quote schemas and values.
func (o *operation) validate(c echo.Context) error {
	if len(o.route.Operation.Parameters) == 0 && len(o.route.PathItem.Parameters) == 0 && o.route.Operation.RequestBody == nil {
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
		return oneValue(r)
	case !errors.As(err, &invalid):
		return fmt.Errorf("validate request: %w", err)
	case invalid.Parameter != nil:
		return invalidParameter(invalid)
	default:
		return invalidBody(invalid)
	}
}

func invalidParameter(err *openapi3filter.RequestError) error {
	p := err.Parameter
	if p.In == openapi3.ParameterInPath {
		return noSuchID
	}
	what := fmt.Sprintf("The %s parameter %q", p.In, p.Name)
	if p.In == openapi3.ParameterInHeader {
		what = fmt.Sprintf("The header %q", p.Name)
	}
	var s *openapi3.SchemaError
	if errors.As(err.Err, &s) {
		return schema.Errorf(schema.CodeInvalid, "%s %s.", what, must(s))
	}
	if len(*p.Schema.Value.Type) == 1 && p.Schema.Value.Type.Is(openapi3.TypeInteger) {
		return schema.Errorf(schema.CodeInvalid, "%s must be a whole number.", what)
	}
	return schema.Errorf(schema.CodeInvalid, "%s must not be empty.", what)
}

func invalidBody(err *openapi3filter.RequestError) error {
	var s *openapi3.SchemaError
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err.Err, &tooLong):
		return tooLong
	case errors.Is(err.Err, os.ErrDeadlineExceeded):
		return schema.Errorf(schema.CodeInvalid, "The request body took too long to arrive. Send it again, all at once.")
	case errors.As(err.Err, &s):
		return schema.Errorf(schema.CodeInvalid, "%s %s.", member(s), must(s))
	case errors.Is(err.Err, openapi3filter.ErrInvalidRequired):
		return schema.Errorf(schema.CodeInvalid, "The request body is missing. Send the JSON that the contract describes.")
	case err.Err == nil: // only the Content-Type
		return notJSON
	default:
		return badJSON
	}
}

// oneValue refuses what a decoder overlooks: text behind the JSON value, and
// bytes that are not UTF-8, which it would replace. kin-openapi has read the body
// and left GetBody to read it again.
func oneValue(r *http.Request) error {
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
	if !json.Valid(data) || !utf8.Valid(data) {
		return badJSON
	}
	return nil
}

// member names the part of the body that err is about.
func member(err *openapi3.SchemaError) string {
	path := err.JSONPointer()
	if len(path) == 0 {
		return "The request body"
	}
	return fmt.Sprintf("The member %s of the request body", quoted(strings.Join(path, ".")))
}

// quoted is a name that may be the client's own, made fit to be shown.
func quoted(name string) string {
	if runes := []rune(name); len(runes) > 64 {
		name = string(runes[:64]) + "…"
	}
	return fmt.Sprintf("%q", name)
}

// must says what the value that failed would have to be.
func must(err *openapi3.SchemaError) string {
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
	case "enum":
		// An empty value, where it is one of them, is said in the description.
		return "must be one of " + strings.Join(strings.Fields(strings.Trim(fmt.Sprint(s.Enum), "[]")), ", ")
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
		sentence, _, _ := strings.Cut(strings.Join(strings.Fields(s.Description), " "), ". ")
		return "is not as it must be: " + strings.TrimSuffix(sentence, ".")
	}
}

var noSuchID = schema.Errorf(schema.CodeNotFound, "There is nothing with this id: it is not a UUID.")

// parseID reads an id of a path. What is no id names nothing.
func parseID(id string) (uuid.UUID, error) {
	parsed, err := uuid.Parse(id)
	if err != nil || len(id) != len(uuid.Nil.String()) {
		return uuid.Nil, noSuchID
	}
	return parsed, nil
}
