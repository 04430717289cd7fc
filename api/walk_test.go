package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"intray/api"
	"intray/schema"
)

// walk says how the route walk calls one operation. A new operation must be
// added here: who may call it, and what it must hide, is tested with it.
type walk struct {
	public  bool
	admin   bool
	body    any    // a good one
	badBody any    // one that would be a 422
	badPath string // a query that would be a 422
	of      string // what {id} is one of: "document" or "topic", alice's own, or "user"
}

var walks = map[string]walk{
	"Login":           {public: true},
	"Refresh":         {public: true},
	"Logout":          {public: true},
	"ChangePassword":  {body: api.PasswordChange{CurrentPassword: "wrong", NewPassword: newPassword}, badBody: api.PasswordChange{CurrentPassword: "x", NewPassword: "short"}},
	"GetHealth":       {public: true},
	"GetReadiness":    {public: true},
	"GetContract":     {public: true},
	"GetMe":           {},
	"CreateUploadURL": {body: api.UploadRequest{Filename: "a", ContentType: "text/plain", Size: 1}, badBody: "{"},
	"CreateMultipartUpload": {
		body: api.MultipartRequest{Filename: "a", ContentType: "text/plain", Size: 1}, badBody: map[string]any{"filename": "a", "content_type": "text/plain", "size": 0},
	},
	"GetMultipartUpload":   {of: "document"},
	"SignPart":             {of: "document"},
	"AbortMultipartUpload": {of: "document"},
	"CompleteMultipartUpload": {
		of: "document", body: map[string]any{"parts": []any{map[string]any{"number": 1, "etag": strings.Repeat("0", 32)}}}, badBody: map[string]any{"parts": []any{}},
	},
	"ListDocuments":        {badPath: "?limit=0"},
	"StreamDocumentEvents": {},
	"UpdateDocument":       {of: "document", body: map[string]any{"topic_ids": []string{}}, badBody: "{"},
	"ReclassifyDocument":   {of: "document"},
	"GetDocument":          {of: "document"},
	"ConfirmDocument":      {of: "document"},
	"GetDownloadURL":       {of: "document"},
	"DeleteDocument":       {of: "document"},
	"ListTopics":           {},
	"CreateTopic":          {body: api.NewTopic{Name: "N"}, badBody: map[string]any{"name": ""}},
	"UpdateTopic":          {of: "topic", body: api.TopicPatch{Name: ptr("N")}, badBody: "{"},
	"DeleteTopic":          {of: "topic"},
	"ListSystemTopics":     {admin: true},
	"CreateSystemTopic":    {admin: true, body: api.NewTopic{Name: "N"}, badBody: "{"},
	"UpdateSystemTopic":    {admin: true, of: "topic", body: api.TopicPatch{Name: ptr("N")}, badBody: map[string]any{"name": " "}},
	"DeleteSystemTopic":    {admin: true, of: "topic"},
	"ListUsers":            {admin: true, badPath: "?limit=101"},
	"ChangeUser":           {admin: true, of: "user", body: api.UserPatch{LimitBytes: ptr(int64(1))}, badBody: map[string]any{"limit_bytes": -1}},
}

