package docs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"intray/docs/doctest"
)

var (
	linkTarget = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	linkText   = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	inlineCode = regexp.MustCompile("`[^`]*`")
	external   = regexp.MustCompile(`^[a-z]+:`)
)

// anchorsOf returns the anchors of a page as GitHub makes them of its headings.
func anchorsOf(p doctest.Page) map[string]bool {
	found := make(map[string]bool)
	for _, line := range p.Lines {
		hashes, heading, ok := strings.Cut(line.Text, " ")
		if !ok || line.Code || strings.Trim(hashes, "#") != "" || hashes == "" {
			continue
		}
		heading = linkText.ReplaceAllString(strings.TrimSpace(heading), "$1")
		slug := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, heading)
		name := slug
		for n := 1; found[name]; n++ {
			name = fmt.Sprintf("%s-%d", slug, n)
		}
		found[name] = true
	}
	return found
}

// linksOf returns the targets of the links of a page to files and headings of the repository.
func linksOf(p doctest.Page) (targets []string) {
	for _, line := range p.Lines {
		if line.Code {
			continue
		}
		text := inlineCode.ReplaceAllString(line.Text, "")
		for _, match := range linkTarget.FindAllStringSubmatch(text, -1) {
			if !external.MatchString(match[1]) {
				targets = append(targets, match[1])
			}
		}
	}
	return targets
}

// Rows of tables, URLs and code may be longer.
func TestLinesAreWrapped(t *testing.T) {
	const limit = 100
	for _, p := range doctest.Pages(t) {
		for i, line := range p.Lines {
			isRow := strings.HasPrefix(strings.TrimSpace(line.Text), "|")
			if line.Code || isRow || strings.Contains(line.Text, "://") {
				continue
			}
			if got := utf8.RuneCountInString(line.Text); got > limit {
				t.Errorf("%s:%d has %d columns, want at most %d", p.Path, i+1, got, limit)
			}
		}
	}
}

func TestLinksResolve(t *testing.T) {
	all := doctest.Pages(t)
	anchors := make(map[string]map[string]bool)
	for _, p := range all {
		anchors[p.Path] = anchorsOf(p)
	}
	count := 0
	for _, p := range all {
		for _, target := range linksOf(p) {
			count++
			file, anchor, _ := strings.Cut(target, "#")
			path := p.Path
			if file != "" {
				path = filepath.Join(filepath.Dir(p.Path), file)
			}
			if _, err := os.Stat(filepath.Join(root, path)); err != nil {
				t.Errorf("%s links to %s: %v", p.Path, target, err)
				continue
			}
			headings, isPage := anchors[path]
			if isPage && anchor != "" && !headings[anchor] {
				t.Errorf("%s links to %s: %s has no such heading", p.Path, target, path)
			}
		}
	}
	if count < 100 {
		t.Errorf("got %d links, want at least 100", count)
	}
}
