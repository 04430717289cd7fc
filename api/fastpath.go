package api

import (
	"net/http"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
)

// fastPathParameters returns the parameters of an operation that has a fast path: one without a
// request body all of whose parameters the fast path can check. For other operations it returns
// nil.
func fastPathParameters(item *openapi3.PathItem, op *openapi3.Operation) []*openapi3.Parameter {
	if op.RequestBody != nil {
		return nil
	}
	var all []*openapi3.Parameter
	for _, refs := range []openapi3.Parameters{item.Parameters, op.Parameters} {
		for _, ref := range refs {
			if !isFastPathParameter(ref.Value) {
				return nil
			}
			all = append(all, ref.Value)
		}
	}
	return all
}

// isFastPathParameter reports whether the fast path can check a parameter. It can check ids in the
// path, and optional headers that may be any text up to a maximum length.
func isFastPathParameter(p *openapi3.Parameter) bool {
	s := p.Schema.Value
	if !s.Type.Is(openapi3.TypeString) || len(s.Enum) > 0 {
		return false
	}
	switch p.In {
	case openapi3.ParameterInPath:
		return s.Format == "uuid"
	case openapi3.ParameterInHeader:
		return !p.Required && s.Format == "" && s.Pattern == "" && s.MaxLength != nil
	default:
		return false
	}
}

// passesFastPath reports whether a request is valid according to a check that does not use
// kin-openapi, which takes longer for a poll than the database query. If it returns false, the
// request may still be valid.
func (o *operation) passesFastPath(c echo.Context) bool {
	if len(o.fastPath) == 0 {
		return false
	}
	for _, p := range o.fastPath {
		if p.In == openapi3.ParameterInPath {
			value := c.Param(p.Name)
			if _, err := uuid.Parse(value); err != nil || len(value) != len(uuid.Nil.String()) {
				return false
			}
			continue
		}
		values, sent := c.Request().Header[http.CanonicalHeaderKey(p.Name)]
		s := p.Schema.Value
		if !sent {
			continue
		}
		// MaxLength counts characters. A text never has more characters than bytes.
		if len(values) != 1 || values[0] == "" || uint64(len(values[0])) > *s.MaxLength ||
			s.MinLength > 1 {
			return false
		}
	}
	return true
}
