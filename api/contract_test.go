package api_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"intray/schema"
)

// TestGeneratedCodeIsCurrent generates api.gen.go into a temporary directory and compares it.
func TestGeneratedCodeIsCurrent(t *testing.T) {
	want, err := os.ReadFile("api.gen.go")
	if err != nil {
		t.Fatal(err)
	}
	// The output path of the configuration takes precedence over flags, so a copy of the
	// configuration must name another one.
	out := filepath.Join(t.TempDir(), "api.gen.go")
	config := filepath.Join(t.TempDir(), "oapi-codegen.yaml")
	settings, err := os.ReadFile("oapi-codegen.yaml")
	if err != nil {
		t.Fatal(err)
	}
	settings = bytes.Replace(settings, []byte("output: api.gen.go"), []byte("output: "+out), 1)
	if err := os.WriteFile(config, settings, 0o600); err != nil {
		t.Fatal(err)
	}
	const generator = "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2"
	cmd := exec.CommandContext(t.Context(), "go", "run", generator,
		"--config="+config, "openapi.yaml")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("api.gen.go differs from what openapi.yaml generates: run go generate ./api")
	}
}

func TestContractIsValid(t *testing.T) {
	contract := loadContract()
	if err := contract.Validate(t.Context()); err != nil {
		t.Errorf("got error %.2000s, want none", err)
	}
	if len(contract.Servers) != 1 || contract.Servers[0].URL != "/" {
		t.Errorf("got servers %v, want only /, because the contract applies to any", contract.Servers)
	}
	codes := contract.Components.Schemas["ProblemCode"].Value
	for _, code := range codes.Enum {
		if !strings.Contains(codes.Description, "| `"+code.(string)+"` | ") {
			t.Errorf("got a table of problem codes without %s, want all codes", code)
		}
	}
}

// TestContractIsDocumented checks that every operation, parameter, response, header, schema and
// member has a description, and that everything with a value has an example.
func TestContractIsDocumented(t *testing.T) {
	contract := loadContract()
	check := func(what, description string, hasExample bool) {
		t.Helper()
		if strings.TrimSpace(description) == "" {
			t.Errorf("%s: got no description, want one", what)
		}
		if !hasExample {
			t.Errorf("%s: got no example, want one", what)
		}
	}
	content := func(what string, c openapi3.Content) {
		t.Helper()
		for name, media := range c {
			if media.Example == nil && len(media.Examples) == 0 {
				t.Errorf("%s %s: got no example, want one", what, name)
			}
		}
	}
	parameters := func(what string, all openapi3.Parameters) {
		for _, p := range all {
			check(what+" "+p.Value.Name, p.Value.Description, p.Value.Example != nil)
		}
	}
	for path, item := range contract.Paths.Map() {
		parameters(path, item.Parameters)
		for method, op := range item.Operations() {
			what := method + " " + path
			check(what, op.Description, true)
			if op.Summary == "" || len(op.Tags) != 1 || op.OperationID == "" {
				t.Errorf("%s: got no summary, tag or operationId, want all three", what)
			}
			parameters(what, op.Parameters)
			if op.RequestBody != nil {
				check(what+" body", op.RequestBody.Value.Description, true)
				content(what+" body", op.RequestBody.Value.Content)
			}
			if op.Responses.Default() == nil {
				t.Errorf("%s: got no default response, want one for the other errors", what)
			}
			for status, r := range op.Responses.Map() {
				if r.Value.Headers["X-Request-Id"] == nil {
					t.Errorf("%s %s: got no header X-Request-Id, want one", what, status)
				}
				check(what+" "+status, *r.Value.Description, true)
				content(what+" "+status, r.Value.Content)
				for name, h := range r.Value.Headers {
					check(what+" "+status+" "+name, h.Value.Description, h.Value.Example != nil)
				}
			}
		}
	}
	for name, s := range contract.Components.Schemas {
		check(name, s.Value.Description, true)
		for member, p := range s.Value.Properties {
			object := p.Value.Type.Is(openapi3.TypeObject) && len(p.Value.Properties) > 0
			check(name+"."+member, p.Value.Description, object || len(p.Value.Examples) > 0)
		}
	}
}

