// Command fit writes what the classifier in package builtin has learned from labeled documents: the
// weights of the kinds of evidence, and the direction of documents in general.
//
// It asks the classifier for the evidence for each topic of the documents in the tuning halves of
// package sets, and of half of the samples in testdata, and finds the weights under which the right
// topics are the most likely. It never reads the other halves, which `intray-bench classify`
// measures. To make both anew, from the module's root, the background first, for the evidence
// depends on it:
//
//	go run ./bench/fit background
//	go run ./bench/fit weights
//
// A set of 57 pages can be dealt well or badly. To see how good the classifier is on the average of
// 20 deals, each time with weights fitted on one half and measured on the other:
//
//	go run ./bench/fit splits
//
// The sets are fetched once, into the user's cache folder, as `intray-bench classify` does. The same
// sets give the same weights; Debian's descriptions change with its release.
package main

import (
	"context"
	"fmt"
	"go/format"
	"os"
	"path/filepath"

	"intray/bench/sets"
	"intray/consumers/classify/builtin"
)

// folder is the one of package builtin.
const folder = "consumers/classify/builtin"

func main() {
	steps := map[string]func(context.Context, *builtin.Classifier) error{
		"background": background, "weights": weights, "splits": splits,
	}
	if len(os.Args) != 2 || steps[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: fit background|weights|splits, in the module's root")
		os.Exit(2)
	}
	classifier, err := builtin.New()
	if err == nil {
		err = steps[os.Args[1]](context.Background(), classifier)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "fit:", err)
		os.Exit(1)
	}
}

// write writes a source file of package builtin.
func write(name string, source []byte) error {
	source, err := format.Source(source)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, name), source, 0o600)
}

// tuningSets returns the halves to learn from.
func tuningSets(ctx context.Context) ([]sets.Set, error) {
	all, err := wholeSets(ctx)
	for i := range all {
		all[i], _ = all[i].Split(sets.Seed)
	}
	return all, err
}

// wholeSets returns the public sets.
func wholeSets(ctx context.Context) (all []sets.Set, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	for _, source := range sets.Sources {
		set, err := source.Fetch(ctx, filepath.Join(cache, "intray", "bench"))
		if err != nil {
			return nil, fmt.Errorf("fetch the set %s, which takes %s: %w", source.Name, source.Requires, err)
		}
		all = append(all, set)
	}
	return all, nil
}

// weights writes the weights of the kinds of evidence.
func weights(ctx context.Context, classifier *builtin.Classifier) error {
	tuning, err := tuningSets(ctx)
	if err != nil {
		return err
	}
	samples, err := readSamples(filepath.Join(folder, "testdata"))
	if err != nil {
		return err
	}
	var all []ranking
	for _, set := range append(tuning, samples) {
		fmt.Fprintf(os.Stderr, "%s: %d documents\n", set.Name, len(set.Documents))
		for _, m := range modes {
			asked, err := ask(ctx, classifier, set, m)
			if err != nil {
				return err
			}
			all = append(all, asked...)
		}
	}
	for _, set := range tuning {
		all = append(all, strangers(classifier, set, samples.Topics)...)
		asked, err := series(ctx, classifier, set)
		if err != nil {
			return err
		}
		all = append(all, asked...)
	}
	f, err := weigh(all)
	if err != nil {
		return err
	}
	return write("weights.go", f.source())
}
