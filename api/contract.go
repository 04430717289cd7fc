package api

import (
	"bytes"
	"context"
	_ "embed" // for openapi.yaml
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"
	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"intray/schema"
)

//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 --config=oapi-codegen.yaml openapi.yaml

// Contract is the content of openapi.yaml, the OpenAPI description of the API.
//
//go:embed openapi.yaml
var Contract []byte

// operation is an operation of the contract with what is needed to check requests.
type operation struct {
	public bool // requires no token
	admin  bool // requires an administrator's token
	path   string
	route  *routers.Route
	// query are the names of the query parameters. It is nil if others are ignored.
	query []string
	// fastPath are the parameters that passesFastPath checks. It is nil if the operation has no
	// fast path.
	fastPath []*openapi3.Parameter
}

// operations parses the contract and returns its operations by method and echo pattern, such as
// "GET /api/topics/:id".
//
// kin-openapi compiles a 3.1 schema for each value that it checks, which takes ten to thirty times
// as long as checking a 3.0 schema (BenchmarkValidate). The schemas of requests mean the same in
// both versions, except that null is a type in 3.1 only (see nullable), so each operation refers to
// a copy of the contract that declares version 3.0. TestRequestSchemas checks that no request
// schema of the contract differs otherwise.
func operations() (map[string]*operation, error) {
	contract, err := openapi3.NewLoader().LoadFromData(Contract)
	if err != nil {
		return nil, fmt.Errorf("read the contract: %w", err)
	}
	asVersion30 := *contract
	asVersion30.OpenAPI = "3.0.3"
	all := make(map[string]*operation)
	for path, item := range contract.Paths.Map() {
		for method, op := range item.Operations() {
			security := contract.Security
			if op.Security != nil {
				security = *op.Security
			}
			public := len(security) == 0
			// admit checks the security requirements before the body is read, so kin-openapi must
			// not check them again.
			if op.RequestBody != nil {
				nullable(op.RequestBody.Value.Content.Get("application/json").Schema.Value)
			}
			unsecured := *op
			unsecured.Security = openapi3.NewSecurityRequirements()
			all[operationKey(method, path)] = &operation{
				fastPath: fastPathParameters(item, op),
				query:    queryParameters(path, item, op),
				public:   public,
				admin:    !public && slices.Contains(security[0]["bearer"], string(schema.RoleAdmin)),
				path:     path,
				route: &routers.Route{
					Spec:      &asVersion30,
					Path:      path,
					PathItem:  item,
					Method:    method,
					Operation: &unsecured,
				},
			}
		}
	}
	return all, nil
}

// nullable replaces the type null of the members of a request body by the keyword that OpenAPI 3.0
// has for it.
func nullable(body *openapi3.Schema) {
	for _, member := range body.Properties {
		s := member.Value
		if types := s.Type.Slice(); slices.Contains(types, openapi3.TypeNull) {
			s.Nullable = true
			s.Type = &openapi3.Types{}
			*s.Type = slices.DeleteFunc(slices.Clone(types), func(name string) bool {
				return name == openapi3.TypeNull
			})
		}
	}
}

// queryParameters returns the names of the query parameters of an operation. It returns nil for
// health checks, whose callers may add parameters of their own.
func queryParameters(path string, item *openapi3.PathItem, op *openapi3.Operation) []string {
	if !strings.HasPrefix(path, "/api/") {
		return nil
	}
	names := []string{}
	for _, refs := range []openapi3.Parameters{item.Parameters, op.Parameters} {
		for _, ref := range refs {
			if ref.Value.In == openapi3.ParameterInQuery {
				names = append(names, ref.Value.Name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// operationKey returns the method followed by the path, with its parameters written as in an echo
// pattern.
func operationKey(method, path string) string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if name, ok := strings.CutPrefix(s, "{"); ok {
			segments[i] = ":" + strings.TrimSuffix(name, "}")
		}
	}
	return method + " " + strings.Join(segments, "/")
}

// contract returns a middleware that passes on the requests that the contract permits and refuses
// the others. If several errors apply, it reports the first of 401, 429, 403 and 404, and any other
// error only if none of these applies.
//
// A token can be checked without the database, but only the database knows whether the user and the
// resource still exist. The handler of a valid request learns this from its own query. An invalid
// request does not reach that query, so the middleware queries the user and the resource itself, in
// order to report 401 or 404 rather than the error in the request.
func (s *server) contract(operations map[string]*operation) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			// The last parameter of an echo pattern also matches text that contains slashes.
			if strings.Count(c.Request().URL.Path, "/") != strings.Count(c.Path(), "/") {
				return echo.ErrNotFound
			}
			op := operations[c.Request().Method+" "+c.Path()]
			if op == nil {
				return notInContract(c, next)
			}
			if err := s.admit(c, op); err != nil {
				return err
			}
			err := op.validate(c)
			if err == nil {
				if err = next(c); err == nil || !isInvalid(err) {
					return s.withDocument(c, err)
				}
			}
			return s.refusal(c, op, err)
		}
	}
}

// notInContract passes the request to echo, which responds with 404 or 405, and adds HEAD to the
// Allow header of a path that supports GET.
func notInContract(c echo.Context, next echo.HandlerFunc) error {
	err := next(c)
	header := c.Response().Header()
	if allow := header.Get(echo.HeaderAllow); strings.Contains(allow, http.MethodGet) {
		header.Set(echo.HeaderAllow, allow+", "+http.MethodHead)
	}
	return err
}

