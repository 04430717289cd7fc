package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"intray/schema"
)

// DocumentsConfig says what Documents measures, and on which system.
type DocumentsConfig struct {
	API string // URL
	// Email and Password are of the account that uploads.
	Email, Password string
	// ConsumePID returns the process id that the consumers have now.
	ConsumePID func() int

	Single   int // PDFs of one page, one at a time
	Mixed    int // documents of many kinds
	Hostile  int // damaged and hostile files, with a sound one beside every tenth
	Progress Progress
}

// DocumentsReport is what Documents measured. Each map has the number of documents by how they
// ended: their status, with the reason if there is one.
type DocumentsReport struct {
	P50             float64        `json:"one_page_p50_ms"`
	P90             float64        `json:"one_page_p90_ms"`
	PerSecond       float64        `json:"mixed_per_second"`
	MixedOutcomes   map[string]int `json:"mixed_ends"`
	HostileOutcomes map[string]int `json:"hostile_ends"`
	SoundOutcomes   map[string]int `json:"beside_ends"`
	HostileSeconds  float64        `json:"hostile_seconds"`
	PeakMiB         float64        `json:"peak_mib"`
	Restarted       bool           `json:"restarted"`
}

// Contained reports whether the hostile files harmed nothing else: every sound document beside them
// is classified, and the consumers are the same process.
func (r DocumentsReport) Contained() bool {
	for end := range r.SoundOutcomes {
		if end != string(schema.StatusClassified) {
			return false
		}
	}
	return !r.Restarted
}

// documentsRun is one run of Documents.
type documentsRun struct {
	config DocumentsConfig
	client *client

	mu   sync.Mutex
	made []string // ids
}

// Documents measures how uploaded documents become classified, as a client sees it. What it uploads
// is deleted at the end, also after ctx is canceled.
func Documents(ctx context.Context, config DocumentsConfig) (report DocumentsReport, err error) {
	c := &client{transport: newTransport(), api: config.API, waits: true}
	defer c.transport.CloseIdleConnections()
	if err := c.login(ctx, config.Email, config.Password); err != nil {
		return report, err
	}
	r := &documentsRun{config: config, client: c}
	defer r.deleteAll(ctx)
	pid := config.ConsumePID()
	peak := watchMemory(20*time.Millisecond, func() int64 { return residentTree(pid) })
	defer peak()

	single := make([]time.Duration, config.Single)
	for i := range single {
		f := file{fmt.Sprintf("single-%d.pdf", i), "application/pdf", onePagePDF(pageText(i))}
		if _, single[i], err = r.classified(ctx, f, 2*time.Millisecond); err != nil {
			return report, err
		}
		config.Progress("one page", i+1, config.Single)
	}
	times := percentiles(single)
	report.P50, report.P90 = times.P50, times.P90

	began := time.Now()
	if report.MixedOutcomes, _, err = r.all(ctx, "mixed", config.Mixed, mixedFile, 0); err != nil {
		return report, err
	}
	report.PerSecond = float64(config.Mixed) / time.Since(began).Seconds()

	began = time.Now()
	report.HostileOutcomes, report.SoundOutcomes, err = r.all(ctx, "hostile", config.Hostile, hostileFile, 10)
	if err != nil {
		return report, err
	}
	report.HostileSeconds = time.Since(began).Seconds()
	report.PeakMiB = peak()
	report.Restarted = config.ConsumePID() != pid
	return report, nil
}

// all uploads n files, 16 at a time, and a sound one beside every one in so many, or none if every
// is 0. It counts how they end.
func (r *documentsRun) all(
	ctx context.Context, stage string, n int, next func(int) file, every int,
) (ends, beside map[string]int, err error) {
	ends, beside = map[string]int{}, map[string]int{}
	type upload struct {
		make func(int) file
		i    int
		ends map[string]int
	}
	var uploads []upload
	for i := range n {
		uploads = append(uploads, upload{next, i, ends})
		if every > 0 && i%every == 0 {
			uploads = append(uploads, upload{mixedFile, 100_000 + i, beside})
		}
	}
	var mu sync.Mutex
	one := func(ctx context.Context, i int) error {
		u := uploads[i]
		f := u.make(u.i)
		// So many at a time poll less often, to stay within the limit of requests.
		end, _, err := r.classified(ctx, f, 30*time.Millisecond)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		mu.Lock()
		defer mu.Unlock()
		u.ends[end]++
		return nil
	}
	err = r.config.Progress.concurrently(ctx, stage, len(uploads), one)
	return ends, beside, err
}

var errStillWaiting = errors.New("neither classified nor failed after five minutes")

// classified uploads a file and returns how it ended, with its reason, and how long after the
// answer to its PUT. It polls at the interval, later on less often.
func (r *documentsRun) classified(
	ctx context.Context, f file, interval time.Duration,
) (end string, took time.Duration, err error) {
	u, err := r.client.issue(ctx, f)
	if err != nil {
		return "", 0, err
	}
	r.mu.Lock()
	r.made = append(r.made, u.Document.ID)
	r.mu.Unlock()
	answered, err := r.client.put(ctx, u, f.content)
	if err != nil {
		return "", 0, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 5*time.Minute, errStillWaiting)
	defer cancel()
	d, took, err := r.client.wait(ctx, u.Document.ID, answered,
		func(s schema.Status) bool { return s != schema.StatusPending && s != schema.StatusUploaded },
		func(passed time.Duration) time.Duration { return min(50*time.Millisecond, interval+passed/20) })
	if err != nil {
		return "", 0, err
	}
	end = string(d.Status)
	if d.Reason != nil {
		end += " (" + *d.Reason + ")"
	}
	return end, took, nil
}

// deleteAll deletes what was uploaded. A document that it cannot delete stays visible to its owner.
func (r *documentsRun) deleteAll(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	for _, id := range r.made {
		_ = r.client.call(ctx, http.MethodDelete, "/api/documents/"+id, nil, nil)
	}
}
