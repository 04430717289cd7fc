package api

import (
	"net/http"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
)

// fastPathParameters returns an operation's parameters if nothing else of a request
// has to be checked and each of them is one of the fast path. Otherwise it returns
// nil: the operation has no fast path.
func fastPathParameters(item *openapi3.PathItem, op *openapi3.Operation) []*openapi3.Parameter {
	if op.RequestBody != nil {
		return nil
	}
	var all []*openapi3.Parameter
	for _, refs := range []openapi3.Parameters{item.Parameters, op.Parameters} {
		for _, ref := range refs {
			if !onFastPath(ref.Value) {
				return nil
			}
			all = append(all, ref.Value)
		}
	}
	return all
}

// onFastPath reports whether the fast path can check a parameter: an id in the path,
// or a header that may be any text of a bounded length.
func onFastPath(p *openapi3.Parameter) bool {
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

// passesFastPath reports whether a request is valid without asking kin-openapi,
// which takes longer for a poll than the database does. A request that does not
// pass may be valid all the same.
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
		// A byte is a character or less.
		values, sent := c.Request().Header[http.CanonicalHeaderKey(p.Name)]
		s := p.Schema.Value
		if !sent {
			continue
		}
		if len(values) != 1 || values[0] == "" || uint64(len(values[0])) > *s.MaxLength ||
			s.MinLength > 1 {
			return false
		}
	}
	return true
}
