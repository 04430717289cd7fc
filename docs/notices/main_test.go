package main

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestNoticesAreCurrent(t *testing.T) {
	want, err := notices(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../THIRD_PARTY_NOTICES.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) == want {
		return
	}
	had := strings.Split(string(got), "\n")
	for _, line := range strings.Split(want, "\n") {
		if strings.HasPrefix(line, "| ") && !slices.Contains(had, line) {
			t.Errorf("THIRD_PARTY_NOTICES.md lacks the row %s", line)
		}
	}
	t.Error("THIRD_PARTY_NOTICES.md is out of date; run: " +
		"go run ./docs/notices >THIRD_PARTY_NOTICES.md")
}

// The page is built from these packages and what they depend on.
func TestNoticesNameTheLibrariesOfThePage(t *testing.T) {
	manifest, err := os.ReadFile("../../web/package.json")
	if err != nil {
		t.Fatal(err)
	}
	var page struct {
		Dependencies map[string]string `json:"dependencies"`
	}
	if err := json.Unmarshal(manifest, &page); err != nil || len(page.Dependencies) == 0 {
		t.Fatalf("got %v, error %v, want the dependencies of the page", page, err)
	}
	all, err := embeddedTexts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	for _, text := range all {
		for _, of := range text.of {
			named = append(named, strings.Split(of, ", ")...)
		}
	}
	for name := range page.Dependencies {
		if !slices.Contains(named, name) {
			t.Errorf("no text is that of the npm package %s, want its license", name)
		}
	}
}

func TestIdentify(t *testing.T) {
	const bsd = "Redistribution and use in source and binary forms, with or without"
	const mit = "Permission is hereby granted, free of charge, to any person obtaining a copy"
	for text, want := range map[string]string{
		"Apache License\n  Version 2.0, January 2004": "Apache-2.0",
		"Mozilla Public License, version 2.0":         "MPL-2.0",
		mit:                                           "MIT",
		bsd + "\nNeither the name of":                 "BSD-3-Clause",
		bsd:                                           "BSD-2-Clause",
		"All rights reserved.":                        "",
		"Apache License Version 2.0 " + bsd:           "Apache-2.0, BSD-2-Clause",
	} {
		if got := strings.Join(identify(text), ", "); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}
