package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"intray/api"
	"intray/schema"
)

// operationCase describes how TestAuthorization calls an operation.
type operationCase struct {
	public       bool
	admin        bool
	body         any    // valid
	invalidBody  any    // causes a 422
	invalidQuery string // causes a 422
	resource     string // what {id} identifies: "document", "topic" or "user"
}

// operationCases contains every operation of the contract by its operationId. The test fails if an
// operation is missing, so that the authorization of every operation is tested.
var operationCases = map[string]operationCase{
	"Login":        {public: true},
	"Refresh":      {public: true},
	"Logout":       {public: true},
	"GetHealth":    {public: true},
	"GetReadiness": {public: true},
	"GetContract":  {public: true},
	"GetConfig":    {public: true},
	"GetMe":        {},
	"ChangePassword": {
		body:        api.PasswordChange{CurrentPassword: "wrong", NewPassword: newPassword},
		invalidBody: api.PasswordChange{CurrentPassword: "x", NewPassword: "short"},
	},
	"CreateUploadURL": {
		body:        api.UploadRequest{Filename: "a", ContentType: "text/plain", Size: 1},
		invalidBody: "{",
	},
	"CreateUploadURLs": {
		body:        map[string]any{"items": []any{map[string]any{}}},
		invalidBody: map[string]any{"items": []any{}},
	},
	"CreateMultipartUpload": {
		body:        api.MultipartRequest{Filename: "a", ContentType: "text/plain", Size: 1},
		invalidBody: map[string]any{"filename": "a", "content_type": "text/plain", "size": 0},
	},
	"GetExplanation":     {resource: "document"},
	"GetMultipartUpload": {resource: "document"},
	"SignPart": {
		resource:    "document",
		body:        map[string]any{},
		invalidBody: map[string]any{"sha256": "x"},
	},
	"SignParts": {
		resource:    "document",
		body:        map[string]any{"parts": []any{map[string]any{"number": 1}}},
		invalidBody: map[string]any{"parts": []any{}},
	},
	"AbortMultipartUpload": {resource: "document"},
	"CompleteMultipartUpload": {
		resource: "document",
		body: api.CompleteRequest{
			Parts: &[]api.CompletedPart{{Number: 1, Etag: strings.Repeat("0", 32)}},
		},
		invalidBody: map[string]any{"parts": []any{}},
	},
	"ListDocuments":        {invalidQuery: "?limit=0"},
	"CountDocuments":       {invalidQuery: "?x=1"},
	"StreamDocumentEvents": {},
	"UpdateDocument": {
		resource:    "document",
		body:        map[string]any{"topic_ids": []string{}},
		invalidBody: "{",
	},
	"ChangeDocuments": {
		body:        api.BatchRequest{Ids: []uuid.UUID{{1}}, Action: api.BatchActionDelete},
		invalidBody: "{",
	},
	"ReclassifyDocument": {resource: "document"},
	"GetDocument":        {resource: "document"},
	"ConfirmDocument":    {resource: "document"},
	"GetDownloadURL":     {resource: "document"},
	"DeleteDocument":     {resource: "document"},
	"ListTopics":         {},
	"CreateTopic":        {body: api.NewTopic{Name: "N"}, invalidBody: api.NewTopic{}},
	"UpdateTopic": {
		resource:    "topic",
		body:        api.TopicPatch{Name: ptr("N")},
		invalidBody: "{",
	},
	"DeleteTopic":       {resource: "topic"},
	"ListSystemTopics":  {admin: true},
	"CreateSystemTopic": {admin: true, body: api.NewTopic{Name: "N"}, invalidBody: "{"},
	"UpdateSystemTopic": {
		admin:       true,
		resource:    "topic",
		body:        api.TopicPatch{Name: ptr("N")},
		invalidBody: api.TopicPatch{Name: ptr(" ")},
	},
	"DeleteSystemTopic": {admin: true, resource: "topic"},
	"ListUsers":         {admin: true, invalidQuery: "?limit=101"},
	"ChangeUser": {
		admin:       true,
		resource:    "user",
		body:        map[string]any{"limit_bytes": 1},
		invalidBody: map[string]any{"limit_bytes": -1},
	},
}

// operationTest calls one operation.
type operationTest struct {
	operationCase
	method, path string
	id           string // for {id}
}

// call calls the operation.
func (o operationTest) call(c *client, id string, body any, query string) *response {
	c.t.Helper()
	path := strings.NewReplacer("{id}", id, "{number}", "1").Replace(o.path)
	return c.do(o.method, path+query, body)
}

// fails calls the operation with a valid request, an invalid body, an invalid query and an invalid
// id. Each call must fail with the code, even if another error applies too.
func (o operationTest) fails(c *client, code schema.Code) {
	c.t.Helper()
	o.call(c, o.id, o.body, "").fails(code)
	if o.invalidBody != nil {
		o.call(c, o.id, o.invalidBody, "").fails(code)
	}
	if o.invalidQuery != "" {
		o.call(c, o.id, o.body, o.invalidQuery).fails(code)
	}
	if o.resource != "" {
		o.call(c, "x", o.body, "").fails(code)
	}
}

