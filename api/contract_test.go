package api_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"intray/schema"
)

// TestGenerated holds api.gen.go against what the contract gives now.
func TestGenerated(t *testing.T) {
	want, err := os.ReadFile("api.gen.go")
	if err != nil {
		t.Fatal(err)
	}
	// The configuration's output has the last word, so it must be another one.
	out, config := filepath.Join(t.TempDir(), "api.gen.go"), filepath.Join(t.TempDir(), "oapi-codegen.yaml")
	settings, err := os.ReadFile("oapi-codegen.yaml")
	if err != nil {
		t.Fatal(err)
	}
	settings = bytes.Replace(settings, []byte("output: api.gen.go"), []byte("output: "+out), 1)
	if err := os.WriteFile(config, settings, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "run", "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2",
		"--config="+config, "openapi.yaml")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("api.gen.go is not what openapi.yaml gives: run go generate ./api")
	}
}

func TestContractIsValid(t *testing.T) {
	contract := loadContract()
	if err := contract.Validate(t.Context()); err != nil {
		t.Errorf("%.2000s", err)
	}
	if len(contract.Servers) > 0 {
		t.Error("the contract names a server: it must be good for any")
	}
	codes := contract.Components.Schemas["ProblemCode"].Value
	for _, code := range codes.Enum {
		if !strings.Contains(codes.Description, "| `"+code.(string)+"` | ") {
			t.Errorf("the code %s has no sentence", code)
		}
	}
}

// TestContractSpeaks: every operation, parameter, answer, header, schema and
// member has a sentence, and whatever carries a value an example.
func TestContractSpeaks(t *testing.T) {
	contract := loadContract()
	say := func(where, description string, examples bool) {
		t.Helper()
		if strings.TrimSpace(description) == "" {
			t.Errorf("%s has no sentence", where)
		}
		if !examples {
			t.Errorf("%s has no example", where)
		}
	}
	content := func(where string, c openapi3.Content) {
		t.Helper()
		for name, media := range c {
			if media.Example == nil && len(media.Examples) == 0 {
				t.Errorf("%s %s has no example", where, name)
			}
		}
	}
	parameters := func(where string, all openapi3.Parameters) {
		for _, p := range all {
			say(where+" "+p.Value.Name, p.Value.Description, p.Value.Example != nil)
		}
	}
	for path, item := range contract.Paths.Map() {
		parameters(path, item.Parameters)
		for method, op := range item.Operations() {
			where := method + " " + path
			say(where, op.Description, true)
			if op.Summary == "" || len(op.Tags) != 1 || op.OperationID == "" {
				t.Errorf("%s lacks a summary, a tag or an id", where)
			}
			parameters(where, op.Parameters)
			if op.RequestBody != nil {
				say(where+" body", op.RequestBody.Value.Description, true)
				content(where+" body", op.RequestBody.Value.Content)
			}
			for status, r := range op.Responses.Map() {
				say(where+" "+status, *r.Value.Description, true)
				content(where+" "+status, r.Value.Content)
				for name, h := range r.Value.Headers {
					say(where+" "+status+" "+name, h.Value.Description, h.Value.Example != nil)
				}
			}
		}
	}
	for name, s := range contract.Components.Schemas {
		say(name, s.Value.Description, true)
		for member, p := range s.Value.Properties {
			object := p.Value.Type.Is(openapi3.TypeObject) && len(p.Value.Properties) > 0
			say(name+"."+member, p.Value.Description, object || len(p.Value.Examples) > 0)
		}
	}
}

// TestExamples holds every example of the contract against its schema, as 3.1
// means it.
func TestExamples(t *testing.T) {
	contract := loadContract()
	fits := func(where string, s *openapi3.SchemaRef, value any) {
		t.Helper()
		if err := s.Value.VisitJSON(value, openapi3.EnableJSONSchema2020()); err != nil {
			t.Errorf("%s: %.300s", where, err)
		}
	}
	content := func(where string, c openapi3.Content) {
		for _, media := range c {
			if media.Example != nil {
				fits(where, media.Schema, media.Example)
			}
			for name, e := range media.Examples {
				fits(where+" "+name, media.Schema, e.Value.Value)
			}
		}
	}
	for path, item := range contract.Paths.Map() {
		for method, op := range item.Operations() {
			for _, p := range append(op.Parameters, item.Parameters...) {
				fits(method+" "+path+" "+p.Value.Name, p.Value.Schema, p.Value.Example)
			}
			if op.RequestBody != nil {
				content(method+" "+path+" body", op.RequestBody.Value.Content)
			}
			for status, r := range op.Responses.Map() {
				content(method+" "+path+" "+status, r.Value.Content)
			}
		}
	}
	for name, s := range contract.Components.Schemas {
		for _, e := range s.Value.Examples {
			fits(name, s, e)
		}
		for member, p := range s.Value.Properties {
			for _, e := range p.Value.Examples {
				fits(name+"."+member, p, e)
			}
		}
	}
}

// TestRequestSchemas: requests are checked as if the contract were of OpenAPI 3.0
// (see operations). So what they are made of must mean the same there.
func TestRequestSchemas(t *testing.T) {
	var same func(where string, ref *openapi3.SchemaRef)
	same = func(where string, ref *openapi3.SchemaRef) {
		if ref == nil || ref.Value == nil {
			return
		}
		s := ref.Value
		switch {
		case s.Type == nil || len(*s.Type) != 1:
			t.Errorf("%s: not exactly one type", where)
		case s.Const != nil, s.If != nil, s.Then != nil, s.Else != nil, len(s.PatternProperties) > 0, len(s.PrefixItems) > 0, s.Contains != nil,
			s.PropertyNames != nil, len(s.DependentRequired) > 0, len(s.DependentSchemas) > 0, len(s.Defs) > 0,
			s.UnevaluatedItems.Has != nil, s.UnevaluatedProperties.Has != nil, s.ExclusiveMin.IsSet(), s.ExclusiveMax.IsSet():
			t.Errorf("%s: a keyword that 3.0 does not have, or has otherwise", where)
		}
		for name, p := range s.Properties {
			same(where+"."+name, p)
		}
		same(where+"[]", s.Items)
	}
	for path, item := range loadContract().Paths.Map() {
		for method, op := range item.Operations() {
			for _, p := range append(op.Parameters, item.Parameters...) {
				same(method+" "+path+" "+p.Value.Name, p.Value.Schema)
			}
			if op.RequestBody != nil {
				body := op.RequestBody.Value.Content.Get("application/json")
				same(method+" "+path, body.Schema)
				if has := body.Schema.Value.AdditionalProperties.Has; has == nil || *has {
					t.Errorf("%s %s takes members that the contract does not know", method, path)
				}
			}
		}
	}
}

// TestCodes: whatever the vocabulary can say of a document, the contract says too.
func TestCodes(t *testing.T) {
	schemas := loadContract().Components.Schemas
	listed := func(name, value string) {
		t.Helper()
		for _, e := range schemas[name].Value.Enum {
			if e == value {
				return
			}
		}
		t.Errorf("%s lacks %s", name, value)
	}
	for _, s := range schema.Statuses {
		listed("DocumentStatus", string(s))
	}
	for _, r := range []schema.Reason{
		schema.ReasonQuotaExceeded, schema.ReasonSizeMismatch, schema.ReasonEncrypted, schema.ReasonNoText, schema.ReasonBroken,
		schema.ReasonUnsupported, schema.ReasonAIUnavailable, schema.ReasonContentChanged,
	} {
		listed("DocumentReason", string(r))
	}
}
