// Command fit generates what the classifier in package builtin has learned from labeled documents:
// the weights of the features, and the mean direction of documents (the background).
//
// It uses the tuning halves of the sets in package sets and half of the samples in testdata. It
// computes the classifier's features of each topic for these documents and finds the weights that
// maximize the likelihood of the right topics. It never reads the held-out halves, which
// `intray-bench classify` measures.
//
// To generate both, run the following commands in the module's root. The background comes first,
// because the features depend on it.
//
//	go run ./bench/fit background
//	go run ./bench/fit weights
//
// A small set, such as the one of 57 web pages, can be split into halves well or badly. The
// following command measures the mean over 20 splits. For each split it fits the weights on one
// half and measures the other one.
//
//	go run ./bench/fit splits
//
// The sets are downloaded once, into the user's cache folder, which `intray-bench classify` uses
// too. The same sets always result in the same weights. Debian's descriptions change with each
// release of Debian.
package main

import (
	"context"
	"fmt"
	"go/format"
	"os"
	"path/filepath"
	"slices"

	"intray/bench/sets"
	"intray/consumers/classify/builtin"
)

// folder is the folder of package builtin.
const folder = "consumers/classify/builtin"

func main() {
	steps := map[string]func(context.Context, *builtin.Classifier) error{
		"background": background, "weights": weights, "splits": splits,
	}
	if len(os.Args) != 2 || steps[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: fit background|weights|splits (run in the module's root)")
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

// write formats Go source and writes it to a file of package builtin.
func write(name string, source []byte) error {
	source, err := format.Source(source)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, name), source, 0o600)
}

// tuningSets returns the tuning half of each public set.
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
			return nil, fmt.Errorf("download the set %s, which requires %s: %w",
				source.Name, source.Requires, err)
		}
		all = append(all, set)
	}
	return all, nil
}

// weights writes weights.go: the weights of the features.
func weights(ctx context.Context, classifier *builtin.Classifier) error {
	tuning, err := tuningSets(ctx)
	if err != nil {
		return err
	}
	samples, err := readSamples(filepath.Join(folder, "testdata"))
	if err != nil {
		return err
	}
	var fitted [2]fittedWeights // for English, and for other languages
	for i, features := range [][]int{confident, uniformConfident} {
		rankings := rankAll(classifier, tuning, samples, i == 1)
		if fitted[i], err = fitWeights(rankings, features); err != nil {
			return err
		}
	}
	return write("weights.go", source(fitted[0], fitted[1]))
}

// rankAll returns the rankings that the weights are fitted to.
func rankAll(
	classifier *builtin.Classifier, tuning []sets.Set, samples sets.Set, uniform bool,
) (all []ranking) {
	for _, set := range append(slices.Clip(tuning), samples) {
		fmt.Fprintf(os.Stderr, "%s: %d documents\n", set.Name, len(set.Documents))
		for _, m := range modes {
			all = append(all, rank(classifier, set, m, uniform)...)
		}
	}
	for _, set := range tuning {
		all = append(all, rankForeign(classifier, set, samples.Topics, uniform)...)
		all = append(all, rankSeries(classifier, set, uniform)...)
	}
	return all
}
