package docs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// A page is a Markdown file of the repository.
type page struct {
	path  string // relative to the root
	lines []pageLine
}

// A pageLine is a line of a page. Code marks the lines of code blocks, fences included.
type pageLine struct {
	text string
	code bool
}

var fence = regexp.MustCompile("^ *(```+|~~~+)")

// pages returns every Markdown file of the repository.
func pages(t *testing.T) (all []page) {
	t.Helper()
	for _, file := range trackedFiles(t) {
		if filepath.Ext(file) != ".md" {
			continue
		}
		p := page{path: file}
		open := "" // the fence of the code block that the line is in
		for _, text := range strings.Split(read(t, filepath.Join(root, file)), "\n") {
			mark := fence.FindStringSubmatch(text)
			code := open != "" || mark != nil
			switch {
			case open == "" && mark != nil:
				open = mark[1]
			case open != "" && strings.TrimSpace(text) == open:
				open = ""
			}
			p.lines = append(p.lines, pageLine{text, code})
		}
		if open != "" {
			t.Errorf("%s: a code block is not closed", file)
		}
		all = append(all, p)
	}
	if len(all) < 30 {
		t.Fatalf("got %d pages, want at least 30", len(all))
	}
	return all
}

var (
	linkTarget = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	linkText   = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	inlineCode = regexp.MustCompile("`[^`]*`")
	external   = regexp.MustCompile(`^[a-z]+:`)
)

// anchors returns the anchors of a page as GitHub makes them of its headings.
func (p page) anchors() map[string]bool {
	found := make(map[string]bool)
	for _, line := range p.lines {
		hashes, heading, ok := strings.Cut(line.text, " ")
		if !ok || line.code || strings.Trim(hashes, "#") != "" || hashes == "" {
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

// links returns the targets of the links of a page to files and headings of the repository.
func (p page) links() (targets []string) {
	for _, line := range p.lines {
		if line.code {
			continue
		}
		text := inlineCode.ReplaceAllString(line.text, "")
		for _, match := range linkTarget.FindAllStringSubmatch(text, -1) {
			if !external.MatchString(match[1]) {
				targets = append(targets, match[1])
			}
		}
	}
	return targets
}

func TestLinksResolve(t *testing.T) {
	all := pages(t)
	anchors := make(map[string]map[string]bool)
	for _, p := range all {
		anchors[p.path] = p.anchors()
	}
	count := 0
	for _, p := range all {
		for _, target := range p.links() {
			count++
			file, anchor, _ := strings.Cut(target, "#")
			path := p.path
			if file != "" {
				path = filepath.Join(filepath.Dir(p.path), file)
			}
			if _, err := os.Stat(filepath.Join(root, path)); err != nil {
				t.Errorf("%s links to %s: %v", p.path, target, err)
				continue
			}
			headings, isPage := anchors[path]
			if isPage && anchor != "" && !headings[anchor] {
				t.Errorf("%s links to %s: %s has no such heading", p.path, target, path)
			}
		}
	}
	if count < 100 {
		t.Errorf("got %d links, want at least 100", count)
	}
}
