package docs_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"intray/docs/doctest"
)

// retired are terms that the project no longer uses, each with the term that replaces it.
var retired = []struct{ term, instead string }{
	{`unannounced`, "unpublished"},
	{`\bbur(y|ied|ies)\b`, "dead-letter"},
	{`\b(document_tries|max_tries|MaxTries|failed_tries)\b`, "attempts"},
	{`\bpatien(t|ce)\b`, "timeout"},
	{`\bside by side\b`, "concurrently"},
	{`\bout of reach\b`, "unreachable"},
	{`\b(begin_user|login_account)\b`, "set_current_user, account_by_email"},
	{`\bALSO_ACCEPTED\b`, "SECONDARY"},
	{`\b(ACCESS_TOKEN_LIFE|SESSION_LIFE)\b`, "TTL"},
	{`\bPASSWORD_HASHES\b`, "PASSWORD_HASH_CONCURRENCY"},
	{`\bSWEEP_ANNOUNCE_AFTER\b`, "SWEEP_PUBLISH_AFTER"},
	{`\bintray_(swept|reachable)\b`, "intray_sweeper_active, intray_dependency_up"},
	{`\bsays whether\b`, "reports whether"},
	{`\btakes documents in\b`, "ingests documents"},
	{`\b(found_type)\b`, "detected_type"},
}

// The changelog and released migrations name what there was; types of documents have words of many
// languages.
var historic = regexp.MustCompile(`^(CHANGELOG|THIRD_PARTY_NOTICES)\.md$|^schema/migrations/` +
	`|^docs/terms_test\.go$|testdata/|builtin/types/|swagger-ui`)

func TestRetiredTermsAreNotUsed(t *testing.T) {
	patterns := make([]*regexp.Regexp, len(retired))
	for i, r := range retired {
		patterns[i] = regexp.MustCompile(`(?i)` + r.term)
	}
	read := 0
	for _, file := range doctest.Files(t) {
		if historic.MatchString(file) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.IndexByte(text, 0) >= 0 {
			continue
		}
		read++
		for number, line := range strings.Split(string(text), "\n") {
			for i, pattern := range patterns {
				if got := pattern.FindString(line); got != "" {
					t.Errorf("%s:%d: got %q, want %s", file, number+1, got, retired[i].instead)
				}
			}
		}
	}
	if read < 300 {
		t.Errorf("read %d files, want at least 300", read)
	}
}