// TestExamplesConformToSchemas checks every example of the contract with the rules of OpenAPI 3.1.
func TestExamplesConformToSchemas(t *testing.T) {
	contract := loadContract()
	check := func(what string, s *openapi3.SchemaRef, value any) {
		t.Helper()
		if err := s.Value.VisitJSON(value, openapi3.EnableJSONSchema2020()); err != nil {
			t.Errorf("%s: %.300s", what, err)
		}
	}
	content := func(what string, c openapi3.Content) {
		for _, media := range c {
			if media.Example != nil {
				check(what, media.Schema, media.Example)
			}
			for name, e := range media.Examples {
				check(what+" "+name, media.Schema, e.Value.Value)
			}
		}
	}
	for path, item := range contract.Paths.Map() {
		for method, op := range item.Operations() {
			what := method + " " + path
			for _, p := range append(op.Parameters, item.Parameters...) {
				check(what+" "+p.Value.Name, p.Value.Schema, p.Value.Example)
			}
			if op.RequestBody != nil {
				content(what+" body", op.RequestBody.Value.Content)
			}
			for status, r := range op.Responses.Map() {
				content(what+" "+status, r.Value.Content)
			}
		}
	}
	for name, s := range contract.Components.Schemas {
		for _, e := range s.Value.Examples {
			check(name, s, e)
		}
		for member, p := range s.Value.Properties {
			for _, e := range p.Value.Examples {
				check(name+"."+member, p, e)
			}
		}
	}
}

// TestProblemExamplesAreComplete checks that the examples of problems have no member that the
// schema does not list. A comma in an unquoted detail would make one.
func TestProblemExamplesAreComplete(t *testing.T) {
	contract := loadContract()
	members := contract.Components.Schemas["Problem"].Value.Properties
	check := func(name string, example any) {
		for member, value := range example.(map[string]any) {
			if members[member] == nil {
				t.Errorf("%s: got the member %q with the value %v, want none of this name",
					name, member, value)
			}
		}
	}
	for name, r := range contract.Components.Responses {
		media := r.Value.Content.Get("application/problem+json")
		if media == nil {
			continue
		}
		if media.Example != nil {
			check(name, media.Example)
		}
		for kind, e := range media.Examples {
			check(name+" "+kind, e.Value.Value)
		}
	}
}

// TestRequestSchemas checks that the schemas of requests mean the same in OpenAPI 3.0 as in 3.1,
// because operations declares them as 3.0.
func TestRequestSchemas(t *testing.T) {
	var check func(what string, ref *openapi3.SchemaRef)
	check = func(what string, ref *openapi3.SchemaRef) {
		if ref == nil || ref.Value == nil {
			return
		}
		s := ref.Value
		if s.Type == nil || len(*s.Type) != 1 && !(len(*s.Type) == 2 && s.Type.Includes("null")) {
			t.Errorf("%s: got types %v, want exactly one, or one and null", what, s.Type)
		}
		if differsIn30(s) {
			t.Errorf("%s uses a keyword that OpenAPI 3.0 does not have or defines differently", what)
		}
		for name, p := range s.Properties {
			check(what+"."+name, p)
		}
		check(what+"[]", s.Items)
	}
	for path, item := range loadContract().Paths.Map() {
		for method, op := range item.Operations() {
			what := method + " " + path
			for _, p := range append(op.Parameters, item.Parameters...) {
				check(what+" "+p.Value.Name, p.Value.Schema)
			}
			if op.RequestBody != nil {
				body := op.RequestBody.Value.Content.Get("application/json")
				check(what, body.Schema)
				if has := body.Schema.Value.AdditionalProperties.Has; has == nil || *has {
					t.Errorf("%s allows members that the contract does not list", what)
				}
			}
		}
	}
}

// differsIn30 reports whether a schema uses a keyword that OpenAPI 3.0 does not have or defines
// differently.
func differsIn30(s *openapi3.Schema) bool {
	return s.Const != nil || s.If != nil || s.Then != nil || s.Else != nil ||
		len(s.PatternProperties) > 0 || len(s.PrefixItems) > 0 || s.Contains != nil ||
		s.PropertyNames != nil || len(s.DependentRequired) > 0 || len(s.DependentSchemas) > 0 ||
		len(s.Defs) > 0 || s.UnevaluatedItems.Has != nil || s.UnevaluatedProperties.Has != nil ||
		s.ExclusiveMin.IsSet() || s.ExclusiveMax.IsSet()
}

func TestContractListsAllStatusesAndReasons(t *testing.T) {
	schemas := loadContract().Components.Schemas
	check := func(name, value string) {
		t.Helper()
		if values := schemas[name].Value.Enum; !slices.Contains(values, any(value)) {
			t.Errorf("%s: got %v, want it to contain %s", name, values, value)
		}
	}
	for _, s := range schema.Statuses {
		check("DocumentStatus", string(s))
	}
	for _, r := range []schema.Reason{
		schema.ReasonQuotaExceeded,
		schema.ReasonSizeMismatch,
		schema.ReasonEncrypted,
		schema.ReasonNoText,
		schema.ReasonBroken,
		schema.ReasonUnsupported,
		schema.ReasonAIUnavailable,
		schema.ReasonContentChanged,
	} {
		check("DocumentReason", string(r))
	}
}
