package api

import (
	"net/http"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
)

// plainParameters are an operation's parameters if nothing else of a request has to
// be checked, and each of them is an id in the path or a header of a bounded
// length. Otherwise nil.
func plainParameters(item *openapi3.PathItem, op *openapi3.Operation) []*openapi3.Parameter {
	if op.RequestBody != nil {
		return nil
	}
	var plain []*openapi3.Parameter
	for _, ref := range append(item.Parameters[:len(item.Parameters):len(item.Parameters)], op.Parameters...) {
		p, s := ref.Value, ref.Value.Schema.Value
		id := p.In == openapi3.ParameterInPath && s.Format == "uuid"
		header := p.In == openapi3.ParameterInHeader && !p.Required && s.Format == ""
		if !s.Type.Is(openapi3.TypeString) || s.Pattern != "" && !id || len(s.Enum) > 0 || s.MaxLength == nil && header || !id && !header {
			return nil
		}
		plain = append(plain, p)
	}
	return plain
}

// evidentlyValid says that a request keeps to the contract without asking
// kin-openapi, which takes longer for a poll than the database does. What it does not
// say so of may be valid all the same.
func (o *operation) evidentlyValid(c echo.Context) bool {
	if len(o.plain) == 0 {
		return false
	}
	for _, p := range o.plain {
		if p.In == openapi3.ParameterInPath {
			value := c.Param(p.Name)
			if _, err := uuid.Parse(value); err != nil || len(value) != len(uuid.Nil.String()) {
				return false
			}
			continue
		}
		// A byte is a character or less.
		values, sent := c.Request().Header[http.CanonicalHeaderKey(p.Name)]
		s := p.Schema.Value
		if sent && (len(values) != 1 || values[0] == "" || uint64(len(values[0])) > *s.MaxLength || s.MinLength > 1) {
			return false
		}
	}
	return true
}
