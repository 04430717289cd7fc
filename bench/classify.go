package bench

import (
	"context"
	"runtime"

	"intray/bench/sets"
	"intray/consumers/classify/builtin"
	"intray/consumers/classify/builtin/vectors"
)

// ClassifyConfig configures Classify.
type ClassifyConfig struct {
	Folder string // the cache folder of the sets
	// Seed determines how the documents of each set are split into halves. The weights were fitted
	// with [sets.Seed].
	Seed uint64
	// Tuning selects the tuning halves, on which the weights were fitted, instead of the held-out
	// halves.
	Tuning   bool
	Progress Progress
	// Skipped is called for each set that cannot be measured.
	Skipped func(source sets.Source, err error)
}

// ClassifyReport is the result of Classify.
type ClassifyReport struct {
	Seed uint64        `json:"seed"`
	Half string        `json:"half"`
	Rows []ClassifyRow `json:"rows"`
	// TableBytes is the size of the word vectors in the binary.
	TableBytes int `json:"table_bytes"`
	// HeapBytes is how much the heap has grown because of the classifier, measured at the end.
	HeapBytes int64 `json:"heap_bytes"`
	// Missing are the names of the sets that could not be measured.
	Missing []string `json:"missing"`
}

// ClassifyRow is the [sets.Result] of one set in one mode.
type ClassifyRow struct {
	Set           string  `json:"set"`
	Mode          string  `json:"mode"`
	Documents     int     `json:"documents"`
	Topics        int     `json:"topics"`
	Top1          float64 `json:"top1"`
	ConfidentHalf float64 `json:"confident_half"`
	Answered      float64 `json:"answered"`
	Precision     float64 `json:"precision"`
	Invented      float64 `json:"invented"`
	Milliseconds  float64 `json:"milliseconds"`
}

// mode determines what the classifier is given about the topics.
type mode struct {
	name      string
	namesOnly bool // topics have neither descriptions nor keywords
	oneNew    bool // the value of New in the [sets.Set]
	examples  int  // how many documents of each topic a user has sorted manually
}

var modes = []mode{
	{name: "keywords"},
	{name: "names only", namesOnly: true},
	{name: "5 examples", examples: 5},
	{name: "20 examples", examples: 20},
	{name: "names, 20 examples", namesOnly: true, examples: 20},
	{name: "one new, 20 examples", oneNew: true, examples: 20},
}

// Classify measures the builtin classifier on each of the public sets, in each mode.
func Classify(ctx context.Context, config ClassifyConfig) (ClassifyReport, error) {
	report := ClassifyReport{
		Seed: config.Seed, Half: "held-out", TableBytes: vectors.Size(), Missing: []string{},
	}
	if config.Tuning {
		report.Half = "tuning"
	}
	before := heapBytes()
	classifier, err := builtin.New()
	if err != nil {
		return report, err
	}
	for i, source := range sets.Sources {
		config.Progress("sets, currently "+source.Name, i, len(sets.Sources))
		rows, err := config.measure(ctx, classifier, source)
		if ctx.Err() != nil {
			return report, ctx.Err()
		}
		if err != nil {
			config.Skipped(source, err)
			report.Missing = append(report.Missing, source.Name)
		}
		report.Rows = append(report.Rows, rows...)
	}
	report.HeapBytes = heapBytes() - before
	runtime.KeepAlive(classifier)
	return report, nil
}

// measure returns the rows of one set. The set is loaded for the call only, so that it does not
// count as memory of the classifier.
func (config ClassifyConfig) measure(
	ctx context.Context, classifier *builtin.Classifier, source sets.Source,
) (rows []ClassifyRow, err error) {
	set, err := source.Fetch(ctx, config.Folder)
	if err != nil {
		return nil, err
	}
	tuning, measured := set.Split(config.Seed)
	if config.Tuning {
		measured = tuning
	}
	for _, m := range modes {
		s := measured
		s.New = m.oneNew
		if m.namesOnly {
			s = s.NamesOnly()
		}
		if s, err = s.WithExamples(ctx, classifier, tuning, m.examples); err != nil {
			return rows, err
		}
		r := sets.Measure(classifier, s, builtin.MinConfidence)
		if err := ctx.Err(); err != nil {
			return rows, err
		}
		rows = append(rows, ClassifyRow{
			Set: source.Name, Mode: m.name, Documents: r.Documents, Topics: len(s.Topics),
			Top1: r.Top1, ConfidentHalf: r.ConfidentHalf, Answered: r.Answered,
			Precision: r.Precision, Invented: r.Invented, Milliseconds: r.PerDocument.Seconds() * 1000,
		})
	}
	return rows, nil
}

// heapBytes returns the size of the reachable objects on the heap.
func heapBytes() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
