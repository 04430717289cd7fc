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

// Contract is openapi.yaml.
//
//go:embed openapi.yaml
var Contract []byte

// operation is one operation of the contract, ready to check requests against.
type operation struct {
	public bool // needs no token
	admin  bool // needs an administrator's
	path   string
	route  *routers.Route
	// fastPath are the parameters that passesFastPath checks.
	fastPath []*openapi3.Parameter
}

// operations reads the contract and returns its operations by method and
// pattern, such as "GET /api/topics/:id".
//
// kin-openapi compiles a 3.1 schema anew for each value that it checks, which
// takes ten to thirty times as long (BenchmarkValidate). What the contract says of requests
// means the same in 3.0, whose schemas are checked as they are, so each
// operation carries a copy of the contract that calls itself 3.0.
// TestRequestSchemas holds the contract to that.
func operations() (map[string]*operation, error) {
	contract, err := openapi3.NewLoader().LoadFromData(Contract)
	if err != nil {
		return nil, fmt.Errorf("read the contract: %w", err)
	}
	fast := *contract
	fast.OpenAPI = "3.0.3"
	all := make(map[string]*operation)
	for path, item := range contract.Paths.Map() {
		for method, op := range item.Operations() {
			security := contract.Security
			if op.Security != nil {
				security = *op.Security
			}
			public := len(security) == 0
			// The security is carried out here, before the body is read.
			unsecured := *op
			unsecured.Security = openapi3.NewSecurityRequirements()
			all[key(method, path)] = &operation{
				fastPath: fastPathParameters(item, op),
				public:   public,
				admin:    !public && slices.Contains(security[0]["bearer"], string(schema.RoleAdmin)),
				path:     path,
				route: &routers.Route{
					Spec:      &fast,
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

// key is a method and a path of the contract, written as echo's pattern.
func key(method, path string) string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if name, ok := strings.CutPrefix(s, "{"); ok {
			segments[i] = ":" + strings.TrimSuffix(name, "}")
		}
	}
	return method + " " + strings.Join(segments, "/")
}

// contract passes on only those requests that the contract permits, and refuses the
// others in the order 401, 403, 404, everything else.
//
// A 401 for a token is cheap to find; whether the user and the resource still
// exist only the database knows. A good request learns that from its own query.
// A bad one never gets there, so it is looked up once it is known to be bad.
func (s *server) contract(operations map[string]*operation) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			// To echo a pattern's last parameter is all the rest of the path.
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
					return err
				}
			}
			return s.refuse(c, op, err)
		}
	}
}

// notInContract answers with echo's 404 or 405, whose Allow also names HEAD.
func notInContract(c echo.Context, next echo.HandlerFunc) error {
	err := next(c)
	header := c.Response().Header()
	if allow := header.Get(echo.HeaderAllow); strings.Contains(allow, http.MethodGet) {
		header.Set(echo.HeaderAllow, allow+", "+http.MethodHead)
	}
	return err
}

// admit sets the request's caller. It fails unless the caller may ask for the
// operation, now.
func (s *server) admit(c echo.Context, op *operation) error {
	var who caller
	if !op.public {
		var err error
		if who, err = s.authenticate(c.Request().Context(), c.Request().Header); err != nil {
			return err
		}
	}
	who.address = c.RealIP()
	c.SetRequest(withCaller(c.Request(), who))
	if err := s.throttle(who, op); err != nil {
		return err
	}
	if op.admin {
		return s.mustBeAdmin(c.Request().Context())
	}
	return nil
}

// refuse returns what a request is refused with whose content is refused with err.
func (s *server) refuse(c echo.Context, op *operation, err error) error {
	if op.public {
		return err
	}
	ctx := c.Request().Context()
	if first := s.exists(ctx, op, c.Param("id")); first != nil && ctx.Err() == nil {
		return first
	}
	// Also where the client hung up or was too slow: then nothing can be looked up.
	return err
}

// throttle fails with CodeRateLimited if the caller asks too much at once: each
// user for themselves, and each address where there is no user. What machines ask
// of the process itself is not counted.
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
			"Too many requests at once. Wait %s seconds and go on more slowly.", seconds(wait))}
	}
	return nil
}

// isInvalid reports whether err is of the kind that only those may see who would
// get past 401, 403 and 404.
func isInvalid(err error) bool {
	switch clientError(err).Code {
	case schema.CodeInvalid, schema.CodeTooLarge, schema.CodeTypeNotAllowed, schema.CodeUnknownTopic:
		return true
	default:
		return false
	}
}

// mustBeAdmin fails unless both the token and the database say that the caller
// is an administrator: the token may be older than the database's word.
func (s *server) mustBeAdmin(ctx context.Context) error {
	me, err := s.userDB(ctx).Me(ctx)
	if err != nil {
		return err
	}
	if callerOf(ctx).role != schema.RoleAdmin || me.Role != schema.RoleAdmin {
		return schema.Errorf(schema.CodeForbidden, "Only administrators may do this. Sign in as one.")
	}
	return nil
}

// exists fails with 401 if the caller's account is gone, and with 404 if what
// the path names is not there for it.
func (s *server) exists(ctx context.Context, op *operation, id string) error {
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

// GetContract gives the contract itself.
func (s *server) GetContract(
	context.Context, GetContractRequestObject,
) (GetContractResponseObject, error) {
	return GetContract200ApplicationYamlResponse{
		Body:          bytes.NewReader(Contract),
		ContentLength: int64(len(Contract)),
	}, nil
}