func TestRouteWalk(t *testing.T) {
	b := setup(t)
	document := b.alice.confirmed("a", []byte("x")).ID
	topic := as[api.Topic](b.alice.post("/api/topics", api.NewTopic{Name: "Mine"}).is(201)).ID
	demoted := b.user("demoted", schema.RoleAdmin)
	b.exec(`UPDATE users SET role = 'user' WHERE id = $1`, demoted.id)
	ended := b.user("ended", schema.RoleAdmin)
	b.exec(`DELETE FROM quotas WHERE user_id = $1`, ended.id)
	b.exec(`DELETE FROM users WHERE id = $1`, ended.id)
	forged := tampered(t, b.alice.id, "user")
	forgedAdmin := tampered(t, b.admin.id, "admin")

	walked := 0
	for path, item := range loadContract().Paths.Map() {
		for method, op := range item.Operations() {
			w, known := walks[op.OperationID]
			if !known {
				t.Errorf("%s %s (%s) is new: add it to walks", method, path, op.OperationID)
				continue
			}
			walked++
			if w.public {
				continue
			}
			t.Run(op.OperationID, func(t *testing.T) {
				if strings.Contains(path, "{id}") != (w.of != "") {
					t.Fatal("walks says it wrong")
				}
				// To an administrator alice's own topic is nobody's, and so is the user who is gone.
				id := map[string]uuid.UUID{"document": document, "topic": topic, "user": ended.id}[w.of].String()
				call := func(c *client, id string, body any, query string) *response {
					t.Helper()
					return c.in(t).do(method, strings.NewReplacer("{id}", id, "{number}", "1").Replace(path)+query, body)
				}
				// everyWay calls it well and badly: what comes first must come first.
				everyWay := func(c *client, code schema.Code) {
					t.Helper()
					call(c, id, w.body, "").fails(code)
					if w.badBody != nil {
						call(c, id, w.badBody, "").fails(code)
					}
					if w.badPath != "" {
						call(c, id, w.body, w.badPath).fails(code)
					}
					if w.of != "" {
						call(c, "x", w.body, "").fails(code)
					}
				}
				everyWay(b.anonymous, schema.CodeUnauthenticated)
				everyWay(ended, schema.CodeUnauthenticated)
				for name, tokens := range map[string]map[string]string{"user": forged, "admin": forgedAdmin} {
					for kind, token := range tokens {
						c := *b.anonymous
						c.token = token
						if a := call(&c, id, w.body, ""); a.status != http.StatusUnauthorized {
							t.Errorf("%s, %s: %d %s", name, kind, a.status, a.body)
						}
						if w.badBody != nil {
							call(&c, id, w.badBody, "").fails(schema.CodeUnauthenticated)
						}
					}
				}
				if w.admin {
					everyWay(b.alice, schema.CodeForbidden)
					everyWay(demoted, schema.CodeForbidden)
				}
				if w.of != "" {
					stranger := b.bob
					if w.admin {
						stranger = b.admin
					}
					everyWay(stranger, schema.CodeNotFound)
					for _, id := range []string{uuid.NewString(), "0", "%00", strings.ReplaceAll(id, "-", ""), "{" + id + "}", "urn:uuid:" + id, id + "%20", "..%2F" + id} {
						call(stranger, id, w.body, "").fails(schema.CodeNotFound)
					}
				}
				if w.badBody != nil || w.badPath != "" {
					me := b.alice
					switch {
					case w.of == "user":
						id, me = b.alice.id.String(), b.admin
					case w.admin && w.of != "":
						id = as[api.Topic](b.admin.in(t).post("/api/admin/topics", api.NewTopic{Name: "S"}).is(201)).ID.String()
						me = b.admin
					case w.admin:
						me = b.admin
					}
					call(me, id, w.badBody, w.badPath).fails(schema.CodeInvalid)
				}
			})
		}
	}
	if walked != len(walks) {
		t.Errorf("%d operations walked, %d known", walked, len(walks))
	}
	// Nothing of this was carried out.
	if d := as[api.Document](b.alice.get("/api/documents/" + document.String()).is(200)); d.Status != api.DocumentStatusUploaded {
		t.Errorf("alice's document is %s", d.Status)
	}
	if me := as[api.User](b.alice.get("/api/me").is(200)); me.Quota.LimitBytes != schema.DefaultQuota {
		t.Errorf("alice's quota is %d", me.Quota.LimitBytes)
	}
	found := false
	for _, mine := range as[api.TopicPage](b.alice.get("/api/topics").is(200)).Items {
		found = found || mine.ID == topic && mine.Name == "Mine"
	}
	if !found {
		t.Error("alice's topic is gone or changed")
	}
	if page := as[api.DocumentPage](b.bob.get("/api/documents").is(200)); len(page.Items) != 0 {
		t.Errorf("bob sees %+v", page.Items)
	}
}
