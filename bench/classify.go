package bench

import (
	"context"
	"runtime"

	"intray/bench/sets"
	"intray/consumers/classify/builtin"
	"intray/consumers/classify/builtin/vectors"
)

// ClassifyConfig says what Classify measures.
type ClassifyConfig struct {
	Folder string // where the sets are kept
	// Seed deals the documents into halves; the weights were fitted on those of [sets.Seed].
	Seed uint64
	// Tuning measures the halves that the weights were fitted on rather than the others.
	Tuning   bool
	Progress Progress
	// Skipped is called with each set that cannot be measured.
	Skipped func(source sets.Source, err error)
}

// ClassifyReport is what Classify measured.
type ClassifyReport struct {
	Seed uint64        `json:"seed"`
	Half string        `json:"half"`
	Rows []ClassifyRow `json:"rows"`
	// TableBytes lie in the binary, HeapBytes is what the classifier keeps after all.
	TableBytes int      `json:"table_bytes"`
	HeapBytes  int64    `json:"heap_bytes"`
	Missing    []string `json:"missing"`
}

// ClassifyRow is what was measured on one set in one mode: a [sets.Result].
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

// mode is what the classifier is given of the topics.
type mode struct {
	name      string
	namesOnly bool // neither descriptions nor keywords
	oneNew    bool // see [sets.Set]
	examples  int  // documents of each topic that a user has sorted by hand
}

var modes = []mode{
	{name: "keywords"},
	{name: "names only", namesOnly: true},
	{name: "5 examples", examples: 5},
	{name: "20 examples", examples: 20},
	{name: "names, 20 examples", namesOnly: true, examples: 20},
	{name: "one new, 20 examples", oneNew: true, examples: 20},
}

// Classify measures the builtin classifier on the public sets, in each mode.
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
		config.Progress("sets, now "+source.Name, i, len(sets.Sources))
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

// measure returns the rows of one set, which it does not keep.
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
		if s, err = s.Taught(ctx, classifier, tuning, m.examples); err != nil {
			return rows, err
		}
		r := sets.Measure(classifier, s, builtin.MinConfidence)
		if err := ctx.Err(); err != nil {
			return rows, err
		}
		rows = append(rows, ClassifyRow{
			Set: source.Name, Mode: m.name, Documents: r.Documents, Topics: len(s.Topics),
			Top1: r.Top1, ConfidentHalf: r.ConfidentHalf, Answered: r.Answered, Precision: r.Precision,
			Invented: r.Invented, Milliseconds: r.PerDocument.Seconds() * 1000,
		})
	}
	return rows, nil
}

// heapBytes returns the size of what is reachable in the heap.
func heapBytes() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