// TestAuthorization calls every operation without a valid token, without the required role, for a
// resource of another user, and with an invalid request. The errors must be reported in this order,
// and no call may change anything.
func TestAuthorization(t *testing.T) {
	b := setup(t)
	document := b.alice.confirmed("a", []byte("x"))
	topic := b.alice.createTopic("Mine")
	demoted := b.user("demoted", schema.RoleAdmin) // an administrator only according to the token
	b.exec(`UPDATE users SET role = 'user' WHERE id = $1`, demoted.id)
	deleted := b.user("deleted", schema.RoleAdmin)
	b.exec(`DELETE FROM quotas WHERE user_id = $1`, deleted.id)
	b.exec(`DELETE FROM users WHERE id = $1`, deleted.id)
	forged := forgedTokens(t, b.alice.id, "user")
	for name, token := range forgedTokens(t, b.admin.id, "admin") {
		forged["administrator, "+name] = token
	}
	ids := map[string]string{
		"document": document.ID.String(),
		"topic":    topic.ID.String(), // not a system topic, so unknown to administrators
		"user":     deleted.id.String(),
		"":         "",
	}

	tested := 0
	for path, item := range loadContract().Paths.Map() {
		for method, op := range item.Operations() {
			c, known := operationCases[op.OperationID]
			if !known {
				t.Errorf("%s %s: operationCases lacks %s", method, path, op.OperationID)
				continue
			}
			tested++
			if c.public {
				continue
			}
			if strings.Contains(path, "{id}") != (c.resource != "") {
				t.Errorf("%s %s: got resource %q, want one if the path has an id",
					method, path, c.resource)
			}
			o := operationTest{c, method, path, ids[c.resource]}
			t.Run(op.OperationID, func(t *testing.T) {
				t.Run("without a valid token", func(t *testing.T) {
					o.fails(b.anonymous.in(t), schema.CodeUnauthenticated)
					o.fails(deleted.in(t), schema.CodeUnauthenticated)
					testForgedTokens(t, b.anonymous, o, forged)
				})
				if o.admin {
					t.Run("without the admin role", func(t *testing.T) {
						o.fails(b.alice.in(t), schema.CodeForbidden)
						o.fails(demoted.in(t), schema.CodeForbidden)
					})
				}
				if o.resource != "" {
					t.Run("for a resource that the user does not have", func(t *testing.T) {
						testUnknownResource(b.in(t), o)
					})
				}
				if o.invalidBody != nil || o.invalidQuery != "" {
					t.Run("with an invalid request", func(t *testing.T) {
						testInvalidRequest(b.in(t), o)
					})
				}
			})
		}
	}
	if tested != len(operationCases) {
		t.Errorf("got %d operations in the contract, want all %d of operationCases",
			tested, len(operationCases))
	}
	t.Run("nothing was changed", func(t *testing.T) {
		b := b.in(t)
		if got := b.alice.document(document).Status; got != api.DocumentStatusUploaded {
			t.Errorf("alice's document: got status %s, want uploaded", got)
		}
		if got := b.alice.me().Quota.LimitBytes; got != schema.DefaultQuota {
			t.Errorf("alice's quota: got %d, want %d", got, schema.DefaultQuota)
		}
		if got := b.alice.topicNames("/api/topics"); !strings.Contains(got, "Mine") {
			t.Errorf("alice's topics: got %s, want them to contain Mine", got)
		}
		if got := b.bob.documents(); len(got) != 0 {
			t.Errorf("bob's documents: got %+v, want none", got)
		}
	})
}

// testForgedTokens calls the operation with each of the tokens.
func testForgedTokens(t *testing.T, c *client, o operationTest, tokens map[string]string) {
	for name, token := range tokens {
		c := c.in(t)
		c.token = token
		if got := o.call(c, o.id, o.body, ""); got.status != http.StatusUnauthorized {
			t.Errorf("%s: got %d %s, want 401", name, got.status, got.body)
		}
		if o.invalidBody != nil {
			o.call(c, o.id, o.invalidBody, "").fails(schema.CodeUnauthenticated)
		}
	}
}

// testUnknownResource calls the operation with ids that do not exist for the user, and with other
// spellings of an id.
func testUnknownResource(b *bundle, o operationTest) {
	stranger := b.bob
	if o.admin {
		stranger = b.admin
	}
	o.fails(stranger, schema.CodeNotFound)
	for _, id := range []string{
		uuid.NewString(),
		"0",
		"%00",
		strings.ReplaceAll(o.id, "-", ""),
		"{" + o.id + "}",
		"urn:uuid:" + o.id,
		o.id + "%20",
		"..%2F" + o.id,
	} {
		o.call(stranger, id, o.body, "").fails(schema.CodeNotFound)
	}
}

// testInvalidRequest calls the operation for a resource that exists with an invalid body or query.
func testInvalidRequest(b *bundle, o operationTest) {
	c, id := b.alice, o.id
	if o.admin {
		c = b.admin
		switch o.resource {
		case "user":
			id = b.alice.id.String()
		case "topic":
			id = b.admin.createSystemTopic("S").ID.String()
		}
	}
	o.call(c, id, o.invalidBody, o.invalidQuery).fails(schema.CodeInvalid)
}