// admit authenticates the request, stores its caller in its context, and fails if the caller has
// exceeded the rate limit or may not call the operation.
func (s *server) admit(c echo.Context, op *operation) error {
	var who caller
	if !op.public {
		var err error
		who, err = s.authenticate(c.Request().Context(), c.Request().Header, c.RealIP())
		if err != nil {
			return err
		}
	}
	who.address = c.RealIP()
	who.requestID = c.Response().Header().Get(requestIDHeader)
	c.SetRequest(withCaller(c.Request(), who))
	if err := s.throttle(who, op); err != nil {
		return err
	}
	if op.admin {
		return s.requireAdmin(c.Request().Context())
	}
	return nil
}

// refusal returns the error to report for a request that is invalid. That is a 401 or 404 if one
// applies, or else err, which describes what is invalid.
func (s *server) refusal(c echo.Context, op *operation, err error) error {
	if op.public {
		return err
	}
	ctx := c.Request().Context()
	first := s.checkExists(ctx, op, c.Param("id"))
	// If ctx is done because the client disconnected or was too slow, the failure of the check proves
	// nothing.
	if first != nil && ctx.Err() == nil {
		return first
	}
	return err
}

// documentStateError is an error that the state of a document causes, with the document.
type documentStateError struct {
	cause    error
	document Document
}

func (e *documentStateError) Error() string { return e.cause.Error() }
func (e *documentStateError) Unwrap() error { return e.cause }

// aboutState reports whether err is due to the state of a document.
func aboutState(err error) bool {
	code := schema.CodeOf(err)
	return code == schema.CodeWrongStatus || code == schema.CodeVersionMismatch
}

// withDocument adds the document that the path names to an error that its state causes, unless the
// document cannot be read.
func (s *server) withDocument(c echo.Context, err error) error {
	if err == nil || !aboutState(err) {
		return err
	}
	id, malformed := parseID(c.Param("id"))
	if malformed != nil {
		return err
	}
	ctx := c.Request().Context()
	view, failed := s.userDB(ctx).Document(ctx, id)
	if failed != nil {
		return err
	}
	return &documentStateError{err, documentOf(view)}
}

// throttle fails with CodeRateLimited if the caller makes requests too fast. Requests are counted
// per user, or per client address if there is no user. Health checks, whose paths do not begin
// with /api/, are not counted.
func (s *server) throttle(who caller, op *operation) error {
	if !strings.HasPrefix(op.path, "/api/") {
		return nil
	}
	requests := s.writes
	if op.route.Method == http.MethodGet {
		requests = s.reads
	}
	key := string(who.id[:])
	if who.id == uuid.Nil {
		key = network(who.address)
	}
	if wait := requests.take(key, time.Now()); wait > 0 {
		return &retryError{after: wait, cause: schema.Errorf(schema.CodeRateLimited,
			"Too many requests. Wait %s seconds, then send requests more slowly.", seconds(wait))}
	}
	return nil
}

// isInvalid reports whether err describes an error in the request. Such an error is reported only
// if none of 401, 429, 403 and 404 applies.
func isInvalid(err error) bool {
	switch clientError(err).Code {
	case schema.CodeInvalid, schema.CodeTooLarge, schema.CodeTypeNotAllowed, schema.CodeUnknownTopic,
		schema.CodeIdempotencyMismatch:
		return true
	default:
		return false
	}
}

// requireAdmin fails with CodeForbidden unless the caller is an administrator according to both
// the token and the database, which may have changed since the token was issued.
func (s *server) requireAdmin(ctx context.Context) error {
	me, err := s.userDB(ctx).Me(ctx)
	if err != nil {
		return err
	}
	if callerOf(ctx).role != schema.RoleAdmin || me.Role != schema.RoleAdmin {
		return schema.Errorf(schema.CodeForbidden,
			"Only administrators may do this. Sign in as an administrator.")
	}
	return nil
}

// checkExists fails with CodeUnauthenticated if the caller's account does not exist, and with
// CodeNotFound if the resource in the path does not exist for the caller.
func (s *server) checkExists(ctx context.Context, op *operation, id string) error {
	db := s.userDB(ctx)
	if _, err := db.Me(ctx); err != nil {
		return err
	}
	if !strings.Contains(op.path, "{id}") {
		return nil
	}
	parsed, err := parseID(id)
	if err != nil {
		return err
	}
	switch {
	case strings.HasPrefix(op.path, "/api/documents/"):
		_, err := db.Document(ctx, parsed)
		return err
	case strings.HasPrefix(op.path, "/api/admin/users/"):
		_, err := db.AdminUser(ctx, parsed)
		return err
	case strings.HasPrefix(op.path, "/api/admin/topics/"):
		return s.topicExists(ctx, schema.ScopeSystem, parsed)
	default:
		return s.topicExists(ctx, schema.ScopeUser, parsed)
	}
}

// GetContract returns the contract.
func (s *server) GetContract(
	context.Context, GetContractRequestObject,
) (GetContractResponseObject, error) {
	return GetContract200ApplicationYamlResponse{
		Body:          bytes.NewReader(Contract),
		ContentLength: int64(len(Contract)),
	}, nil
}
